"""Wrong classes: uniform, dependent on the class, near the boundary, of annotators, by a rule, a class mostly false."""

from __future__ import annotations

import numpy as np
import pandas as pd

from demix_jax.data.kinds import column_of

CLASS_KINDS = ("uniform", "class-dependent", "near-boundary", "annotator", "rule-made", "minority")
OWN_RATE = ("class-dependent",)  # kinds that come with rates of their own
_ONE_CLASS, _OTHER_CLASSES = 0.4, 0.02  # rates of class-dependent noise
_NUM_ANNOTATORS = 5
_FALSE_TO_TRUE = 1.7  # of a class that is mostly false; 63 % of its rows are then
_MOST_RULES = 400


def wrong_classes(
    features: pd.DataFrame, target: pd.Series, kind: str, rate: float, rng: np.random.Generator
) -> tuple[pd.Series, np.ndarray]:
    """Labels with wrong ones among them, and the rows i64[n] that they are of.

    All rows stay but for "minority", which leaves rows of the rarest class out.

    Args:
      features: N rows. target: the true classes. kind: of CLASS_KINDS. rate: wanted share of wrong rows.
    """
    codes, values = pd.factorize(target, sort=True)
    x = numeric_features(features)
    source = np.arange(len(codes))
    if kind == "uniform":
        given = _uniform(codes, len(values), _some(len(codes), rate, rng), rng)
    elif kind == "class-dependent":
        given = _class_dependent(codes, len(values), rng)
    elif kind == "near-boundary":
        given = _near_boundary(x, codes, rate, rng)
    elif kind == "annotator":
        given = _by_annotators(x, codes, rate, rng)
    elif kind == "rule-made":
        given = _by_rule(features, codes, len(values), rate, rng)
    else:
        given, source = _mostly_false(codes, rate, rng)
    return pd.Series(np.asarray(values)[given], name=target.name).astype(target.dtype), source


def numeric_features(features: pd.DataFrame) -> np.ndarray:
    """f64[N, D] of mean 0 and variance 1: ranks of numbers and dates, an indicator for each of the commonest values."""
    columns = []
    for name in features.columns:
        column = column_of(features, name)
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            columns.append(column.rank(pct=True).fillna(0.5).to_numpy(float))
        else:
            text = column.astype(str)
            columns += [(text == value).to_numpy(float) for value in text.value_counts().index[:8]]
    x = np.stack(columns, axis=1)
    return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)


def _some(num_rows: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(num_rows)[: round(rate * num_rows)]


def _uniform(codes: np.ndarray, num_classes: int, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codes in which the rows have another class, each other one equally likely."""
    given = codes.copy()
    given[rows] = (codes[rows] + rng.integers(1, max(2, num_classes), len(rows))) % num_classes
    return given


def _class_dependent(codes: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
    noisy = rng.choice(np.unique(codes))
    chance = np.where(codes == noisy, _ONE_CLASS, _OTHER_CLASSES)
    return _uniform(codes, num_classes, np.flatnonzero(rng.random(len(codes)) < chance), rng)


def _linear_scores(x: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights f64[D + 1, K] of a logistic regression, and its scores f64[N, K]; K = 1 + the largest code."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=0.1, max_iter=300).fit(x, codes)
    weights = np.full((x.shape[1] + 1, int(codes.max()) + 1), 0.0)
    weights[-1] = -1e3  # a class without rows is never chosen
    both = np.vstack([model.coef_.T, model.intercept_])
    present = model.classes_
    weights[:, present] = np.hstack([-both / 2, both / 2]) if both.shape[1] == 1 else both
    return weights, _with_one(x) @ weights


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.hstack([x, np.ones((len(x), 1))])


def _near_boundary(x: np.ndarray, codes: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Half of those rows, twice as many as wanted, that a linear model finds hardest to tell from another class."""
    _, scores = _linear_scores(x, codes)
    own = scores[np.arange(len(codes)), codes]
    scores[np.arange(len(codes)), codes] = -np.inf
    nearest = np.argsort(np.abs(own - scores.max(axis=1)), kind="stable")
    wanted = round(rate * len(codes))
    rows = rng.permutation(nearest[: min(len(codes), 2 * wanted)])[:wanted]
    given = codes.copy()
    given[rows] = scores[rows].argmax(axis=1)
    return given


def _by_annotators(x: np.ndarray, codes: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Each row by one of five annotators; each errs where the own line and the common one part.

    The lines are as far apart as brings the share of wrong rows nearest to the wanted one.
    """
    weights, scores = _linear_scores(x, codes)
    common = scores.argmax(axis=1)
    of_row = rng.integers(_NUM_ANNOTATORS, size=len(codes))
    turn = rng.normal(size=(_NUM_ANNOTATORS, *weights.shape)) * np.abs(weights[:-1]).mean()
    turn[:, :, np.setdiff1d(np.arange(weights.shape[1]), codes)] = 0.0
    nearest, distance = codes, np.inf
    for size in np.geomspace(0.02, 30, 60):
        own = np.stack([(_with_one(x) @ (weights + size * each)).argmax(axis=1) for each in turn])
        own = own[of_row, np.arange(len(codes))]
        given = np.where(own != common, own, codes)
        missed = abs(np.mean(given != codes) - rate)
        if missed < distance:
            nearest, distance = given, missed
    return nearest


def _by_rule(
    features: pd.DataFrame, codes: np.ndarray, num_classes: int, rate: float, rng: np.random.Generator
) -> np.ndarray:
    """All rows beyond a threshold, with a value or with a word get one class: the rule that errs as often as wanted."""
    rules = list(_regions(features, rng))
    order = rng.permutation(len(rules))[:_MOST_RULES]
    nearest, distance = codes, np.inf
    for region in (rules[i] for i in order):
        for k in range(num_classes):
            missed = abs(np.mean(region & (codes != k)) - rate)
            if missed < distance:
                nearest, distance = np.where(region, k, codes), missed
    return nearest


def _regions(features: pd.DataFrame, rng: np.random.Generator):
    """bool[N] of rules on one column: beyond a quantile; one of the commonest values; with one of the common words."""
    for name in features.columns:
        column = column_of(features, name)
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            for share in rng.uniform(0.02, 0.98, 12):
                above = (column >= column.quantile(share)).to_numpy(bool, na_value=False)
                yield above
                yield ~above
            continue
        text = column.astype(str)
        for value in text.value_counts().index[:8]:
            yield (text == value).to_numpy(bool)
        if text.nunique() > len(text) / 2:
            words = text.str.lower().str.split().explode().value_counts().index[:30]
            for word in words:
                yield text.str.lower().str.contains(str(word), regex=False, na=False).to_numpy(bool)


def _mostly_false(codes: np.ndarray, rate: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The rarest class made so rare that rows of others, at the wanted rate, outnumber its own; and the rows left."""
    classes, counts = np.unique(codes, return_counts=True)
    rare = classes[counts.argmin()]
    own, others = rng.permutation(np.flatnonzero(codes == rare)), np.flatnonzero(codes != rare)
    of_true = rate / _FALSE_TO_TRUE
    keep = min(len(own), max(1, round(of_true * len(others) / (1 - of_true))))
    source = np.sort(np.concatenate([own[:keep], others]))
    given = codes[source].copy()
    rows = rng.permutation(np.flatnonzero(given != rare))[: round(_FALSE_TO_TRUE * keep)]
    given[rows] = rare
    return given, source
