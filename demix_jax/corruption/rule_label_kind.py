"""Label errors of labelling rules: a threshold, values or keywords say the class, and are wrong for some rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.corruption.columns import usable_columns
from demix_jax.corruption.groups import is_number, series_of, to_floats
from demix_jax.corruption.label_proposals import Classes, Proposal, in_order
from demix_jax.corruption.words import is_free_text, word_matrix

if TYPE_CHECKING:
    import pandas as pd

_MAX_VALUES = 50  # a rule names values only of columns with at most this many
_TEXT_SHARE = 0.8  # of the draws have a keyword rule where a column holds free text
_KEYWORDS = {"max_words": 2_000, "max_share": 0.3}
_MAX_KEYWORDS = 500


def rule(labels: Classes, count: int, rng: np.random.Generator) -> Proposal:
    """Rows of a region get the class that a rule says; those of that class already stay right.

    In free text each class has a list of keywords, and the first keyword that is found decides. Otherwise the region
    is an end of one or two columns of numbers, or some values of categories. Keywords are added, or the region grows,
    until the wanted number of rows is wrong.

    Raises:
      InputError: no column has numbers, a few values or free text.
    """
    features = labels.features
    names = usable_columns(features)
    texts = [name for name in names if is_free_text(series_of(features, name))]
    positions = [p for name in names if name not in texts for p in _position(series_of(features, name), rng)]
    if texts and (not positions or rng.random() < _TEXT_SHARE):
        return _by_keywords(labels, series_of(features, texts[int(rng.integers(len(texts)))]), count, rng)
    if not positions:
        raise InputError(
            'LabelErrors.kind "rule" found no column for a rule: none has numbers, a few values or free text; choose '
            "another kind."
        )
    drawn = rng.permutation(len(positions))[: int(rng.integers(1, 3))]
    position = np.max([positions[i] for i in drawn], axis=0)
    score = in_order(position, rng)
    region = np.argsort(-score, kind="stable")[: max(count, len(features) // 10)]
    lift = _shares(labels.values[region], labels.num_classes) / _shares(labels.values, labels.num_classes)
    said = int(rng.choice(labels.num_classes, p=lift / lift.sum()))
    return Proposal(score, np.full(len(features), said))


def _position(series: pd.Series, rng: np.random.Generator) -> list[np.ndarray]:
    """f64[N], ranks of the rows from a random end of a column of numbers, or by a random order of its values.

    The rank of a missing cell is infinite. The list is empty for a column that makes no rule.
    """
    import pandas as pd

    from demix_jax.data.lists import holds_lists

    if holds_lists(series):
        return []
    if is_number(series):
        values = pd.Series(rng.choice((-1.0, 1.0)) * to_floats(series))
    else:
        try:
            codes, names = series.factorize()
        except TypeError:  # unhashable values, such as dicts
            return []
        if len(names) > _MAX_VALUES:
            return []
        values = pd.Series(np.append(rng.permutation(len(names)).astype(np.float64), np.nan)[codes])
    if values.nunique() < 2:
        return []
    return [values.rank(pct=True).fillna(np.inf).to_numpy()]


def _by_keywords(labels: Classes, texts: pd.Series, count: int, rng: np.random.Generator) -> Proposal:
    """Texts that contain a keyword get its class; see `rule`."""
    words = word_matrix(texts, **_KEYWORDS)
    new, position = labels.values.copy(), np.full(len(texts), np.inf)
    num_wrong = 0
    for k, (word, said) in enumerate(_keywords(words, labels, rng)):
        rows = words.indices[words.indptr[word] : words.indptr[word + 1]]
        rows = rows[np.isinf(position[rows])]
        new[rows], position[rows] = said, k
        num_wrong += int(np.sum(labels.values[rows] != said))
        if num_wrong >= count:
            break
    return Proposal(in_order(position, rng), new)


def _keywords(words, labels: Classes, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Words with the class they stand for: drawn among the words that are more frequent in a class than elsewhere."""
    one_hot = np.eye(labels.num_classes)[labels.values]
    num_texts = np.diff(words.indptr)
    share = _shares(labels.values, labels.num_classes)
    lift = ((words.T @ one_hot) / share + 2.0) / (num_texts[:, None] + 2.0)
    of_class = np.log(np.maximum(lift, 1e-3)) * rng.uniform(3.0, 12.0) + rng.gumbel(size=lift.shape)
    best = of_class.argmax(axis=1)
    order = np.argsort(-of_class.max(axis=1, initial=-np.inf), kind="stable")[:_MAX_KEYWORDS]
    return [(int(word), int(best[word])) for word in order]


def _shares(codes: np.ndarray, num_classes: int) -> np.ndarray:
    """f64[K]: share of each class among the codes, never zero."""
    return np.maximum(np.bincount(codes, minlength=num_classes), 0.5) / max(len(codes), 1)
