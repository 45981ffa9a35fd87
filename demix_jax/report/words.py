"""Numbers, cell values and findings as a person says them."""

from __future__ import annotations

import math
import numbers
from typing import Any

import pandas as pd


def signed(value: float) -> str:
    """Three decimals with a true minus sign, as influences are printed."""
    return f"{'−' if value < 0 else '+'}{abs(value):.3f}"


def cell(value: Any, limit: int = 60) -> str:
    """A cell's value on one line: numbers shortened, long text cut, missing values named."""
    if value is None or (not isinstance(value, str | list | dict) and pd.api.types.is_scalar(value) and pd.isna(value)):
        return "missing"
    if isinstance(value, pd.Timestamp):
        return str(value.date()) if value == value.normalize() else str(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return plain_number(value)
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def plain_number(value: Any) -> str:
    """A number as it stands in the table, without separators, so that it can be searched for there."""
    if isinstance(value, numbers.Integral):
        return str(int(value))
    value = float(value)
    return str(int(value)) if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"


def unusual(nats: float) -> str:
    """A surprise in nats above the usual as "about 30 times less likely than usual"."""
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
