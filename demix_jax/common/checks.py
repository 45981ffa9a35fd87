"""`InputError` for bad user input, and checks of choices, ranges and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any


class InputError(ValueError):
    """Unusable input; the message says what was given, what was expected and what to do."""


def check_choices(given: Mapping[str, str], choices: Mapping[str, tuple[str, ...]]) -> None:
    """Raise InputError unless every option has one of its allowed values.

    Args:
      given: option -> value. choices: option -> allowed values.
    """
    for name, allowed in choices.items():
        if given[name] not in allowed:
            raise InputError(f"{name} must be one of {', '.join(allowed)}, got {given[name]!r}.")


def lies_in(value: Any, lowest: float, highest: float) -> bool:
    """Whether `value` is a number in the closed interval [lowest, highest]."""
    try:
        return bool(lowest <= value <= highest)
    except (TypeError, ValueError):  # not a number
        return False


def check_seed(seed: int) -> None:
    """Raise InputError unless `seed` is a whole number from 0 to 2³² − 1, the range that every generator accepts."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise InputError(f"seed must be a whole number from 0 to 4294967295, got {seed!r}.")
