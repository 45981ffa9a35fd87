"""Errors of kinds that the classifier was not tuned on, injected by code that shares nothing with the package.

Labels: noise that depends on the instance, or is confined to a subgroup. Features: two columns swapped, units
mistaken (×10, ×1000), strings cut or mistyped, a constant in place of the value, a stale duplicate of another row in
place of most of this one, values missing where they are high. Shortcut: a group that two columns mark off together and
neither alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.error_types import ERROR_TYPES

LABEL_NOISE = ("instance-dependent", "subgroup")
FEATURE_ERRORS = ("swap", "unit", "typo", "constant", "stale duplicate", "missing")


class Corrupted(NamedTuple):
    """table: n ≤ N rows. truth: 0/1 columns ERROR_TYPES, source_row and clean_label. shortcut: the rule in words."""

    table: pd.DataFrame
    truth: pd.DataFrame
    shortcut: str


def inject_unseen_kinds(
    table: pd.DataFrame, label: str, *, label_errors: float, feature_errors: float, spurious: float, seed: int
) -> Corrupted:
    """Corrupt a clean table; label and feature errors fall on disjoint rows.

    Args:
      table: N clean rows. label: its label column.
      label_errors, feature_errors: shares of the rows that stay after the shortcut is made.
      spurious: share of the rows that break the shortcut; 0 for none.
      seed: of everything; odd and even seeds differ in the kind of label noise.
    """
    rng = np.random.default_rng([seed, 31])
    target = table[label]
    is_class = not pd.api.types.is_numeric_dtype(target) or target.nunique() <= 20
    stay, broken, rule = np.arange(len(table)), np.zeros(len(table), bool), ""
    if spurious > 0:
        stay, broken, rule = two_column_shortcut(table, label, is_class, spurious, rng)
    clean = table.iloc[stay].reset_index(drop=True)
    noise = LABEL_NOISE[seed % len(LABEL_NOISE)]
    labels, wrong_label = noisy_labels(clean, label, is_class, round(label_errors * len(clean)), noise, rng)
    candidates = rng.permutation(np.flatnonzero(~wrong_label))
    corrupted, wrong_cells = wrong_features(clean, label, candidates, round(feature_errors * len(clean)), rng)
    corrupted[label] = labels
    flags = dict(zip(ERROR_TYPES, (wrong_label, wrong_cells, broken), strict=True))
    truth = pd.DataFrame({name: flag.astype(int) for name, flag in flags.items()})
    return Corrupted(corrupted, truth.assign(source_row=stay, clean_label=clean[label]), rule)


def two_column_shortcut(table, label, is_class, share, rng) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows that stay, which of them break "score of two columns above its median ⇔ label side", and the rule."""
    features = [name for name in table.columns if name != label and _can_mark_groups(table[name])]
    target = table[label]
    if is_class:
        value = target.value_counts().index[int(rng.integers(min(2, target.nunique())))]
        side, side_text = (target == value).to_numpy(bool), f"{label} = {value}"
    else:
        side, side_text = (target > target.median()).to_numpy(bool), f"{label} above its median"
    least, group, rule = np.inf, np.zeros(len(table), bool), ""
    for _ in range(30):  # the pair whose group tells least of the label as yet
        first, second = rng.permutation(features)[:2]
        score = _score(table[first], rng) + _score(table[second], rng)
        high = score > np.median(score)
        association = abs(high[side].mean() - high[~side].mean()) if 0.2 < high.mean() < 0.8 else 2.0
        if association < least:
            least, group, rule = association, high, f"{first} and {second} together high ⇔ {side_text}"
    broken = group != side
    minority, majority = np.flatnonzero(broken), np.flatnonzero(~broken)
    keep_minority = min(len(minority), round(share * len(majority) / (1 - share)))
    keep_majority = min(len(majority), round((1 - share) * keep_minority / share))
    stay = [rng.permutation(minority)[:keep_minority], rng.permutation(majority)[:keep_majority]]
    stay = np.sort(np.concatenate(stay))
    return stay, broken[stay], rule


