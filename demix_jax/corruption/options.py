"""Options of the error injection: one object per error type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from demix_jax.common.checks import InputError, check_choices, lies_in
from demix_jax.corruption.feature_kinds import DEFAULT_FEATURE_KINDS, FEATURE_KINDS
from demix_jax.corruption.groups import GROUP_KINDS, OF_ONE_COLUMN
from demix_jax.corruption.labels import LABEL_KINDS
from demix_jax.corruption.rules import SHORTCUT_KINDS, ShortcutRule


@dataclass(frozen=True)
class LabelErrors:
    """Label errors: how many rows get a wrong label, and which.

    Attributes:
      rate: share of the rows, in [0, 1].
      kind: one of LABEL_KINDS, or several, of which each makes about as many rows wrong. "uniform": any row gets any
        other class; a numeric label moves by at least a quarter of its range. "near": as "uniform", but numeric labels
        move by an eighth to a half of their range. "asymmetric": each class has its own error rate and is always
        mistaken for the same other class; numeric labels all move in one direction. "feature_dependent": mostly rows
        near another class's centroid get that class; for numeric labels the classes are the low and the high half.
        "subgroup": only rows of one group, which a condition on one column defines.
        For classes only: "class_dependent": one class is wrong twenty times as often as the others; "boundary": rows
        next to the decision boundary of a linear model get the likeliest other class; "annotator": a few annotators
        label the rows, each with a line somewhat off the true one; "rule": a threshold, values or keywords say the
        class of a region of rows; "minority": rows of other classes get the rarest class.
        For numeric labels only: "constant": labels slip by one offset or factor, the same for all; "sign": the sign
        changes; "digit": a digit is mistyped, left out, doubled or swapped; "unit": another unit of measurement or a
        power of ten; "swapped": the label of another row.
    Fewer rows than the rate asks for are wrong where the kinds can make no more wrong.
    Source: Northcutt, Jiang & Chuang 2021, "Confident Learning" (class-conditional label noise).
    """

    rate: float = 0.15
    kind: str | Sequence[str] = "uniform"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds, one or several."""
        return (self.kind,) if isinstance(self.kind, str) else tuple(self.kind)


@dataclass(frozen=True)
class FeatureErrors:
    """Feature errors: how many rows get wrong features, in which cells, and how these change.

    Attributes:
      rate: share of the rows, in [0, 1].
      kinds: some of FEATURE_KINDS; the kind of each cell is drawn among those that suit its column. "outlier": far
        from the mean; "scale": times 0.1, 10 or 100; "shift": each cell moved by its own amount; "offset": all cells
        of a column moved by the same amount; "noise": Gaussian noise added; "sign": the sign changed; "missing":
        missing; "swap_category": another category; "permute": the value of a random row; "stale": the value of the
        row before; "constant": the median, zero or the most frequent category; "typo": misspelt; "swap_columns":
        swapped with another column; "limit": an end of the column's range, as from a saturated sensor; "round":
        rounded to one significant digit; "digit": a digit mistyped, left out, doubled or swapped with the next;
        "sentinel": a number or word that means missing, such as -999; "unit": converted to another unit of
        measurement; "drift": an offset that grows over the affected rows, which are consecutive where this is the only
        kind. For free text: "cut": cut short; "mojibake": UTF-8 read as Latin-1; "other_text": the text of a random
        row; "boilerplate": a standard sentence, the same for all, in place of the text or beside it. Of all these,
        "scale", "noise", "missing" and "constant" (zeros) also suit vectors, as a whole; "sign", "permute" and "stale"
        do where none of these is given.
      columns: names of the feature columns that errors may fall on; None: all but those that identify rows.
      cell_share: probability that a cell of a row with errors changes, in [0, 1]; at least one cell does. Two numbers
        are a range from which each row's probability is drawn.
      one_kind_per_row: whether the wrong cells of a row have one kind in common where it suits their columns; else
        each cell has its own.
    """

    rate: float = 0.15
    kinds: Sequence[str] = DEFAULT_FEATURE_KINDS
    columns: Sequence[str] | None = None
    cell_share: float | tuple[float, float] = 0.4
    one_kind_per_row: bool = False


