"""Repair preference pairs by their diagnosis: swap back, trim or drop, reweight."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demix_jax.common.checks import InputError, check_choices
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.domains.preference.files import pair_from_record, read_pairs
from demix_jax.domains.preference.pairs import Pair, Pairs, as_lines, as_record, notes, text_table
from demix_jax.repairs.flags import check_also, read_flags
from demix_jax.repairs.pipeline import WEIGHT

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.diagnosis.result import Diagnosis

MINORITY_WEIGHT = 2.0  # relative weight of pairs that break a shortcut
_CHOICES = {
    "label_errors": ("swap", "drop", "keep"),
    "feature_errors": ("drop", "trim", "keep"),
    "spurious": ("reweight", "keep"),
}
_SENTENCE = re.compile(r"[^.!?。\n]*[.!?。\n]+\s*|[^.!?。\n]+$")
_ENDING = re.compile(r"[.!?…。:;)\]}>\"'”’*`|\d]\s*$")


class RepairedPairs(NamedTuple):
    """n pairs that are left of N pairs, in the same order.

    pairs: the n pairs. weight: f64[n], sample weights with mean 1. rows: i64[n], row of each among the N pairs.
    sentences: what the repair did.
    """

    pairs: Pairs
    weight: np.ndarray
    rows: np.ndarray
    sentences: list[str]

    def save(self, path: str | os.PathLike) -> None:
        """Write JSON lines, in the schema that was read, with an additional key sample_weight."""
        from demix_jax.common.files import write_text

        weighted = zip(self.pairs.records, self.weight, strict=True)
        write_text(path, as_lines(record | {WEIGHT: round(float(weight), 6)} for record, weight in weighted))


def repair(
    pairs: Pairs | str | os.PathLike,
    diagnosis: Diagnosis | pd.DataFrame | str | os.PathLike,
    *,
    label_errors: str = "swap",
    feature_errors: str = "drop",
    spurious: str = "reweight",
    also: str | None = None,
) -> RepairedPairs:
    """Repair pairs by their diagnosis: those that are likely wrong, or likely break a shortcut.

    Pairs with an empty answer or two equal answers are always left out, since they teach no preference.

    Args:
      pairs: the diagnosed pairs, or their path; not modified. Existing sample weights (key sample_weight) are kept as
        factors.
      diagnosis: Diagnosis, a table with one 0/1 column per error type, or the path of diagnosis.csv or its folder.
        Bands and probabilities in it are heeded as by `demix_jax.repair`.
      label_errors: "swap" the two answers, "drop" the pair, or "keep" it.
      feature_errors: "drop" the pair; "trim" repeated sentences and an unfinished last sentence, and drop the pair if
        that changes nothing; or "keep" it.
      spurious: "reweight" pairs that break a shortcut, which are right and rare; or "keep" their weight.
      also: "look" repairs pairs that are only worth a look, too; None: only likely ones.
    Returns:
      RepairedPairs.
    Raises:
      InputError: a choice is unknown, or the diagnosis belongs to other pairs.
    """
    given = {"label_errors": label_errors, "feature_errors": feature_errors, "spurious": spurious}
    check_choices(given, _CHOICES)
    check_also(also)
    pairs = pairs if isinstance(pairs, Pairs) else read_pairs(pairs)
    # No label is given: a summary names that of the measures, not of the texts.
    flags = read_flags(text_table(pairs), diagnosis, also=also, whole=True)
    wrong_label, damaged, minority = flags.label_error, flags.feature_error, flags.minority
    unusable = np.array([bool(notes(pair)) for pair in pairs.pairs])
    made = list(zip(pairs.pairs, pairs.records, strict=True))
    weight = np.array([float(record.get(WEIGHT, 1.0)) for record in pairs.records])
    kept, sentences = ~unusable, []
    damaged = damaged & kept
    if unusable.any():
        sentences.append(f"Left out {unusable.sum():,} pairs that lack two different answers.")
    if feature_errors == "trim":
        for row in np.flatnonzero(damaged):
            new = trim(pairs.pairs[row])
            kept[row] = new != pairs.pairs[row]
            made[row] = new, with_answers(pairs.records[row], new)
        trimmed = int((damaged & kept).sum())
        sentences.append(f"Trimmed {trimmed:,} damaged pairs and dropped {damaged.sum() - trimmed:,}.")
    elif feature_errors == "drop":
        kept &= ~damaged
        sentences.append(f"Dropped {damaged.sum():,} damaged pairs.")
    if label_errors == "swap":
        for row in np.flatnonzero(wrong_label & kept):
            pair, record = made[row]
            made[row] = pair.swapped(), swap_record(record)
        sentences.append(f"Swapped {(wrong_label & kept).sum():,} pairs back.")
    elif label_errors == "drop":
        kept &= ~wrong_label
        sentences.append(f"Dropped {wrong_label.sum():,} pairs whose preference looks wrong.")
    raised = minority & ~wrong_label & kept
    if spurious == "reweight":
        weight[raised] *= MINORITY_WEIGHT
        sentences.append(f"Gave {raised.sum():,} pairs that break a shortcut {MINORITY_WEIGHT:g} times the weight.")
    sentences += flags.left_sentences(dict(zip(ERROR_TYPES, given.values(), strict=True)), "pair")
    if not kept.any():
        raise InputError("The repair would leave no pair; choose keep, swap or trim instead of drop.")
    rows = np.flatnonzero(kept)
    left = [made[row] for row in rows]
    repaired = Pairs(tuple(pair for pair, _ in left), tuple(record for _, record in left), pairs.source)
    return RepairedPairs(repaired, weight[rows] / weight[rows].mean(), rows, sentences)


def trim(pair: Pair) -> Pair:
    """Remove repeated sentences and an unfinished last sentence from both answers of a pair.

    Example:
      >>> pair = Pair((), chosen="Boil the water first. Boil the water first. Then add", rejected="Never boil water.")
      >>> trim(pair).chosen
      'Boil the water first.'
    """
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
    """Exchange the values of all keys about the chosen and the rejected answer, such as chosen_score."""
    swapped = dict(record)
    for key in record:
        twin = str(key).replace("chosen", "rejected")
        if twin != key and twin in record:
            swapped[key], swapped[twin] = record[twin], record[key]
    return swapped


def with_answers(record: dict[str, Any], pair: Pair) -> dict[str, Any]:
    """The record with the answers of `pair`; a record of the plain schema if its own schema cannot hold them."""
    changed = record | {key: _with_answer(record[key], getattr(pair, key)) for key in ("chosen", "rejected")}
    return changed if pair_from_record(changed, "The record") == pair else as_record(pair)


def _with_answer(value: Any, answer: str) -> Any:
    """The conversation, dialogue or text `value` with its last turn replaced by `answer`."""
    if isinstance(value, list):
        return [*value[:-1], value[-1] | {"content": answer}]
    head, mark, _ = str(value).rpartition("\n\nAssistant:")
    return f"{head}{mark} {answer}" if mark else answer