def noisy_labels(clean, label, is_class, count, noise, rng) -> tuple[pd.Series, np.ndarray]:
    """The label column with `count` wrong ones, and bool[N].

    Instance-dependent: a random direction in feature space makes some rows of each class more prone to be
    mistaken (0.4 to 1.6 times the rate), and for which class, after Xia et al. 2020, "Part-dependent Label Noise".
    Subgroup: at most half of a group's labels are wrong. Beyond one half, the wrong labels would be the rule there and
    no method could tell.
    """
    x = np.stack([_score(clean[name], rng) for name in clean.columns if name != label], axis=1)
    target = clean[label]
    if is_class:
        codes, values = pd.factorize(target, sort=True)
    else:
        codes, values = (target > target.median()).to_numpy(int), np.array([0, 1])
    toward = x @ rng.normal(size=(x.shape[1], len(values))) / np.sqrt(x.shape[1])
    if noise == "subgroup":
        prone = _subgroup(clean.drop(columns=label), count, rng)
        toward = np.broadcast_to(toward.mean(axis=0), toward.shape).copy()
    else:
        own = toward[np.arange(len(x)), codes]
        prone = 1.0 - 0.6 * np.tanh((own - own.mean()) / (own.std() + 1e-9))
    toward[np.arange(len(x)), codes] = -np.inf
    other = np.argmax(toward + 0.3 * rng.gumbel(size=toward.shape), axis=1)
    wrong = np.zeros(len(clean), bool)
    wrong[rng.choice(len(clean), count, replace=False, p=prone / prone.sum())] = True
    if is_class:
        return pd.Series(np.where(wrong, values[other], target), name=label).astype(target.dtype), wrong
    return _moved(target, wrong, up=other > codes, rng=rng), wrong


def wrong_features(clean, label, candidates, count, rng) -> tuple[pd.DataFrame, np.ndarray]:
    """A copy of `clean` in which `count` of the candidate rows (or as many as can) have wrong cells, and bool[N]."""
    columns = {name: _writable(clean[name]) for name in clean.columns if name != label}
    numbers = [name for name, values in columns.items() if values.dtype != object]
    texts = [name for name in columns if name not in numbers]
    usual = {name: clean[name].mode().iloc[0] for name in columns}
    ranks = {name: clean[name].rank(pct=True).to_numpy(float) for name in numbers}
    unsuited = {"swap": len(numbers) < 2, "unit": not numbers, "typo": not texts, "missing": not numbers}
    kinds = [kind for kind in FEATURE_ERRORS if not unsuited.get(kind)]
    wrong = np.zeros(len(clean), bool)
    for row in candidates:
        if wrong.sum() == count:
            break
        kind = kinds[rng.integers(len(kinds))]
        for name, value in _row_errors(kind, clean, columns, numbers, texts, usual, ranks, row, rng):
            wrong[row] |= not _same(columns[name][row], value)
            columns[name][row] = value
    result = clean.copy()
    for name, values in columns.items():
        result[name] = _restored(values, clean[name])
    return result, wrong


def _row_errors(kind, clean, columns, numbers, texts, usual, ranks, row, rng) -> list[tuple]:
    """(column, new value) of the cells of one row that an error of this kind changes."""
    if kind == "swap":
        first, second = rng.permutation(numbers)[:2]
        return [(first, columns[second][row]), (second, columns[first][row])]
    if kind == "unit":
        names = rng.permutation(numbers)[: int(rng.integers(1, 4))]
        factor = rng.choice([10.0, 1000.0])
        return [(name, columns[name][row] * factor) for name in names]
    if kind == "typo":
        names = rng.permutation(texts)[: int(rng.integers(1, 4))]
        return [(name, _mistyped(columns[name][row], rng)) for name in names]
    if kind == "stale duplicate":
        return _stale_duplicate(clean, list(columns), rng)
    if kind == "missing":
        return _missing_where_high(ranks, row, rng)
    names = rng.permutation(list(columns))[: max(1, round(0.4 * len(columns)))]
    return [(name, usual[name]) for name in names]


