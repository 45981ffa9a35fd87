"""Label errors: the kinds that there are, and drawing the rows and their wrong labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.corruption import class_label_kinds as of_classes
from demix_jax.corruption import number_label_kinds as of_numbers
from demix_jax.corruption.columns import CleanNumbers, describe
from demix_jax.corruption.groups import series_of, to_floats
from demix_jax.corruption.label_proposals import Classes, Proposal, Targets
from demix_jax.corruption.rule_label_kind import rule

if TYPE_CHECKING:
    import pandas as pd

CLASS_KINDS: dict[str, Callable[[Classes, int, np.random.Generator], Proposal]] = {
    "uniform": of_classes.uniform,
    "near": of_classes.uniform,
    "asymmetric": of_classes.asymmetric,
    "feature_dependent": of_classes.feature_dependent,
    "subgroup": of_classes.subgroup,
    "class_dependent": of_classes.class_dependent,
    "boundary": of_classes.boundary,
    "annotator": of_classes.annotator,
    "rule": rule,
    "minority": of_classes.minority,
}
TARGET_KINDS: dict[str, Callable[[Targets, int, np.random.Generator], Proposal]] = {
    "uniform": of_numbers.uniform,
    "near": of_numbers.near,
    "asymmetric": of_numbers.asymmetric,
    "feature_dependent": of_numbers.feature_dependent,
    "subgroup": of_numbers.subgroup,
    "constant": of_numbers.constant,
    "sign": of_numbers.sign,
    "digit": of_numbers.digit,
    "unit": of_numbers.unit,
    "swapped": of_numbers.swapped,
}
LABEL_KINDS = tuple(dict.fromkeys([*CLASS_KINDS, *TARGET_KINDS]))


def suitable_label_kinds(*, classes: bool) -> tuple[str, ...]:
    """Those of LABEL_KINDS that suit classes, or numbers."""
    return tuple(CLASS_KINDS if classes else TARGET_KINDS)


def corrupt_labels(
    table: pd.DataFrame, label: str, count: int, rng: np.random.Generator, *, classes: bool, kinds: Sequence[str]
) -> tuple[pd.Series, np.ndarray]:
    """Gives `count` rows another label.

    Args:
      table: N rows, clean.
      label: the label column.
      count: number of rows to mislabel; fewer are, where the kinds can make no more wrong.
      classes: whether the labels are classes; else they are numbers.
      kinds: some of LABEL_KINDS, see `LabelErrors`. Each makes about the same number of rows wrong.
    Returns:
      The label column with errors (same dtype) and bool[N], the mislabelled rows.
    Raises:
      InputError: a kind does not suit the labels, or finds no group or column that it needs.
    """
    target = series_of(table, label)
    _check_kinds(kinds, label, classes=classes)
    features = table.drop(columns=label)
    if not classes:
        labels = Targets(features, to_floats(target), cast(CleanNumbers, describe(target)))
        new, changed = _mix(labels, count, rng, kinds)
        return _like(new, target), changed
    codes, values = target.factorize()
    new, changed = _mix(Classes(features, codes, len(values)), count, rng, kinds)
    return _like(values.take(new), target), changed


def _mix(
    labels: Classes | Targets, count: int, rng: np.random.Generator, kinds: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """New values like `labels.values`, and bool[N], the `count` rows where they differ from it."""
    known = CLASS_KINDS if isinstance(labels, Classes) else TARGET_KINDS
    new, changed = labels.values.copy(), np.zeros(len(labels.values), dtype=bool)
    order = [kinds[i] for i in rng.permutation(len(kinds))]
    for k, kind in enumerate(order):
        wanted = -(-(count - int(changed.sum())) // (len(order) - k))
        proposal = known[kind](labels, wanted, rng)  # pyright: ignore[reportArgumentType]
        score = np.where(changed | (proposal.new == labels.values), -np.inf, proposal.score)
        chosen = np.argsort(-score, kind="stable")[:wanted]
        chosen = chosen[np.isfinite(score[chosen])]
        new[chosen], changed[chosen] = proposal.new[chosen], True
    return new, changed


def _check_kinds(kinds: Sequence[str], label: str, *, classes: bool) -> None:
    suitable = suitable_label_kinds(classes=classes)
    if wrong := [kind for kind in kinds if kind not in suitable]:
        suited, held = ("numbers", "classes") if classes else ("classes", "numbers")
        raise InputError(
            f'LabelErrors.kind "{wrong[0]}" suits {suited}, but the label column "{label}" holds {held}; '
            f"choose among {', '.join(suitable)}."
        )


def _like(values, series: pd.Series) -> pd.Series:
    """`values` as a column with the index, name and dtype of `series`."""
    import pandas as pd

    return pd.Series(values, index=series.index).astype(series.dtype).rename(series.name)
