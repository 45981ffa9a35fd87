"""The error that a user's bad input raises, and the check of choices among words."""

from __future__ import annotations

from collections.abc import Mapping


class InputError(ValueError):
    """Input that cannot be worked with; its message says what was given, what was expected and what to do."""


def check_choices(given: Mapping[str, str], choices: Mapping[str, tuple[str, ...]]) -> None:
    """InputError unless each of `choices` was given one of its words."""
    for name, allowed in choices.items():
        if given[name] not in allowed:
            raise InputError(f"{name} must be one of {', '.join(allowed)}, got {given[name]!r}.")
