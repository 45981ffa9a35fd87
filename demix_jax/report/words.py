"""Formats numbers, cell values and surprise as text."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import pandas as pd

from demix_jax.data.lists import flat_numbers

_SHOWN_NUMBERS = 2  # of a long vector


def signed(value: float) -> str:
    """Format an influence with its sign (a true minus) and three decimals."""
    return f"{'−' if value < 0 else '+'}{abs(value):.3f}"


def cell(value: Any, limit: int = 60) -> str:
    """Format a cell's value on one line: numbers shortened, text cut to `limit`, missing values as "missing".

    Example:
      >>> cell(2.0), cell(1 / 3), cell(None), cell("a long description", limit=7)
      ('2', '0.333333', 'missing', 'a long…')
      >>> cell([0.125, -0.4, 3.0, 1.0, 2.0, 5.0]), cell(("news", "sport"))
      ('[0.12, −0.4, … 6 numbers]', 'news, sport')
    """
    if value is None or (not isinstance(value, str | list | dict) and pd.api.types.is_scalar(value) and pd.isna(value)):
        return "missing"
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        value = _several(value)
    if isinstance(value, pd.Timestamp):
        return str(value.date()) if value == value.normalize() else str(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return plain_number(value)
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _several(value: list | tuple | set | frozenset | np.ndarray) -> str:
    """Format a list: the first numbers of a vector and how many there are, or all elements of a set."""
    numbers = flat_numbers(value)
    if numbers is None:
        return ", ".join(map(str, value)) or "none"
    shown = [f"{number:.2g}".replace("-", "−") for number in numbers[: _SHOWN_NUMBERS + 2].tolist()]
    if len(numbers) <= len(shown):
        return f"[{', '.join(shown)}]"
    return f"[{', '.join(shown[:_SHOWN_NUMBERS])}, … {len(numbers)} numbers]"


def plain_number(value: Any) -> str:
    """Format a number without separators, as in the table, so that a search finds it there."""
    if isinstance(value, numbers.Integral):
        return str(int(value))
    value = float(value)
    return str(int(value)) if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"


def unusual(nats: float) -> str:
    """Describe a surprise in nats above the usual as a factor.

    Example:
      >>> unusual(3.4)
      'about 30 times less likely than usual'
      >>> unusual(0.1)
      'hardly less likely than usual'
    """
    if nats < math.log(1.5):
        return "hardly less likely than usual"
    if nats > math.log(10_000):
        return "over 10,000 times less likely than usual"
    times = math.exp(nats)
    return (
        f"about {times:,.1f} times less likely than usual"
        if times < 9.5
        else (f"about {float(f'{times:.2g}'):,.0f} times less likely than usual")
    )