def _stale_duplicate(clean: pd.DataFrame, names: list[str], rng: np.random.Generator) -> list[tuple]:
    """The row as another one is, but for one to three columns, which were brought up to date."""
    kept = set(rng.permutation(names)[: int(rng.integers(1, 4))].tolist())
    other = int(rng.integers(len(clean)))
    return [(name, clean[name].iloc[other]) for name in names if name not in kept]


def _missing_where_high(ranks: dict[str, np.ndarray], row: int, rng: np.random.Generator) -> list[tuple]:
    """One to three numbers missing, of those above their column's median if there are any."""
    high = [name for name, rank in ranks.items() if rank[row] > 0.5] or list(ranks)
    return [(name, np.nan) for name in rng.permutation(high)[: int(rng.integers(1, 4))]]


def _mistyped(text, rng: np.random.Generator):
    """The text cut short, or with two neighbouring letters exchanged, or a letter doubled."""
    if not isinstance(text, str) or len(text) < 2:
        return text
    at = int(rng.integers(len(text) - 1))
    kind = rng.integers(3)
    if kind == 0:
        return text[: max(1, len(text) // 2)]
    if kind == 1:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[: at + 1] + text[at:]


def _score(column: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """f64[N] of mean 0 and variance 1: ranks of numbers, values of a category in random order."""
    if pd.api.types.is_numeric_dtype(column):
        score = column.rank(pct=True).fillna(0.5).to_numpy(float)
    else:
        codes, values = pd.factorize(column.fillna("?"))
        score = rng.permutation(len(values))[codes].astype(float)
    return (score - score.mean()) / (score.std() + 1e-9)


def _can_mark_groups(column: pd.Series) -> bool:
    return column.nunique() > 1 and (pd.api.types.is_numeric_dtype(column) or column.nunique() <= 50)


def _subgroup(features: pd.DataFrame, count: int, rng: np.random.Generator) -> np.ndarray:
    """f64[N], 1 in a group of 2 `count` rows or more that one column marks off, 0 elsewhere; 1 if there is none."""
    for name in rng.permutation(features.columns):
        score = _score(features.loc[:, name], rng)
        group = score >= np.quantile(score, 1 - min(0.95, 2.5 * count / len(score)))
        if 2 * count <= group.sum() <= 0.95 * len(group):
            return group.astype(float)
    return np.ones(len(features))


def _moved(target: pd.Series, wrong: np.ndarray, up: np.ndarray, rng: np.random.Generator) -> pd.Series:
    """Targets moved by a quarter to a half of their range, upwards where there is room and `up` says so."""
    low, high = target.quantile(0.01), target.quantile(0.99)
    values = target.to_numpy(float).copy()
    step = rng.uniform(0.25, 0.5, len(values)) * (high - low)
    up = np.where(values + step > target.max(), False, np.where(values - step < target.min(), True, up))
    moved = np.where(up, values + step, values - step)
    if pd.api.types.is_integer_dtype(target):
        moved = np.round(moved)
    return pd.Series(np.where(wrong, moved, values), name=target.name).astype(target.dtype)


def _writable(column: pd.Series) -> np.ndarray:
    is_number = pd.api.types.is_numeric_dtype(column)
    return column.to_numpy(dtype=float if is_number else object, na_value=np.nan, copy=True)


def _restored(values: np.ndarray, like: pd.Series) -> pd.Series:
    """As a column like the one it was: whole numbers stay whole, in 64 bits since units may be mistaken."""
    whole = pd.api.types.is_integer_dtype(like) and np.all(np.mod(values, 1) == 0)
    dtype = "int64" if whole else float if values.dtype != object else like.dtype
    return pd.Series(values, name=like.name).astype(dtype)


def _same(before, after) -> bool:
    return before == after or (pd.isna(before) and pd.isna(after))
