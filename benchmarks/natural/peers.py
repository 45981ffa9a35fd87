"""What a user would take instead, on the same rows and without being told how many are wrong.

Texts: TF-IDF of words and pairs of words with a logistic regression. Tables: boosted trees. Their out-of-fold
probabilities go to cleanlab; for a numeric target the trees go to cleanlab's CleanLearning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.natural.tables import has_classes
from demix_jax.data.kinds import column_of

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

NUM_FOLDS = 5
_NUM_NEIGHBOURS = 20
_MOST_CATEGORIES = 200


class Peer(NamedTuple):
    """What a peer says of N rows. flags: bool[N]. score: f64[N]; the higher, the likelier wrong."""

    flags: np.ndarray
    score: np.ndarray


class Encoded(NamedTuple):
    """A table as the peers see it.

    x: f64[N, D], or a sparse f64[N, V] for texts. y: i64[N] classes 0 to K − 1, or f64[N]. classes: [K] their names, or
    None for a number. categories: columns of x that hold codes of a category.
    """

    x: Any
    y: np.ndarray
    classes: np.ndarray | None
    categories: list[int]


def text_vectorizer() -> TfidfVectorizer:
    """TF-IDF of words and pairs of neighbouring words that two texts have, their counts by logarithm."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)


def text_learner() -> LogisticRegression:
    """Logistic regression with C = 10, better on such sets than the default of 1."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10.0, max_iter=1_000)


def encode_texts(texts: pd.Series, label: pd.Series) -> Encoded:
    """Terms of the texts, see `text_vectorizer`."""
    y, classes = pd.factorize(label, sort=True)
    return Encoded(text_vectorizer().fit_transform(texts), y, np.asarray(classes), [])


def encode_table(features: pd.DataFrame, label: pd.Series) -> Encoded:
    """Numbers as they are, other columns as codes; the rarest of more than 200 values share the last code."""
    columns, categories = [], []
    for d, name in enumerate(features.columns):
        column = column_of(features, name)
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            columns.append(column.to_numpy(float, na_value=np.nan))
            continue
        text = column.astype(str)
        rank = {value: code for code, value in enumerate(text.value_counts().index)}
        columns.append(np.minimum(text.map(rank.get).to_numpy(float), _MOST_CATEGORIES))
        categories.append(d)
    if not has_classes(label):
        return Encoded(np.stack(columns, axis=1), label.to_numpy(float), None, categories)
    y, classes = pd.factorize(label, sort=True)
    return Encoded(np.stack(columns, axis=1), y, np.asarray(classes), categories)


def out_of_fold(data: Encoded, *, texts: bool) -> np.ndarray:
    """f64[N, K] class probabilities by five-fold cross-validation; 0 for a class that the other folds lack."""
    from sklearn.model_selection import KFold, StratifiedKFold

    assert data.classes is not None
    folds = StratifiedKFold if np.bincount(data.y).min() >= NUM_FOLDS else KFold
    p = np.zeros((len(data.y), len(data.classes)))
    for learn, judge in folds(NUM_FOLDS, shuffle=True, random_state=0).split(data.y, data.y):
        model = text_learner() if texts else _tree_classifier(data)
        model.fit(data.x[learn], data.y[learn])
        p[np.ix_(judge, model.classes_)] = model.predict_proba(data.x[judge])
    return p


def label_peers(data: Encoded, p: np.ndarray) -> dict[str, Peer]:
    """Label errors of classes, given out-of-fold probabilities f64[N, K]: cleanlab, its Datalab, and neighbours."""
    return {
        "cleanlab": cleanlab_peer(data.y, p),
        "Datalab": _datalab_peer(data, p),
        "k-NN disagreement": neighbour_peer(data),
    }


def cleanlab_peer(y: np.ndarray, p: np.ndarray) -> Peer:
    """find_label_issues with its defaults; ranked by its label quality."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    p = _as_distribution(p)
    return Peer(np.asarray(find_label_issues(y, p, n_jobs=1), bool), -get_label_quality_scores(y, p))


def number_peers(data: Encoded) -> dict[str, Peer]:
    """Wrong numeric targets: cleanlab's CleanLearning for regression, and neighbours."""
    from cleanlab.regression.learn import CleanLearning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = CleanLearning(_tree_regressor(data), seed=0).find_label_issues(data.x, data.y)
    score = -found["label_quality"].to_numpy(float)
    own = Peer(found["is_label_issue"].to_numpy(bool), score)
    return {"cleanlab regression": own, "k-NN disagreement": neighbour_peer(data)}


def feature_peers(data: Encoded) -> dict[str, Peer]:
    """Wrong cells: an isolation forest that decides by itself, and Datalab's outliers."""
    from sklearn.ensemble import IsolationForest

    x = _scaled(data)
    score = -IsolationForest(n_estimators=200, contamination="auto", random_state=0).fit(x).decision_function(x)
    issues = _datalab({"y": data.y}, {"features": x, "issue_types": {"outlier": {}}}, data.classes is not None)
    outliers = Peer(issues["is_outlier_issue"].to_numpy(bool), -issues["outlier_score"].to_numpy(float))
    return {"isolation forest": Peer(score > 0, score), "Datalab outliers": outliers}


