"""Terms of the report on table rows."""

from __future__ import annotations

from demix_jax.common.wording import Words

NAMES = {
    "label_error": "Label error",
    "feature_error": "Feature error",
    "spurious_correlation": "Spurious correlation",
    "none": "No finding",
}


MEANING = {
    "label_error": "The label does not fit the rest of the row. Relabel the row, or drop it.",
    "feature_error": "Some of the row's values do not fit the others. Correct them, or drop the row.",
    "spurious_correlation": "The row breaks a shortcut that most rows follow. "
    "Such a row is valuable, not wrong: keep it and give it weight.",
}


PLURAL = {
    "label_error": "label errors",
    "feature_error": "feature errors",
    "spurious_correlation": "rows that break a shortcut",
}


READING = {
    "label_error": "Each row is shown with the label that stands in the table, the label that a model expects which "
    "was trained without the row, and how probable that model finds the label that stands there.",
    "feature_error": "Each row is shown with the columns that stand out. A value's surprise is measured in nats "
    "against what is usual in its column, given the other values of the row: 2.3 nats more is ten times less likely.",
    "spurious_correlation": "A shortcut is a column whose value alone nearly gives the label away. A model that learns "
    "it does well on most rows and fails on those that break it. These rows break it: they are right, and they are "
    "what teaches a model to look further. Keep them, and give them weight.",
}


ADVICE = {
    "label_error": "relabel or drop",
    "feature_error": "correct or drop",
    "spurious_correlation": "keep and give weight: valuable, not wrong",
}


ROWS = Words(
    noun="row",
    compares_labels=True,
    names=NAMES,
    meaning=MEANING,
    plural=PLURAL,
    reading=READING,
    advice=ADVICE,
    unfolds="values and evidence",
    labels="labels",
    for_labels="Add columns that bear on the label.",
)
