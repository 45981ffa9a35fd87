"""Finds columns that look like a key of persons, sessions or the like, whose rows belong together."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from demix_jax.common.wording import count
from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import Column
from demix_jax.data.row_hashes import cell_hashes

_MIN_VALUES = 20
_FEWEST, _MOST = 2, 50  # rows per value
_REPEATED = 0.8  # share of the rows whose value is in so many rows
_ALIKE_FOR_NAME = 0.3  # likeness in the most alike column, where the name is that of a key
_ALIKE, _SHARE_ALIKE, _MIN_ALIKE = 0.8, 0.5, 3  # else likeness in this share of the other columns, and in so many
_MAX_TEXT = 40  # characters of a key, on average
_MAX_ROWS, _MAX_KEYS, _MAX_COLUMNS = 20_000, 20, 50  # bound the cost on large tables

_BEINGS = frozenset(
    "person patient subject participant respondent student pupil teacher employee worker user customer client member "
    "account household family session visitor device machine vehicle driver player athlete child mother animal owner "
    "borrower applicant donor author annotator speaker writer case episode encounter admission trip".split()
)
_KEYS = frozenset("id ids key no nr num number code uid uuid guid hash ref".split())
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def propose_groups(table: Table) -> list[str]:
    """Names of the columns that look like a key of persons, patients, sessions and the like, the most alike first.

    Nearly every value of such a column is in 2 to 50 rows, and rows of one value are alike. Where the name is that of
    a key, such as "patient" or "customer_id", they are alike in at least one other column; else they are nearly always
    equal in half of the other columns. Dates and fractions are no keys. The order of the rows plays no part.
    """
    keys = [place for place, (_, column, values) in enumerate(table.features()) if _may_be_key(column, values)]
    keys.sort(key=lambda place: not _is_key_name(table.columns[place].name))
    found = []
    for place in keys[:_MAX_KEYS]:
        likeness = _likeness(table, place)
        by_name = _is_key_name(table.columns[place].name) and likeness.max(initial=0) >= _ALIKE_FOR_NAME
        alike = int(np.sum(likeness >= _ALIKE))
        if by_name or (alike >= _MIN_ALIKE and alike >= _SHARE_ALIKE * len(likeness)):
            found.append((-likeness.mean(), table.columns[place].name))
    return [name for _, name in sorted(found)]


def proposal_note(table: Table, name: str) -> str:
    """The sentence that proposes the column `name`, one of `propose_groups`, as groups."""
    values = next(values for _, column, values in table.features() if column.name == name)
    number = values.nunique()
    return (
        f"Rows repeat the {count(number, 'value')} of {name!r}, about {values.count() / number:.0f} rows each, and are "
        f"alike where they do. If rows of one value belong together (one person, say), give --groups {name!r}: else "
        "models that judge a row have seen its siblings."
    )


def _may_be_key(column: Column, values: pd.Series) -> bool:
    """Whether nearly every value is in a few rows, and values are whole numbers or short texts."""
    if column.kind not in ("number", "category", "text", "identifier"):
        return False
    hashes = cell_hashes(values.dropna())
    numbers, distinct = pd.factorize(hashes)
    sizes = np.bincount(numbers, minlength=1)
    usual = (sizes >= _FEWEST) & (sizes <= _MOST)
    if len(distinct) < _MIN_VALUES or sizes[usual].sum() < _REPEATED * len(values):
        return False
    if pd.api.types.is_numeric_dtype(values.dtype):
        plain = values.dropna().to_numpy(dtype=np.float64)
        return bool(np.all(plain == np.round(plain)))
    texts = values.dropna().drop_duplicates().astype(str)
    return bool(texts.str.len().mean() <= _MAX_TEXT)


def _is_key_name(name: str) -> bool:
    """Whether a name ends in that of a being, or such a one with a word for key: "Patient", "customerId", "case_no"."""
    words = [word.lower() for word in _WORD.findall(name) if not word.isdigit()]
    if words and words[-1] in _KEYS:
        words = words[:-1] or ["person"]  # a column "id" whose values repeat
    return bool(words) and words[-1] in _BEINGS


def _likeness(table: Table, place: int) -> np.ndarray:
    """f64[C]: for C other columns, how alike rows of one value of the column at `place` are.

    1 means equal within each value, 0 no more alike than any rows. It is the larger of two measures: how much more
    often two rows are equal, and, for numbers, the share of the variance of their ranks between values.
    """
    features = list(table.features())
    chosen, groups = _rows_of_some_values(features[place][2])
    others = [q for q in range(len(features)) if q != place and features[q][1].used]
    others = [others[i] for i in np.linspace(0, len(others) - 1, min(len(others), _MAX_COLUMNS)).astype(int)]
    found = []
    for q in others:
        column, values = features[q][1], features[q][2].iloc[chosen]
        alike = _equality(cell_hashes(values), groups)
        if column.kind in ("number", "date"):
            ranks = values.rank().to_numpy(dtype=np.float64, na_value=np.nan)
            alike = max(alike, _explained(ranks, groups))
        found.append(alike)
    return np.array(found)


def _rows_of_some_values(key: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Rows i64[n] with some of the values of a key, chosen by their hash, and the number i64[n] of each row's value."""
    present = np.flatnonzero(key.notna().to_numpy())
    hashes = cell_hashes(key.iloc[present])
    order = np.argsort(hashes, kind="stable")[:_MAX_ROWS]
    return present[order], pd.factorize(hashes[order])[0]


def _equality(values: np.ndarray, groups: np.ndarray) -> float:
    """How much more often two rows of one group have equal values than any two rows, at most 1."""
    within = _pairs(pd.factorize(groups)[0])
    numbers = pd.factorize(values)[0].astype(np.int64)
    both = groups.astype(np.int64) * (numbers.max() + 1) + numbers
    among_all = _pairs(numbers) / max(len(values) * (len(values) - 1), 1)
    among_own = _pairs(pd.factorize(both)[0]) / max(within, 1)
    return (among_own - among_all) / (1 - among_all) if among_all < 1 else 0.0


def _pairs(numbers: np.ndarray) -> float:
    """The number of ordered pairs of rows with the same number."""
    sizes = np.bincount(numbers).astype(float)
    return float(np.sum(sizes * (sizes - 1)))


def _explained(ranks: np.ndarray, groups: np.ndarray) -> float:
    """Intraclass correlation of ranks f64[n] in groups i64[n]: the share of variance between groups; one-way ANOVA."""
    known = ~np.isnan(ranks)
    groups, ranks = pd.factorize(groups[known])[0], ranks[known]
    if not len(ranks):
        return 0.0
    sizes = np.bincount(groups)
    means = np.bincount(groups, weights=ranks) / sizes
    num_groups, num_rows = len(sizes), len(ranks)
    if num_groups < 2 or num_rows <= num_groups:
        return 0.0
    between = np.sum(sizes * (means - ranks.mean()) ** 2) / (num_groups - 1)
    within = np.sum((ranks - means[groups]) ** 2) / (num_rows - num_groups)
    usual = (num_rows - np.sum(sizes**2) / num_rows) / (num_groups - 1)
    total = between + (usual - 1) * within
    return float((between - within) / total) if total > 0 else 0.0
