"""The error that a user's bad input raises, and the checks of words, shares and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any


class InputError(ValueError):
    """Input that cannot be worked with; its message says what was given, what was expected and what to do."""


def check_choices(given: Mapping[str, str], choices: Mapping[str, tuple[str, ...]]) -> None:
    """InputError unless each of `choices` was given one of its words."""
    for name, allowed in choices.items():
        if given[name] not in allowed:
            raise InputError(f"{name} must be one of {', '.join(allowed)}, got {given[name]!r}.")


def lies_in(value: Any, lowest: float, highest: float) -> bool:
    """Whether `value` is a number of this range, its ends included."""
    try:
        return bool(lowest <= value <= highest)
    except (TypeError, ValueError):  # no number
        return False


def check_seed(seed: int) -> None:
    """InputError unless `seed` is a whole number that every generator takes."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise InputError(f"seed must be a whole number from 0 to 4294967295, got {seed!r}.")
