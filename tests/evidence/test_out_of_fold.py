"""Out-of-fold predictions: they know what other rows tell and nothing of the row's own label."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from sklearn.metrics import average_precision_score, roc_auc_score

from demix_jax.common.target import ClassTarget, RegressionTarget, ResidualScale
from demix_jax.data import TableEncoder
from demix_jax.data.folds.plan import make_folds, strata_of
from demix_jax.evidence.out_of_fold import (
    OutOfFold,
    fit_trees,
    label_noise,
    out_of_fold_predictions,
    suspects,
    tree_features,
)

TWO = ClassTarget((0, 1))


def table(num_rows, label):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": rng.normal(size=num_rows),
            "kind": rng.choice(["a", "b", "c"], num_rows),
            "age": np.where(rng.random(num_rows) < 0.1, np.nan, rng.integers(18, 80, num_rows)),
        }
    )
    return frame.assign(label=label(rng, frame))


def residual_tail_probability(y, predicted, **options):
    return ResidualScale.fit(y, predicted, **options).tail_probability(y, predicted)


def predicted(frame, *, drop_columns=(), seed=0):
    dataset = TableEncoder.fit(frame, "label").transform(frame)
    folds = make_folds(np.random.default_rng(0), strata_of(dataset.y, dataset.target), num_folds=3)
    return dataset, folds, out_of_fold_predictions(dataset, folds, seed=seed, drop_columns=drop_columns)


def by_size(rng, frame):
    return np.where(frame["size"] + 0.2 * rng.normal(size=len(frame)) > 0, "yes", "no")


def wide_table(num_columns, num_informative=40):
    """200 rows of numbers, some of which tell the label a little; a tenth of the labels are wrong."""
    rng = np.random.default_rng(0)
    right, x = rng.integers(0, 2, 200), rng.normal(size=(200, num_columns))
    x[:, :num_informative] += 0.3 * (2 * right - 1)[:, None]
    wrong = rng.random(200) < 0.1
    frame = pd.DataFrame(x, columns=[f"c{q}" for q in range(num_columns)])
    dataset = TableEncoder.fit(frame.assign(label=right ^ wrong), "label").transform(frame.assign(label=right ^ wrong))
    return dataset, make_folds(np.random.default_rng(0), dataset.y, num_folds=5), wrong


def test_trees_of_a_wide_table_read_what_says_most_about_the_label_and_find_more_wrong_labels():
    dataset, folds, wrong = wide_table(1_000)
    trees, screened = fit_trees(dataset, folds, seed=0, drop_columns=(0, 1))
    for learner in trees.learners:
        assert len(learner.read) == 64
        assert not np.isin([0, 1], learner.read).any()
        assert np.sum(learner.read < 40) >= 12, "64 columns drawn by chance hold two or three of them"
    assert average_precision_score(wrong, -screened.p_given) > 0.3
    again = trees.predict(dataset, folds.fold)
    np.testing.assert_array_equal(again.prediction, screened.prediction)


def test_features_are_chosen_without_the_rows_that_are_predicted():
    dataset, folds, _ = wide_table(300)
    own = folds.fold == 0
    other = dataclasses.replace(dataset, y=np.where(own, 1 - dataset.y, dataset.y))
    before, after = (fit_trees(of, folds, seed=0)[0].learners[0].read for of in (dataset, other))
    np.testing.assert_array_equal(before, after)


def test_trees_of_a_table_of_a_hundred_columns_read_all_of_them():
    dataset, folds, _ = wide_table(100)
    trees, _ = fit_trees(dataset, folds, seed=0)
    assert [len(learner.read) for learner in trees.learners] == [100] * 5


def test_labels_drawn_by_chance_are_predicted_by_chance():
    dataset, _, result = predicted(table(400, lambda rng, frame: rng.choice(["x", "y"], len(frame))))
    guess = result.prediction.argmax(axis=1)
    assert 0.38 < np.mean(guess == dataset.y) < 0.62, "trees that had seen the rows would know their labels"


def test_what_other_rows_tell_is_predicted():
    dataset, _, result = predicted(table(300, by_size))
    assert np.mean(result.prediction.argmax(axis=1) == dataset.y) > 0.85
    np.testing.assert_allclose(result.prediction.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(result.p_given, result.prediction[np.arange(300), dataset.y])


def test_changing_a_rows_own_label_leaves_its_prediction_as_it_was():
    frame = table(200, by_size)
    dataset = TableEncoder.fit(frame, "label").transform(frame)
    folds = make_folds(np.random.default_rng(0), dataset.y, num_folds=2)
    before = out_of_fold_predictions(dataset, folds, seed=0).prediction
    dataset.y[folds.fold == 0] = 1 - dataset.y[folds.fold == 0]
    after = out_of_fold_predictions(dataset, folds, seed=0).prediction
    np.testing.assert_array_equal(before[folds.fold == 0], after[folds.fold == 0])
    assert (before[folds.fold == 1] != after[folds.fold == 1]).any(), "these were trained on the changed labels"


def test_a_dropped_column_has_no_say():
    frame = table(300, by_size)
    dataset, _, without = predicted(frame, drop_columns=[0])
    assert dataset.columns[0].name == "size"
    shuffled = frame.assign(size=np.random.default_rng(5).permutation(frame["size"]))
    _, _, again = predicted(shuffled, drop_columns=[0])
    np.testing.assert_array_equal(without.prediction, again.prediction)
    assert np.mean(without.prediction.argmax(axis=1) == dataset.y) < 0.65, "the label depends on size alone"


def test_features_of_trees_are_codes_of_categories_and_numbers_as_they_are():
    frame = table(60, by_size)
    dataset = TableEncoder.fit(frame, "label").transform(frame)
    features, categorical = tree_features(dataset)
    kind = next(q for q, column in enumerate(dataset.columns) if column.name == "kind")
    position = int(np.flatnonzero(categorical)[0])
    assert categorical.sum() == 1
    np.testing.assert_array_equal(features[:, position], dataset.codes[:, kind])
    start, stop = dataset.groups[0]
    np.testing.assert_array_equal(features[:, : stop - start], dataset.x[:, start:stop])


def test_a_class_that_a_fold_has_never_seen_gets_almost_no_probability():
    frame = table(90, by_size)
    frame.loc[0, "label"] = "once"
    dataset, folds, result = predicted(frame)
    assert isinstance(dataset.target, ClassTarget)
    once = dataset.target.classes.index("once")
    assert result.p_given[0] < 1e-4 and np.isfinite(result.prediction).all()
    assert result.prediction.shape == (90, 3) and dataset.y[0] == once
    assert all(0 not in folds.train[f] for f in [folds.fold[0]])


def test_regression():
    dataset, _, result = predicted(table(300, lambda rng, frame: 50 * frame["size"] + rng.normal(size=len(frame))))
    assert result.prediction.shape == (300, 1)
    assert np.corrcoef(result.prediction[:, 0], dataset.y)[0, 1] > 0.9
    assert result.p_given.min() >= 0 and result.p_given.max() <= 1


def test_progress_counts_every_row_and_seeds_repeat():
    frame = table(120, by_size)
    dataset = TableEncoder.fit(frame, "label").transform(frame)
    folds = make_folds(np.random.default_rng(0), dataset.y, num_folds=3)
    counts = []
    first = out_of_fold_predictions(dataset, folds, seed=3, on_fold=counts.append)
    assert counts == np.bincount(folds.fold).tolist()
    np.testing.assert_array_equal(out_of_fold_predictions(dataset, folds, seed=3).prediction, first.prediction)


def test_tail_probability_of_laplace_residuals_is_uniform():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(-2, 2, 20_000)
    residual = rng.laplace(0, np.exp(0.7 * predicted))  # the scale varies with the prediction
    p = residual_tail_probability(predicted + residual, predicted, num_bins=50)
    assert kstest(p, "uniform").statistic < 0.015
    low = residual_tail_probability(predicted + residual, predicted)[predicted < -1.8]
    assert np.mean(low < 0.05) == pytest.approx(0.05, abs=0.02)


def test_tail_probability_by_hand():
    predicted = np.zeros(5)
    y = np.array([1.0, -1.0, 2.0, 0.5, 0.0])  # median |residual| 1: scale 1 / ln 2, so p = 2^−|residual|
    np.testing.assert_allclose(residual_tail_probability(y, predicted), [0.5, 0.5, 0.25, 2**-0.5, 1], rtol=1e-5)


def test_exact_predictions_leave_no_residual_improbable():
    y = np.arange(60.0)
    np.testing.assert_array_equal(residual_tail_probability(y, y), 1.0)


def with_wrong_labels(num_rows=1_200, share=0.25):
    frame = table(num_rows, by_size)
    dataset = TableEncoder.fit(frame, "label").transform(frame)
    wrong = np.random.default_rng(1).random(num_rows) < share
    dataset.y[wrong] = 1 - dataset.y[wrong]
    return dataset, wrong, make_folds(np.random.default_rng(0), dataset.y, num_folds=3)


def test_trees_without_suspects_tell_wrong_labels_better():
    dataset, wrong, folds = with_wrong_labels()
    first = out_of_fold_predictions(dataset, folds, seed=0)
    suspect = suspects(dataset.y, dataset.y, first, dataset.target)
    assert 0.4 < suspect[wrong].mean() and suspect[~wrong].mean() < 0.1
    second = out_of_fold_predictions(dataset, folds, seed=0, leave_out=suspect)
    before, after = (roc_auc_score(wrong, -known.p_given) for known in (first, second))
    assert after > before + 0.005


def test_label_noise_grows_with_the_share_of_wrong_labels_and_not_of_those_that_are_hard_to_tell():
    noise = []
    for share in (0.0, 0.25):
        dataset, _, folds = with_wrong_labels(share=share)
        noise.append(label_noise(out_of_fold_predictions(dataset, folds, seed=0).prediction, dataset.target))
    assert noise[0] < 0.03 and 0.08 < noise[1] < 0.3
    hard = np.array([[0.5, 0.5]] * 80 + [[0.99, 0.01]] * 20)
    assert label_noise(hard, TWO) == pytest.approx(0.01)
    assert label_noise(np.zeros((9, 1)), RegressionTarget()) == 0.0


def of_two_classes(y, p_given):
    y, p_given = np.array(y), np.array(p_given)
    return y, OutOfFold(np.where(y[:, None] == np.arange(2), p_given[:, None], 1 - p_given[:, None]), p_given)


def test_where_labels_are_noisy_less_makes_a_row_suspect():
    y, sure = of_two_classes([0, 0, 0, 1], [0.45, 0.99, 0.99, 0.99])
    assert not suspects(y, y, sure, TWO).any()
    y, unsure = of_two_classes([0, 0, 0, 1], [0.45, 0.7, 0.7, 0.7])
    assert suspects(y, y, unsure, TWO).tolist() == [True, False, False, False]


def test_noise_does_not_make_a_class_suspect_that_trees_never_predict():
    y, unsure = of_two_classes([0] * 8 + [1] * 4, [0.8] * 8 + [0.2] * 4)
    assert label_noise(unsure.prediction, TWO) == pytest.approx(0.2)
    assert not suspects(y, y, unsure, TWO).any()


def test_rows_left_out_teach_nothing():
    dataset, wrong, folds = with_wrong_labels(400)
    before = out_of_fold_predictions(dataset, folds, seed=0, leave_out=wrong).prediction
    dataset.y[wrong] = 1 - dataset.y[wrong]
    np.testing.assert_array_equal(out_of_fold_predictions(dataset, folds, seed=0, leave_out=wrong).prediction, before)


def test_a_rare_class_is_not_suspect_as_a_whole():
    y = np.array([0] * 18 + [1] * 2)
    prediction = np.tile(np.array([[0.9, 0.1]]), (20, 1))
    known = OutOfFold(prediction, prediction[np.arange(20), y])
    assert not suspects(y, y, known, TWO).any(), "trees know of no better label for any row of it"


def test_a_target_far_from_its_prediction_is_suspect():
    y, labels = np.array([0.0, 0.1, 5.0]), np.array([0, 0, 1])
    known = OutOfFold(np.zeros((3, 1)), np.array([1.0, 0.9, 0.01]))
    np.testing.assert_array_equal(suspects(y, np.zeros(3, int), known, RegressionTarget()), [False, False, True])
    assert not suspects(y, labels, known, RegressionTarget()).any(), "the only row of its bin"