@dataclass(frozen=True)
class SpuriousCorrelation:
    """A spurious correlation between a group of rows and the label, made by leaving rows out.

    Attributes:
      minority_share: share of the remaining rows that break the rule, in [0, 0.5]; 0: no row is left out.
      shortcut: the rule, as ShortcutRule or as text for `parse_shortcut`; None: a rule is found in the table.
      kind: one of SHORTCUT_KINDS, for a rule that is found. "two-sided": the group goes with some labels and the rest
        with the others. "one-sided": only rows of the group can break the rule.
      group_kinds: some of GROUP_KINDS, for a rule that is found. The group is defined by one "value" of a column, a
        "set" of values or a "threshold", or by conditions on two columns of which both ("and") or exactly one ("xor")
        hold.
    """

    minority_share: float = 0.15
    shortcut: ShortcutRule | str | None = None
    kind: str = "two-sided"
    group_kinds: Sequence[str] = OF_ONE_COLUMN


class ErrorOptions(NamedTuple):
    """Options of the three error types; the fields are arguments of `inject_errors`."""

    label_errors: LabelErrors
    feature_errors: FeatureErrors
    spurious: SpuriousCorrelation


def checked_options(
    label_errors: float | LabelErrors, feature_errors: float | FeatureErrors, spurious: float | SpuriousCorrelation
) -> ErrorOptions:
    """Options of the three error types; a number stands for the defaults with this rate.

    Raises:
      InputError: a rate, kind or share that cannot be used, or rates that add up to more than 1.
    """
    options = ErrorOptions(
        label_errors=_as_options(label_errors, LabelErrors, "label_errors"),
        feature_errors=_as_options(feature_errors, FeatureErrors, "feature_errors"),
        spurious=_as_options(spurious, SpuriousCorrelation, "spurious"),
    )
    labels, features, spurious = options
    check_rate("label_errors", labels.rate)
    check_rate("feature_errors", features.rate)
    _check_cell_share(features.cell_share)
    if not lies_in(spurious.minority_share, 0.0, 0.5):
        raise InputError(
            f"spurious is the share of a minority and must lie in [0, 0.5], got {spurious.minority_share}."
        )
    if labels.rate + features.rate > 1.0 + 1e-9:
        raise InputError(
            f"label_errors {labels.rate:g} and feature_errors {features.rate:g} fall on different rows, so they "
            "may add up to at most 1; lower one of them."
        )
    check_choices({"SpuriousCorrelation.kind": spurious.kind}, {"SpuriousCorrelation.kind": SHORTCUT_KINDS})
    check_some("LabelErrors.kind", labels.kinds, LABEL_KINDS)
    check_some("FeatureErrors.kinds", features.kinds, FEATURE_KINDS)
    check_some("SpuriousCorrelation.group_kinds", spurious.group_kinds, GROUP_KINDS)
    return options


_Options = TypeVar("_Options", LabelErrors, FeatureErrors, SpuriousCorrelation)


def _as_options(given: Any, kind: type[_Options], name: str) -> _Options:
    """`given` itself if it is options of this kind, else the defaults with `given` as the rate."""
    if isinstance(given, kind):
        return given
    if isinstance(given, (LabelErrors, FeatureErrors, SpuriousCorrelation)):
        raise InputError(f"{name} takes a number or {kind.__name__}, got {type(given).__name__}.")
    return kind(given)


def check_rate(name: str, rate: float) -> None:
    """InputError unless `rate` is a share of the rows."""
    if not lies_in(rate, 0.0, 1.0):
        raise InputError(f"{name} must lie in [0, 1], got {rate}.")


def _check_cell_share(cell_share: float | tuple[float, float]) -> None:
    """InputError unless it is a share, or the two ends of a range of shares."""
    if np.shape(cell_share) not in ((), (2,)):
        raise InputError(f"FeatureErrors.cell_share must be a share, or the two ends of a range, got {cell_share}.")
    lowest, highest = np.broadcast_to(np.asarray(cell_share), 2)
    check_rate("FeatureErrors.cell_share", lowest)
    check_rate("FeatureErrors.cell_share", highest)
    if lowest > highest:
        raise InputError(f"FeatureErrors.cell_share is a range and must rise, got {lowest:g} to {highest:g}.")


def check_some(name: str, given: Sequence[Any], known: Sequence[Any]) -> None:
    """InputError unless `given` is a sequence of one or more of the names `known`."""
    if isinstance(given, str):
        raise InputError(f'{name} is "{given}"; give a tuple of names, such as ("{known[0]}",).')
    unknown = [str(kind) for kind in given if kind not in known]
    if unknown or not given:
        what = ", ".join(unknown) if unknown else "nothing"
        raise InputError(f"{name} was given {what}; choose among {', '.join(map(str, known))}.")