def shortcut_peers(data: Encoded, p: np.ndarray | None) -> dict[str, Peer]:
    """Rows that break a shortcut: those that out-of-fold trees get wrong, and Datalab's underperforming group.

    Args:
      p: f64[N, K] of classes. None: the target is a number, and rows with residuals outside Tukey's fences are taken.
    """
    if p is None:
        return {"residuals of trees": fenced(np.abs(data.y - _predicted(data)))}
    own = p[np.arange(len(data.y)), data.y]
    kinds: dict = {"underperforming_group": {}}
    given = {"features": _scaled(data), "pred_probs": _as_distribution(p), "issue_types": kinds}
    issues = _datalab({"y": data.y}, given, True)
    missed = {"wrong predictions of trees": Peer(p.argmax(axis=1) != data.y, 1 - own)}
    if "is_underperforming_group_issue" not in issues:  # it found no groups to compare
        return missed
    group = issues["is_underperforming_group_issue"].to_numpy(bool)
    return missed | {"Datalab underperforming group": Peer(group, group.astype(float))}


def neighbour_peer(data: Encoded) -> Peer:
    """Most of the 20 nearest rows have another label; of a number, their mean is outside Tukey's fences.

    Near by cosine of TF-IDF for texts, else by distance of scaled columns.
    """
    from sklearn.neighbors import NearestNeighbors

    texts = not isinstance(data.x, np.ndarray)
    x = data.x if texts else _scaled(data)
    count = min(_NUM_NEIGHBOURS + 1, len(data.y))
    metric: dict[str, Any] = {"metric": "cosine", "algorithm": "brute"} if texts else {}
    rows = NearestNeighbors(n_neighbors=count, **metric).fit(x).kneighbors(x, return_distance=False)
    is_other = rows != np.arange(len(rows))[:, None]  # a row has no vote on itself
    if data.classes is None:
        return fenced(np.abs(data.y - np.average(data.y[rows], axis=1, weights=is_other)))
    share = np.average(data.y[rows] != data.y[:, None], axis=1, weights=is_other)
    return Peer(share > 0.5, share)


def fenced(distance: np.ndarray) -> Peer:
    """Rows whose distance f64[N] is above Tukey's upper fence, 1.5 interquartile ranges above the third quartile."""
    low, high = np.quantile(distance, [0.25, 0.75])
    return Peer(distance > high + 1.5 * (high - low), distance)


def _datalab_peer(data: Encoded, p: np.ndarray) -> Peer:
    features = data.x if isinstance(data.x, np.ndarray) else _components(data.x)
    given = {"features": _scaled(data._replace(x=features)), "pred_probs": _as_distribution(p)}
    issues = _datalab({"y": data.y}, given | {"issue_types": {"label": {}}}, True)
    return Peer(issues["is_label_issue"].to_numpy(bool), -issues["label_score"].to_numpy(float))


def _datalab(columns: dict, given: dict, classes: bool) -> pd.DataFrame:
    from cleanlab import Datalab

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = "classification" if classes else "regression"
        lab = Datalab(columns, label_name="y", task=task, verbosity=0)
        lab.find_issues(**given)
        return lab.get_issues()


def _components(terms) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD

    return TruncatedSVD(min(100, terms.shape[1] - 1, terms.shape[0] - 1), random_state=0).fit_transform(terms)


def _scaled(data: Encoded) -> np.ndarray:
    """f64[N, D], each column with mean 0 and variance 1, missing values at its median."""
    x = np.asarray(data.x, float)
    middle = np.nan_to_num(np.nanmedian(np.where(np.isfinite(x).any(axis=0), x, 0.0), axis=0))
    x = np.where(np.isfinite(x), x, middle)
    return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)


def _as_distribution(p: np.ndarray) -> np.ndarray:
    p = np.maximum(np.asarray(p, np.float64), 1e-9)
    return p / p.sum(axis=1, keepdims=True)


def _predicted(data: Encoded) -> np.ndarray:
    from sklearn.model_selection import KFold, cross_val_predict

    folds = KFold(NUM_FOLDS, shuffle=True, random_state=0)
    return np.asarray(cross_val_predict(_tree_regressor(data), data.x, data.y, cv=folds))


def _tree_classifier(data: Encoded) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return _trees(HistGradientBoostingClassifier, data)


def _tree_regressor(data: Encoded) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return _trees(HistGradientBoostingRegressor, data)


def _trees(kind: Callable[..., Any], data: Encoded) -> Any:
    return kind(categorical_features=data.categories, max_iter=60, early_stopping=False, random_state=0)
