"""The features that say most about the label are those of the largest F statistic."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.feature_selection import f_classif

from demix_jax.data import TableEncoder
from demix_jax.evidence.screening import label_association, most_predictive


def encoded(num_rows=300):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, num_rows)
    frame = pd.DataFrame(rng.normal(size=(num_rows, 5)), columns=list("abcde"))
    frame["b"] += label
    frame["kind"] = np.where(rng.random(num_rows) < 0.7, np.array(["x", "y", "z"])[label], "x")
    frame["wide"] = np.where(label == 2, 3.0, 0.5) * rng.normal(size=num_rows)  # larger either way for one label
    return TableEncoder.fit(frame.assign(label=label), "label", task="classification").transform(
        frame.assign(label=label)
    )


def share_of_f(f, num_labels, num_rows):
    return f * (num_labels - 1) / (f * (num_labels - 1) + num_rows - num_labels)


def test_association_is_that_of_the_analysis_of_variance():
    dataset = encoded()
    rows = np.arange(0, 300, 2)
    x, y = dataset.x[rows].astype(np.float64), dataset.y[rows]
    plain, squared = (share_of_f(f_classif(of, y)[0], 3, len(rows)) for of in (x, np.square(x)))
    np.testing.assert_allclose(label_association(dataset, rows), np.maximum(plain, squared), atol=1e-9)


def test_rows_that_do_not_count_have_no_part():
    dataset = encoded()
    rows = np.arange(100)
    before = label_association(dataset, rows)
    dataset.x[200:] = 0.0
    np.testing.assert_array_equal(label_association(dataset, rows), before)


def test_a_feature_that_is_large_either_way_counts():
    dataset = encoded()
    association = label_association(dataset, np.arange(len(dataset)))
    start, stop = dataset.groups[[column.name for column in dataset.columns].index("wide")]
    assert association[start:stop].max() > 0.1


def test_the_best_of_a_categorys_features_counts_for_it():
    association = np.array([0.1, 0.5, 0.0, 0.3, 0.2])
    source = np.array([0, 1, 1, 2, 3])  # the second and third belong to one category
    assert most_predictive(association, source, np.arange(4), 2).tolist() == [1, 2]
    assert most_predictive(association, source, np.array([0, 2, 3]), 2).tolist() == [2, 3], "only among those"
    assert most_predictive(association, source, np.array([0, 3]), 9).tolist() == [0, 3]
