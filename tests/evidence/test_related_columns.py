"""Columns of a wide table: wrong cells stand out, probabilities are right, and no row is judged by itself."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from demix_jax.data.folds.plan import make_folds
from demix_jax.evidence.column_model import cell_surprise, code_log_probs, fit_column_models, score_cells
from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.related_columns import RelatedColumns, _regressions, fit_related_columns

NUM_CODES = 19  # 16 ranges, extremely low, extremely high, missing


def binned(x):
    return np.stack([np.searchsorted(np.quantile(c, np.arange(1, 16) / 16), c) for c in x.T], axis=1).astype(np.int32)


def fitted(codes, labels, **options):
    folds = make_folds(np.random.default_rng(0), labels, num_folds=5)
    num_codes, ordered = (NUM_CODES,) * codes.shape[1], np.ones(codes.shape[1], bool)
    return fit_related_columns(codes, num_codes, labels, folds, ordered=ordered, **options), folds


def blocks(num_rows=200, num_columns=120, seed=0):
    """Codes in blocks of ten related columns, three in a hundred of them wrong, and the labels."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(num_rows, num_columns // 10))
    x = np.repeat(factors, 10, axis=1) * rng.choice([-1, 1], num_columns) + 0.6 * rng.normal(
        size=(num_rows, num_columns)
    )
    wrong = rng.random(x.shape) < 0.03
    x = np.where(wrong, rng.permuted(x, axis=0), x)
    return binned(x), (factors[:, 0] > 0).astype(np.int32), wrong


def test_wrong_cells_of_a_wide_table_stand_out_and_right_ones_do_not():
    codes, labels, wrong = blocks()
    models, folds = fitted(codes, labels)
    surprise = cell_surprise(models, codes, labels, folds)
    assert roc_auc_score(wrong.ravel(), surprise.ravel()) > 0.7
    assert abs(surprise[~wrong].mean()) < 0.1, "surprise is about zero where nothing is wrong"


def test_wide_tables_are_modelled_so_and_narrow_ones_by_networks(monkeypatch):
    monkeypatch.setattr("demix_jax.evidence.column_model.fit_column_networks", lambda *of, **options: "networks")
    codes, labels, _ = blocks()
    folds, key = make_folds(np.random.default_rng(0), labels, num_folds=3), jax.random.key(0)
    of_all = fit_column_models(key, codes, (NUM_CODES,) * 120, labels, folds)
    assert isinstance(of_all, RelatedColumns)
    assert of_all.folds[0].related.shape == (120, 12)
    assert fit_column_models(key, codes[:, :100], (NUM_CODES,) * 100, labels, folds) == "networks"


def test_the_surprise_is_that_of_two_correlated_normal_numbers():
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 4_000)
    codes, labels = binned(x), rng.integers(0, 2, 4_000).astype(np.int32)
    models, folds = fitted(codes, labels)
    edges = np.quantile(x, np.arange(1, 16) / 16, axis=0)
    (rows, log_p), *_ = code_log_probs(models, codes, labels, folds, np.array([1]))
    low = (codes[rows, 0] == 2) | (codes[rows, 0] == 3)
    cells = np.array([-9, *edges[:, 1], 9])
    first = np.linspace(edges[1, 0], edges[3, 0], 1_001)[
        :, None
    ]  # the second number is 0.8 of the first plus 0.6 of chance
    mass = np.average(np.diff(norm.cdf((cells - 0.8 * first) / 0.6), axis=1), axis=0, weights=norm.pdf(first[:, 0]))
    want = mass / mass.sum()
    got = np.exp(log_p[low, 0]).mean(axis=0)
    np.testing.assert_allclose(got[:16], 0.95 * want + 0.05 / 16, atol=0.03)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=2), 1, atol=1e-5)


def test_the_error_of_a_regression_is_that_of_leaving_each_row_out():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(30, 4))
    scores[:, 3] += 3 * scores[:, 0]
    scores /= scores.std(axis=0)
    label = rng.integers(0, 2, (30, 1)).astype(float)
    related = np.array([[1, 3], [0, 2], [1, 3], [0, 1]])
    got = _regressions(scores, np.ones((30, 4), bool), related, np.ones((4, 2), bool), label)
    x, y = np.column_stack([scores[:, [0, 1]], label]), scores[:, 3]
    ridge = Ridge(alpha=10.0, fit_intercept=False)
    np.testing.assert_allclose(got.weights[3], ridge.fit(x, y).coef_, atol=1e-9)
    others = [np.arange(30) != i for i in range(30)]
    errors = [y[i] - ridge.fit(x[kept], y[kept]).predict(x[[i]])[0] for i, kept in enumerate(others)]
    assert got.spread[3] == pytest.approx(min(1.0, np.sqrt(np.mean(np.square(errors)))))


def test_the_label_supports_the_columns_that_tell_it_and_has_no_part_in_surprise():
    codes, labels, _ = blocks()
    models, folds = fitted(codes, labels)
    num_codes, z = (NUM_CODES,) * 120, np.zeros(codes.shape, np.float32)
    commonest = Commonest.fit(codes, num_codes, z)
    found = score_cells(models, codes, labels, folds, commonest=commonest, robust_z=z)
    other = score_cells(models, codes, 1 - labels, folds, commonest=commonest, robust_z=z, block=7)
    np.testing.assert_allclose(found.surprise, other.surprise, atol=1e-5)
    of_factor = (found.support - other.support)[:, :10].mean()
    assert of_factor > 5 * abs((found.support - other.support)[:, 10:].mean())


def test_rows_of_a_fold_and_rows_left_out_have_no_part_in_its_model():
    codes, labels, _ = blocks()
    left = np.random.default_rng(2).random(200) < 0.2
    models, folds = fitted(codes, labels, leave_out=left)
    hidden = left | (folds.fold == 0)
    changed = np.where(hidden[:, None], 15 - codes, codes)
    trained = np.concatenate([folds.train[0], folds.valid[0]])
    assert not np.isin(np.flatnonzero(folds.fold == 0), trained).any()
    again, _ = fitted(changed, labels, leave_out=left)
    jax.tree.map(np.testing.assert_array_equal, models.folds[0], again.folds[0])


def test_missing_cells_are_expected_as_often_as_they_occur():
    codes, labels, _ = blocks()
    codes[np.random.default_rng(3).random(codes.shape) < 0.25] = NUM_CODES - 1
    models, folds = fitted(codes, labels)
    for _, log_p in code_log_probs(models, codes, labels, folds, np.arange(120)):
        assert np.exp(log_p[:, :, -1]).mean() == pytest.approx(0.25, abs=0.02)
        np.testing.assert_allclose(np.exp(log_p).sum(axis=2), 1, atol=1e-5)


def test_columns_without_relations_are_judged_by_their_shares_however_many_there_are():
    rng = np.random.default_rng(0)
    codes, labels = binned(rng.normal(size=(200, 600))), rng.integers(0, 2, 200).astype(np.int32)
    models, folds = fitted(codes, labels)
    assert np.mean(models.folds[0].plain.spread == 1) > 0.95
    of_shares = (16 - 1) / 160  # mean surprise where 16 equal shares are estimated from 160 rows
    assert cell_surprise(models, codes, labels, folds).mean() == pytest.approx(of_shares, abs=0.05)
