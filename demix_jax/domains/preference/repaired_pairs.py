"""From a diagnosis of pairs to repaired ones: swap back, trim or drop, reweight."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demix_jax.common.checks import InputError, check_choices
from demix_jax.domains.preference.files import pair_from_record, read_pairs
from demix_jax.domains.preference.pairs import Pair, Pairs, as_lines, as_record, notes, text_table
from demix_jax.repairs.flags import read_flags
from demix_jax.repairs.pipeline import WEIGHT

if TYPE_CHECKING:
    from demix_jax.diagnosis.result import Diagnosis

MINORITY_WEIGHT = 2.0  # of a pair that breaks a shortcut, beside others
_CHOICES = {
    "label_errors": ("swap", "drop", "keep"),
    "feature_errors": ("drop", "trim", "keep"),
    "spurious": ("reweight", "keep"),
}
_SENTENCE = re.compile(r"[^.!?。\n]*[.!?。\n]+\s*|[^.!?。\n]+$")
_ENDING = re.compile(r"[.!?…。:;)\]}>\"'”’*`|\d]\s*$")


class RepairedPairs(NamedTuple):
    """What is left of N pairs, in their order.

    pairs: n of them. weight: f64[n], mean 1. rows: i64[n], where each stood. sentences: what was done.
    """

    pairs: Pairs
    weight: np.ndarray
    rows: np.ndarray
    sentences: list[str]

    def save(self, path: str | os.PathLike) -> None:
        """Write one record a line, in the schema they were read in, with a key sample_weight."""
        from demix_jax.common.files import write_text

        both = zip(self.pairs.records, self.weight, strict=True)
        write_text(path, as_lines(record | {WEIGHT: round(float(weight), 6)} for record, weight in both))


def repair(
    pairs: Pairs | str | os.PathLike,
    diagnosis: Diagnosis | str | os.PathLike,
    *,
    label_errors: str = "swap",
    feature_errors: str = "drop",
    spurious: str = "reweight",
) -> RepairedPairs:
    """Repair pairs by their diagnosis.

    Pairs without two different answers are left out whatever was flagged: they teach no preference.

    Args:
      pairs: what was diagnosed, or its path; not modified. Weights in a key sample_weight are multiplied.
      diagnosis: Diagnosis, or path of the diagnosis.csv or the folder that it was saved to.
      label_errors: "swap" the two answers, "drop" the pair, or "keep" it. Flagged pairs whose preference is more likely
        right than wrong, by a column p_label_error, are left as they are.
      feature_errors: "drop" the pair; "trim" passages that come again and an unfinished last sentence, and drop the
        pair where that changes nothing; or "keep" it.
      spurious: "reweight" the pairs that break a shortcut, which are right and rare, or "keep" them as they are.
    Raises:
      InputError: an unknown choice, or the diagnosis of other pairs.
    """
    given = {"label_errors": label_errors, "feature_errors": feature_errors, "spurious": spurious}
    check_choices(given, _CHOICES)
    pairs = pairs if isinstance(pairs, Pairs) else read_pairs(pairs)
    flags = read_flags(text_table(pairs), diagnosis)
    wrong_label, damaged, minority = flags.label_error, flags.feature_error, flags.minority
    empty = np.array([bool(notes(pair)) for pair in pairs.pairs])
    made = list(zip(pairs.pairs, pairs.records, strict=True))
    weight = np.array([float(record.get(WEIGHT, 1.0)) for record in pairs.records])
    stays, sentences = ~empty, []
    damaged = damaged & stays
    if empty.any():
        sentences.append(f"Left out {empty.sum():,} pairs that lack two different answers.")
    if feature_errors == "trim":
        for row in np.flatnonzero(damaged):
            new = trim(pairs.pairs[row])
            stays[row] = new != pairs.pairs[row]
            made[row] = new, with_answers(pairs.records[row], new)
        trimmed = int((damaged & stays).sum())
        sentences.append(f"Trimmed {trimmed:,} damaged pairs and dropped {damaged.sum() - trimmed:,}.")
    elif feature_errors == "drop":
        stays &= ~damaged
        sentences.append(f"Dropped {damaged.sum():,} damaged pairs.")
    if label_errors == "swap":
        for row in np.flatnonzero(wrong_label & stays):
            pair, record = made[row]
            made[row] = pair.swapped(), swap_record(record)
        sentences.append(f"Swapped {(wrong_label & stays).sum():,} pairs back.")
    elif label_errors == "drop":
        stays &= ~wrong_label
        sentences.append(f"Dropped {wrong_label.sum():,} pairs whose preference looks wrong.")
    raised = minority & ~wrong_label & stays
    if spurious == "reweight":
        weight[raised] *= MINORITY_WEIGHT
        sentences.append(f"Gave {raised.sum():,} pairs that break a shortcut {MINORITY_WEIGHT:g} times the weight.")
    if flags.doubtful and label_errors != "keep":
        sentences.append(flags.doubts("preference", "pairs"))
    if not stays.any():
        raise InputError("The repair would leave no pair; choose keep, swap or trim instead of drop.")
    rows = np.flatnonzero(stays)
    left = [made[row] for row in rows]
    repaired = Pairs(tuple(pair for pair, _ in left), tuple(record for _, record in left), pairs.source)
    return RepairedPairs(repaired, weight[rows] / weight[rows].mean(), rows, sentences)


def trim(pair: Pair) -> Pair:
    """The pair without sentences that come again, and without an unfinished last one."""
    return pair._replace(chosen=_trimmed(pair.chosen), rejected=_trimmed(pair.rejected))


def _trimmed(text: str) -> str:
    sentences = _SENTENCE.findall(text)
    seen: set[str] = set()
    kept = []
    for sentence in sentences:
        plain = sentence.strip().lower()
        if len(plain) < 12 or plain not in seen:
            kept.append(sentence)
        seen.add(plain)
    if len(kept) > 1 and not _ENDING.search(kept[-1]):
        kept.pop()
    shorter = "".join(kept).rstrip()
    return shorter if shorter != text.rstrip() else text


def swap_record(record: dict[str, Any]) -> dict[str, Any]:
    """A record with all that is said of the chosen answer exchanged for what is said of the rejected one."""
    swapped = dict(record)
    for key in record:
        twin = str(key).replace("chosen", "rejected")
        if twin != key and twin in record:
            swapped[key], swapped[twin] = record[twin], record[key]
    return swapped


def with_answers(record: dict[str, Any], pair: Pair) -> dict[str, Any]:
    """A record whose last turns are the pair's answers; where its schema cannot hold them, one in the plain schema."""
    changed = record | {key: _with_answer(record[key], getattr(pair, key)) for key in ("chosen", "rejected")}
    return changed if pair_from_record(changed, "The record") == pair else as_record(pair)


def _with_answer(said: Any, answer: str) -> Any:
    if isinstance(said, list):
        return [*said[:-1], said[-1] | {"content": answer}]
    head, mark, _ = str(said).rpartition("\n\nAssistant:")
    return f"{head}{mark} {answer}" if mark else answer
