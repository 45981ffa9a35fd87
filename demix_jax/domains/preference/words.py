"""Wording for preference pairs: names of the error types, and the reason why a pair was flagged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demix_jax.common.wording import Html, Words, chance, count
from demix_jax.domains.preference.measured_table import DIFFERENCE
from demix_jax.report.findings import suspects
from demix_jax.report.html import element, join, unbroken
from demix_jax.report.words import unusual

if TYPE_CHECKING:
    from demix_jax.diagnosis.result import Diagnosis
    from demix_jax.domains.preference.sides import Order

NAMES = {
    "label_error": "Swapped preference",
    "feature_error": "Damaged text",
    "spurious_correlation": "Breaks a shortcut",
    "none": "No finding",
}
PLURAL = {
    "label_error": "swapped preferences",
    "feature_error": "damaged texts",
    "spurious_correlation": "pairs that break a shortcut",
}
MEANING = {
    "label_error": "The rejected answer looks like the better one. Swap the pair, or drop it.",
    "feature_error": "A text looks cut, jumbled, repeated, foreign, or beside its prompt. Trim or drop the pair.",
    "spurious_correlation": "The pair breaks a shortcut that most pairs follow. "
    "Such a pair is valuable, not wrong: keep it and give it weight.",
}
READING = {
    "label_error": "Each pair is shown with the chance that preference models, trained without it, give the answer "
    "that was chosen. Swap the two answers where you agree with the models.",
    "feature_error": "Each pair is shown with the measures that stand out, given its other measures. Look for a text "
    "that breaks off, repeats itself, jumps, changes its language or answers another prompt.",
    "spurious_correlation": "In these pairs the better answer lacks what usually marks it, such as length. They are "
    "right, and they are what teaches a model to look at more than that. Keep them, and give them weight.",
}
ADVICE = {
    "label_error": "swap or drop",
    "feature_error": "trim or drop",
    "spurious_correlation": "keep and give weight: valuable, not wrong",
}
PAIRS = Words(
    noun="pair",
    compares_labels=False,
    names=NAMES,
    meaning=MEANING,
    plural=PLURAL,
    reading=READING,
    advice=ADVICE,
    unfolds="texts and evidence",
    labels="preferences",
    for_labels="A larger decoder or more pairs may help.",
)
MEASURES = {
    "length": "length",
    "markup": "Markdown",
    "list_lines": "share of list items",
    "refusal": "refusal",
    "repetition": "share of repeated phrases",
    "strangeness": "strangest passage",
    "other_letters": "share of letters beyond ASCII",
    "broken_end": "ending",
    "missed_prompt": "share of the prompt not taken up",
    "log_p": "likelihood",
    "lowest": "least likely passage",
    "sentence_starts": "likelihood of how sentences begin",
    "end": "likelihood of ending there",
    "prompt_gain": "gain in likelihood by the prompt",
}
_MAX_REASONS = 2


def reason(diagnosis: Diagnosis, row: int, error_type: str, order: Order) -> Html:
    """Reason why a pair was flagged, as HTML; `order` is the order of the answers in the table of measures."""
    if error_type == "label_error":
        return _why_swapped(diagnosis, row)
    explain = {"feature_error": _why_damaged, "spurious_correlation": _why_spurious}
    return explain[error_type](diagnosis, row, order)


def in_words(column: str, order: Order, row: int) -> str:
    """A column of the table of measures in words, such as "length of the rejected answer"."""
    for answer in ("chosen", "rejected"):
        name, found, _ = column.rpartition(f", {order.side_name(row, answer)}")
        if found:
            return f"{MEASURES[name]} of the {answer} answer"
    name = column.removesuffix(f" {DIFFERENCE}")
    return f"difference in {MEASURES[name]}"


def in_pair_words(columns: str, order: Order, row: int) -> str:
    """Columns of the table of measures, joined by ";", with "chosen" and "rejected" in place of the sides."""
    for name in ("chosen", "rejected"):
        columns = columns.replace(f", {order.side_name(row, name)}", f" of {name}")
    return columns


def _why_swapped(diagnosis: Diagnosis, row: int) -> Html:
    p = float(diagnosis.evidence.p_given_label[row])
    percent = element("strong", unbroken(chance(p)))
    lead = ["Models without the pair prefer the chosen answer with a chance of ", percent]
    tail = "." if p < 0.5 else "; it is its influence that speaks against the preference."
    return join([*lead, tail])


def _why_damaged(diagnosis: Diagnosis, row: int, order: Order) -> Html:
    found = suspects(diagnosis, row)
    if not found:
        return Html("No single measure stands out; the pair's influence pattern is that of damaged texts.")
    parts: list[object] = ["Given the pair's other measures, what stands out is the "]
    for place, (column, nats) in enumerate(list(found.items())[:_MAX_REASONS]):
        parts += [", and the " if place else "", element("strong", in_words(column, order, row))]
        parts.append(f" ({unusual(nats)})")
    more = len(found) - _MAX_REASONS
    return join([*parts, f"; {count(more, 'more measure')} besides." if more > 0 else "."])


def _why_spurious(diagnosis: Diagnosis, row: int, order: Order) -> Html:
    evidence = diagnosis.evidence
    broken = int(evidence.shortcut_broken[row])
    if broken < 0:
        return Html("No single measure explains it; the pair's influence pattern is that of a minority.")
    shortcut = evidence.shortcuts[broken]
    share = unbroken(chance(float(shortcut.p_expected[row])))
    measure = element("strong", in_words(shortcut.column, order, row))
    lead = ["Of the pairs that are alike in the ", measure, ", ", share]
    return join([*lead, " prefer the answer that is rejected here."])
