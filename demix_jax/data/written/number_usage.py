"""Finds the usual form among the numbers of a column: currency, sign, thousands, decimals, exponent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from demix_jax.data.written.number_form import NumberForm, decimals_written
from demix_jax.data.written.number_shapes import Digits, NumberShape
from demix_jax.data.written.units import Multiplier

_RARE = 0.01  # share of cells and of distinct numbers below which unusually many decimals do not count
_SCIENTIFIC_SHARE = 0.9
_NO_SIGN = str.maketrans("", "", "()-−–")
_T = TypeVar("_T", bound=Hashable)


class NumberGroup(NamedTuple):
    """The m texts of one shape whose first digit is or is not 0.

    rows: i64[m], their positions in the column. counts: i64[m], cells with each. weight: cells in all.
    """

    shape: NumberShape
    zero: bool
    texts: list[str]
    rows: np.ndarray
    counts: np.ndarray
    weight: int


class ReadNumbers(NamedTuple):
    """A group whose digits were understood."""

    group: NumberGroup
    digits: Digits


def usual_form(read: Sequence[ReadNumbers], *, mark: str, unit: str, letters: bool) -> NumberForm:
    """The form of most numbers of a column.

    Args:
      read: all its numbers. mark, unit, letters: as in `NumberForm`.
    """
    negative = [one for one in read if one.group.shape.negative]
    positive = [one for one in read if not one.group.shape.negative]
    template = _commonest(positive or negative, lambda one: one.group.shape.template)
    upwards = template if positive else template.translate(_NO_SIGN)
    downwards = _commonest(negative, lambda one: one.group.shape.template) if negative else "-" + upwards.lstrip("+")
    scientific = [one for one in read if one.group.shape.exponent]
    is_scientific = num_cells(scientific) >= _SCIENTIFIC_SHARE * num_cells(read)
    usual = scientific if is_scientific else [one for one in read if not one.group.shape.exponent] or read
    group, indian = _thousands(usual)
    fewest, most = _decimals(usual)
    return NumberForm(
        mark=mark,
        group=group,
        indian=indian,
        unit=unit,
        positive=upwards,
        negative=downwards,
        fewest=fewest,
        most=most,
        multipliers=_multipliers(read),
        letters=letters,
        exponent=_exponent(scientific) if scientific else "",
        is_scientific=is_scientific,
    )


def _thousands(read: Sequence[ReadNumbers]) -> tuple[str, bool]:
    """The separator of thousands, "" if most numbers of four digits and more have none; whether groups are Indian."""
    grouped = [one for one in read if one.digits.group]
    bare = [one for one in read if not one.digits.group and one.digits.whole > 3]
    if not grouped or num_cells(bare) > num_cells(grouped):
        return "", False
    group = _commonest(grouped, lambda one: one.digits.group)
    long = [one for one in grouped if one.digits.whole > 5]
    return group, bool(long) and 2 * num_cells([one for one in long if one.digits.indian]) > num_cells(long)


def _decimals(read: Sequence[ReadNumbers]) -> tuple[int, int]:
    """The fewest and most decimals to write; a few numbers with unusually many decimals do not count.

    They are equal if the column fills up with zeros: more numbers of the usual length end in 0 than are shorter.
    """
    weights: Counter[int] = Counter()
    distinct: Counter[int] = Counter()
    for one in read:
        decimals = decimals_written(one.group.shape, one.digits)
        weights[decimals] += one.group.weight
        distinct[decimals] += len(one.group.texts)
    usual = max(weights, key=lambda decimals: (decimals > 0, weights[decimals], decimals))
    shorter, longer = (sum(weights[d] for d in weights if (d - usual) * side > 0) for side in (-1, 1))
    filled = _ending_in_zero(read, usual) if usual > 1 or not longer else 0
    if filled > shorter and filled > longer:
        return usual, usual
    return min(weights), max(d for d in weights if not _is_rare(weights, d) or not _is_rare(distinct, d))


def _is_rare(weights: Counter[int], decimals: int) -> bool:
    """Whether few have that many decimals."""
    return weights[decimals] < _RARE * weights.total()


def _ending_in_zero(read: Sequence[ReadNumbers], decimals: int) -> int:
    """The number of cells with that many decimals, the last of which is 0."""
    found = 0
    for one in read:
        if decimals and decimals_written(one.group.shape, one.digits) == decimals:
            end = one.group.shape.end - 1
            zeros = np.array([text[end] == "0" for text in one.group.texts], dtype=bool)
            found += int(one.group.counts[zeros].sum())
    return found


def _multipliers(read: Sequence[ReadNumbers]) -> tuple[Multiplier, ...]:
    """The multipliers of the column in the usual spelling, with the bare number if it is used; none if none is."""
    by_factor: dict[float, list[ReadNumbers]] = {}
    for one in read:
        by_factor.setdefault(one.group.shape.multiplier.factor, []).append(one)
    if set(by_factor) == {1.0}:
        return ()
    return tuple(_commonest(by_factor[factor], lambda one: one.group.shape.multiplier) for factor in sorted(by_factor))


def _exponent(scientific: Sequence[ReadNumbers]) -> str:
    """The shape of the usual exponent; one without minus tells whether a plus is written."""
    upwards = [one for one in scientific if not set(one.group.shape.exponent) & {"-", "−"}]
    return _commonest(upwards or scientific, lambda one: one.group.shape.exponent)


def num_cells(read: Sequence[ReadNumbers]) -> int:
    """The number of cells with these numbers."""
    return sum(one.group.weight for one in read)


def heaviest(weights: dict[_T, int]) -> _T:
    """The key with the largest weight; of several the first in order."""
    return min(weights, key=lambda key: (-weights[key], str(key)))


def _commonest(read: Sequence[ReadNumbers], part: Callable[[ReadNumbers], _T]) -> _T:
    """What most numbers have."""
    weights: dict[_T, int] = {}
    for one in read:
        weights[part(one)] = weights.get(part(one), 0) + one.group.weight
    return heaviest(weights)
