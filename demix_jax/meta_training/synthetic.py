"""Random training tables: from causal models, from independent columns and from repeated measurements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

LABEL = "label"


def synthetic_table(seed: int, num_rows: int) -> pd.DataFrame:
    """Draw a table from a random causal model of its columns, with column `LABEL` to predict.

    Columns are numbers (normal, heavy-tailed, counts, zero-inflated) or categories (two to a dozen values), some with
    missing cells. The label is a class (two to six, often unbalanced) or a number. It is a random smooth function of
    some columns, with noise.

    Args:
      seed: determines the whole table; equal seeds give equal tables.
      num_rows: N.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    num_columns = int(rng.integers(5, 23))
    latent = _latent_variables(rng, num_rows, num_columns)
    label = _label(rng, latent)
    share_categorical = rng.uniform(0.1, 0.8)
    columns = {}
    for q in range(num_columns):
        if rng.random() < share_categorical:
            column = _as_category(rng, latent[:, q], f"c{q}_")
        else:
            column = _as_number(rng, latent[:, q])
        if rng.random() < 0.12:
            column = pd.Series(column).mask(rng.random(num_rows) < rng.uniform(0.01, 0.2))
        columns[f"x{q}"] = column
    columns[LABEL] = label
    return pd.DataFrame(columns)


def synthetic_plain(seed: int, num_rows: int) -> pd.DataFrame:
    """Draw a table of nearly or fully independent columns, with column `LABEL` to predict.

    There are one to a dozen numbers and up to four categories, identically distributed over rows. A few of them predict
    the label, a class or a number, hardly at all or almost perfectly. Such a table has no errors, although no row
    supports another.

    Args:
      seed: determines the whole table; equal seeds give equal tables.
      num_rows: maximum of N, which may be as small as 300.
    """
    import pandas as pd

    rng = np.random.default_rng([seed, 2])
    num_rows = min(num_rows, int(rng.choice([300, 600, 1_200, 2_500, 4_000])))
    common = rng.choice([0.0, 0.0, 0.3])
    latent = rng.normal(size=(num_rows, int(rng.integers(1, 13))))
    latent = common * rng.normal(size=(num_rows, 1)) + np.sqrt(1 - common**2) * latent
    columns: dict[str, np.ndarray] = {f"x{q}": _as_number(rng, latent[:, q]) for q in range(latent.shape[1])}
    causes = [latent[:, q] for q in rng.permutation(latent.shape[1])[: int(rng.integers(1, 5))]]
    for q in range(int(rng.integers(0, 5))):
        index = rng.integers(int(rng.integers(2, 8)), size=num_rows)
        columns[f"c{q}"] = np.array([f"c{q}_{i}" for i in index], dtype=object)
        if rng.random() < 0.5:
            causes.append((index == 0) - 0.5)
    score = np.column_stack(causes) @ rng.normal(size=len(causes))
    told = rng.choice([0.0, 0.2, 0.4, 0.8, 1.5, 3.0, 8.0])
    score = told * (score - score.mean()) / (score.std() + 1e-9) + 0.6 * rng.logistic(size=num_rows)
    columns[LABEL] = np.round(score, 3) if rng.random() < 0.25 else _ordered_classes(rng, score)
    return pd.DataFrame(columns)


def synthetic_panel(seed: int, num_rows: int) -> pd.DataFrame:
    """Draw a table whose rows were measured several times, with column `LABEL` to predict.

    One to three quantities (amounts, counts or state codes) are measured at three to seven times; payments may
    accompany an amount. Further columns are as in `synthetic_table`. Most rows change slowly, but some jump, fall to
    zero or are far larger than others. The label of some rows is random. Clean tables look like this, and a diagnosis
    must not flag them.

    Args:
      seed: determines the whole table; equal seeds give equal tables.
      num_rows: N.
    """
    import pandas as pd

    rng = np.random.default_rng([seed, 1])
    latent = _latent_variables(rng, num_rows, int(rng.integers(3, 9)))
    columns: dict[str, np.ndarray] = {}
    last = []
    for s in range(int(rng.integers(1, 4))):
        levels = _levels_over_time(rng, latent, int(rng.integers(3, 8)))
        last.append(levels[:, -1])
        kind = rng.integers(3)
        if kind == 0:
            amounts = _amounts(rng, levels)
            columns |= _at_times(f"amount{s}", amounts.T)
            if rng.random() < 0.6:
                columns |= _at_times(f"paid{s}", [_part_of(rng, amount) for amount in amounts.T])
        elif kind == 1:
            counts = rng.poisson(np.exp(np.clip(rng.uniform(0.5, 1.2) * levels + rng.uniform(0, 2.5), None, 7)))
            columns |= _at_times(f"count{s}", counts.T)
        else:
            states = np.clip(np.floor(rng.uniform(1.0, 2.0) * (levels - rng.uniform(0, 1.5))), -2, 8).astype(int)
            columns |= _at_times(f"state{s}", states.T)
    for q in range(latent.shape[1]):
        as_category = rng.random() < 0.5
        columns[f"x{q}"] = _as_category(rng, latent[:, q], f"c{q}_") if as_category else _as_number(rng, latent[:, q])
    columns[LABEL] = _label_by_chance(rng, np.column_stack([latent, *last]), num_decisive=len(last))
    return pd.DataFrame(columns)


