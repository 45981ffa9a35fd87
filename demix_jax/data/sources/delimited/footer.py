"""Recognises lines below a table that are no rows: totals, remarks and empty lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

from demix_jax.data.sources.delimited.sniffing import NUMBER

MOST_LINES = 8  # that can stand below a table
TOTAL = re.compile(
    r"(?i)\W*(grand |sub)?(total|totals|sum|summe|gesamt|gesamtsumme|insgesamt|zwischensumme|totale|totaal|somme|suma|"
    r"razem|celkem|итого|всего|合计|総計|合計)( g[eé]n[eé]ral)?\W*"
)


def footer_length(lines: Sequence[Sequence[str]], *, totals_above: bool) -> int:
    """How many of the last lines of a file are no rows.

    Args:
      lines: cells of the last lines, at most `MOST_LINES`, as many as each line has fields.
      totals_above: whether the first column has words like "Total" in other lines too, where they are values then.
    """
    length = _length(lines, totals_above)
    if not totals_above and any(cells and TOTAL.fullmatch(cells[0]) for cells in lines[: len(lines) - length]):
        return _length(lines, True)
    return length


def _length(lines: Sequence[Sequence[str]], totals_above: bool) -> int:
    width = max((len(line) for line in lines), default=0)
    length = 0
    for number, cells in enumerate(reversed(lines), start=1):
        if width > 1 and (_is_empty(cells) or _is_remark(cells, width) or _is_total(cells, width, totals_above)):
            length = number
        else:
            break
    return length


def _is_empty(cells: Sequence[str]) -> bool:
    return not any(cell.strip() for cell in cells)


def _is_remark(cells: Sequence[str], width: int) -> bool:
    """Whether a line is a sentence in a table of several columns, such as "Source: Eurostat"."""
    text = cells[0].strip()
    rest_is_empty = _is_empty(cells[1:])
    words = re.findall(r"[^\W\d_]{2,}", text)
    return width > 2 and rest_is_empty and (len(words) > 1 or (bool(words) and ":" in text) or text.startswith("("))


def _is_total(cells: Sequence[str], width: int, totals_above: bool) -> bool:
    """Whether a line begins with a word like "Total", and is otherwise mostly empty or of numbers only."""
    filled = [cell for cell in cells if cell.strip()]
    if not filled or not TOTAL.fullmatch(filled[0]):
        return False
    others = filled[1:]
    mostly_empty = 2 * len(filled) <= width
    return mostly_empty or (not totals_above and width > 2 and all(NUMBER.fullmatch(cell) for cell in others))