def _at_times(name: str, values: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Columns of a quantity, one per time."""
    return {f"{name}_{t}": column for t, column in enumerate(values)}


def _levels_over_time(rng: np.random.Generator, latent: np.ndarray, length: int) -> np.ndarray:
    """f[N, length], standardised: slow changes with jumps, which are more frequent in some rows than in others."""
    num_rows = len(latent)
    usual = _random_function(rng, latent[:, :2]) + rng.uniform(0.3, 1.5) * _noise(rng, num_rows)
    step, back = rng.uniform(0.02, 0.4), rng.uniform(0.0, 0.4)
    jumps = np.clip(rng.uniform(0.01, 0.12) * np.exp(rng.normal(size=num_rows)), 0, 0.6)
    levels = np.empty((num_rows, length))
    levels[:, 0] = usual
    for t in range(1, length):
        slow = levels[:, t - 1] + back * (usual - levels[:, t - 1]) + step * rng.standard_t(3, num_rows)
        levels[:, t] = np.where(rng.random(num_rows) < jumps, rng.permutation(usual), slow)
    return np.clip((levels - levels.mean()) / (levels.std() + 1e-9), -8, 8)


def _amounts(rng: np.random.Generator, levels: np.ndarray) -> np.ndarray:
    """Sums of money for levels f[N, T]: skewed, with many zeros and some negative values."""
    amounts = np.exp(rng.uniform(0.5, 1.6) * levels) * 10 ** rng.uniform(1, 4)
    nothing = levels < np.quantile(levels, rng.uniform(0.0, 0.4))
    below = rng.random(levels.shape) < rng.choice([0.0, 0.02])
    return np.round(np.where(below, -0.1 * amounts, np.where(nothing, 0.0, amounts)))


def _part_of(rng: np.random.Generator, amount: np.ndarray) -> np.ndarray:
    """Payments for amounts f[N]: a small part, all, nothing or, in a few rows, many times the usual."""
    part = np.where(rng.random(len(amount)) < rng.uniform(0.1, 0.4), 1.0, rng.beta(1, 8, len(amount)))
    part = np.where(rng.random(len(amount)) < rng.uniform(0.05, 0.3), 0.0, part)
    return np.round(np.maximum(amount, 0) * part * np.exp(0.3 * rng.standard_t(2.5, len(amount)).clip(-20, 12)))


def _label_by_chance(rng: np.random.Generator, causes: np.ndarray, num_decisive: int) -> np.ndarray:
    """Noisy label caused by f[N, A], mostly by the last `num_decisive` columns."""
    score = _random_function(rng, causes) + rng.uniform(0.5, 2.0) * _random_function(rng, causes[:, -num_decisive:])
    score /= score.std() + 1e-9
    kind = rng.random()
    if kind < 0.2:
        return np.round((score + rng.uniform(0.1, 0.7) * rng.standard_t(3, len(score))) * 10 ** rng.uniform(0, 3), 2)
    if kind < 0.85:
        least, most = rng.uniform(0.01, 0.15), rng.uniform(0.6, 0.98)
        steepness, middle = 10 ** rng.uniform(0, 1.2), np.quantile(score, rng.uniform(0.4, 0.9))
        chance = least + (most - least) / (1 + np.exp(-steepness * (score - middle)))
        return np.where(rng.random(len(score)) < chance, "yes", "no")
    edges = _edges(rng, score, int(rng.integers(2, 5)))
    return _class_names(np.searchsorted(edges, score + rng.uniform(0.05, 0.5) * rng.standard_t(3, len(score))))


def _latent_variables(rng: np.random.Generator, num_rows: int, num_columns: int) -> np.ndarray:
    """f[N, Q], standardised variables; up to four earlier variables cause each one."""
    noise_level = rng.uniform(0.2, 1.2)
    density = rng.uniform(0.3, 1.0)
    latent = np.empty((num_rows, num_columns))
    for q in range(num_columns):
        noise = _noise(rng, num_rows)
        num_causes = min(q, int(rng.integers(0, 5))) if rng.random() < density else 0
        if num_causes:
            causes = rng.choice(q, num_causes, replace=False)
            noise = _random_function(rng, latent[:, causes]) + noise_level * noise
        latent[:, q] = (noise - noise.mean()) / (noise.std() + 1e-9)
    return latent


def _noise(rng: np.random.Generator, num_rows: int) -> np.ndarray:
    kind = rng.integers(4)
    if kind == 0:
        return rng.standard_t(4, num_rows)
    if kind == 1:
        return rng.uniform(-1.7, 1.7, num_rows)
    if kind == 2:
        centres = rng.normal(0, 1.5, int(rng.integers(2, 5)))
        return centres[rng.integers(len(centres), size=num_rows)] + 0.5 * rng.normal(size=num_rows)
    return rng.normal(size=num_rows)


def _random_function(rng: np.random.Generator, causes: np.ndarray) -> np.ndarray:
    """f[N], standardised sum of a linear function and a small random network of `causes` f[N, A]."""
    linear = causes @ rng.normal(size=causes.shape[1])
    width = int(rng.integers(2, 9))
    hidden = np.tanh(causes @ rng.normal(0, 1.2, (causes.shape[1], width)) + rng.normal(size=width))
    bent = hidden @ rng.normal(size=width)
    mix = rng.uniform()
    value = mix * linear / (linear.std() + 1e-9) + (1 - mix) * bent / (bent.std() + 1e-9)
    return value / (value.std() + 1e-9)


def _ordered_classes(rng: np.random.Generator, score: np.ndarray) -> np.ndarray:
    """Cut a score into two classes, one of them often rare, or into three to five classes."""
    if rng.random() < 0.7:
        return np.where(score > np.quantile(score, rng.uniform(0.4, 0.93)), "yes", "no")
    return _class_names(np.searchsorted(_edges(rng, score, int(rng.integers(2, 5))), score))


def _edges(rng: np.random.Generator, score: np.ndarray, count: int) -> np.ndarray:
    """f64[count], ascending cut points of a score between ordered classes."""
    return np.quantile(score, np.sort(rng.uniform(0.1, 0.9, count)))


def _class_names(index: np.ndarray) -> np.ndarray:
    return np.array([f"k{i}" for i in index])


def _label(rng: np.random.Generator, latent: np.ndarray) -> np.ndarray:
    num_rows, num_columns = latent.shape
    num_causes = int(rng.integers(2, max(3, min(num_columns, 9))))
    score = _random_function(rng, latent[:, rng.choice(num_columns, num_causes, replace=False)])
    noise = rng.uniform(0.05, 0.9)
    kind = rng.random()
    if kind < 0.2:
        target = score + noise * rng.normal(size=num_rows) * np.exp(0.4 * rng.uniform() * latent[:, 0])
        target = np.exp(0.6 * target) if rng.random() < 0.4 else target
        return np.round(target * 10 ** rng.uniform(0, 3), 2)
    score = score + noise * rng.logistic(size=num_rows)
    if kind < 0.8:
        return np.where(score > np.quantile(score, rng.uniform(0.35, 0.85)), "yes", "no")
    num_classes = int(rng.integers(3, 7))
    if rng.random() < 0.5:  # ordered classes
        return _class_names(np.searchsorted(_edges(rng, score, num_classes - 1), score))
    logits = latent @ rng.normal(0, 1.5, (num_columns, num_classes)) / np.sqrt(num_columns) / noise
    logits += rng.normal(0, 0.7, num_classes)
    return _class_names(np.argmax(logits + rng.gumbel(size=logits.shape), axis=1))


def _as_category(rng: np.random.Generator, latent: np.ndarray, prefix: str) -> np.ndarray:
    num_values = int(rng.choice([2, 2, 3, 4, 5, 7, 9, 12]))
    if rng.random() < 0.6:
        cuts = np.quantile(latent, np.sort(rng.uniform(0.05, 0.95, num_values - 1)))
        index = np.searchsorted(cuts, latent)
        names = rng.permutation(num_values)
    else:
        logits = np.outer(latent, rng.normal(0, 1.5, num_values)) + rng.normal(size=num_values)
        index = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
        names = np.arange(num_values)
    return np.array([f"{prefix}{names[i]}" for i in index], dtype=object)


def _as_number(rng: np.random.Generator, latent: np.ndarray) -> np.ndarray:
    kind = rng.integers(5)
    unit = 10 ** rng.uniform(-1, 3)
    if kind == 0:
        return np.round(np.exp(rng.uniform(0.4, 1.0) * latent) * unit, 3)
    if kind == 1:
        return np.floor(np.maximum(0, latent + 1.5) * rng.uniform(1, 12)).astype(int)
    if kind == 2:
        threshold = np.quantile(latent, rng.uniform(0.4, 0.9))
        return np.round(np.where(latent > threshold, np.expm1(latent - threshold) * unit, 0.0), 2)
    if kind == 3:
        return np.round(rng.uniform(20, 80) + latent * rng.uniform(3, 20)).astype(int)
    return np.round(latent * unit + rng.normal() * unit, 3)
