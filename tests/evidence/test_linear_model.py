"""Linear models of texts, and trees whose predictions are pooled with theirs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score

from demix_jax.data import TableEncoder
from demix_jax.data.folds.plan import make_folds, strata_of
from demix_jax.evidence.linear_model import LinearInputs, affordable, fit_linear
from demix_jax.evidence.out_of_fold import fit_trees, tree_features

TOPICS = {
    "sport": "team coach match season goal league player striker referee injury trophy stadium transfer cup".split(),
    "markets": "shares profit bank investors stock quarter rates bonds merger dollar earnings loan fund index".split(),
    "science": "study cells planet researchers vaccine orbit genes telescope species climate brain fossil atom".split(),
}
COMMON = "the a of in after new says as over for more big first year week city report plan leads amid".split()


def headlines(num_rows=600, wrong_share=0.1, seed=0):
    """Headlines of seven words, two to four of them of the topic, and labels of which a share is wrong."""
    rng = np.random.default_rng(seed)
    right, texts = rng.choice(list(TOPICS), num_rows), []
    for topic in right:
        own = rng.integers(2, 5)
        words = [*rng.choice(TOPICS[topic], own), *rng.choice(COMMON, 7 - own)]
        texts.append(" ".join(rng.permutation(words)))
    wrong = rng.random(num_rows) < wrong_share
    other = [rng.choice([name for name in TOPICS if name != topic]) for topic in right]
    return pd.DataFrame({"headline": texts, "label": np.where(wrong, other, right)}), wrong


def encoded(frame, num_folds=3):
    dataset = TableEncoder.fit(frame, "label").transform(frame)
    return dataset, make_folds(np.random.default_rng(0), strata_of(dataset.y, dataset.target), num_folds=num_folds)


def parts(num_rows=300):
    return np.arange(0, num_rows // 2), np.arange(num_rows // 2, num_rows)


def test_wrong_labels_of_headlines_are_found():
    frame, wrong = headlines()
    dataset, folds = encoded(frame)
    models, found = fit_trees(dataset, folds, seed=0)
    assert average_precision_score(wrong, -found.p_given) > 0.8
    np.testing.assert_allclose(found.prediction.sum(axis=1), 1, rtol=1e-5)
    again = models.predict(dataset, folds.fold)
    np.testing.assert_allclose(again.prediction, found.prediction, atol=1e-6)
    np.testing.assert_array_equal(fit_trees(dataset, folds, seed=0)[1].prediction, found.prediction)


def test_a_rows_own_label_has_no_say():
    dataset, folds = encoded(headlines(300)[0], num_folds=2)
    own = folds.fold == 0
    other = dataclasses.replace(dataset, y=np.where(own, (dataset.y + 1) % 3, dataset.y).astype(np.int32))
    before, after = (fit_trees(of, folds, seed=0)[1].prediction for of in (dataset, other))
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).any(), "these models were trained on the changed labels"


def test_labels_drawn_by_chance_are_predicted_by_chance():
    frame, _ = headlines(400)
    frame["label"] = np.random.default_rng(5).choice(["x", "y"], 400)
    dataset, folds = encoded(frame)
    prediction = fit_trees(dataset, folds, seed=0)[1].prediction
    assert 0.4 < np.mean(prediction.argmax(axis=1) == dataset.y) < 0.6
    loss = -np.log(prediction[np.arange(400), dataset.y]).mean()
    assert loss < 0.75, "little is said where nothing is known; log 2 is 0.69"


def test_a_dropped_text_has_no_say():
    frame, _ = headlines(300)
    frame["length"] = np.random.default_rng(1).normal(size=300)
    dataset, folds = encoded(frame)
    text = tuple(q for q, column in enumerate(dataset.columns) if column.name == "headline")
    without = fit_trees(dataset, folds, seed=0, drop_columns=text)[1]
    assert np.mean(without.prediction.argmax(axis=1) == dataset.y) < 0.5, "the label depends on the text alone"
    shares = fit_trees(dataset, folds, seed=0, drop_columns=range(len(dataset.columns)))[1].prediction
    np.testing.assert_allclose(shares, np.tile(np.bincount(dataset.y) / 300, (300, 1)), rtol=1e-5)


def test_trees_read_the_first_features_of_a_text():
    frame, _ = headlines(2_000)
    dataset, _ = encoded(frame.assign(size=np.random.default_rng(0).normal(size=len(frame))))
    widths = [stop - start for start, stop in dataset.groups]
    assert dataset.columns[0].name == "headline" and widths[0] == 2_000 // 48 + 1, "and one for its length"
    assert tree_features(dataset)[0].shape[1] == 32 + sum(widths[1:])


def test_rows_left_out_are_not_learned_from():
    dataset, folds = encoded(headlines(300)[0])
    left = np.random.default_rng(2).random(300) < 0.2
    other = dataclasses.replace(dataset, y=np.where(left, (dataset.y + 1) % 3, dataset.y).astype(np.int32))
    before, after = (fit_trees(of, folds, seed=0, leave_out=left)[1].prediction for of in (dataset, other))
    np.testing.assert_array_equal(before, after)


def test_many_columns_that_each_tell_a_little_are_told_by_the_linear_part():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 30))
    frame = pd.DataFrame(x, columns=[f"x{q}" for q in range(30)]).assign(
        label=np.where(x.sum(axis=1) + rng.logistic(size=300) > 0, "yes", "no")
    )
    dataset, folds = encoded(frame)
    models, found = fit_trees(dataset, folds, seed=0)
    own = np.zeros_like(found.prediction)
    for f, learner in enumerate(models.learners):
        own[folds.fold == f] = learner.predict(tree_features(dataset)[0][folds.fold == f])

    def loss(p):
        return -np.log(p[np.arange(300), dataset.y]).mean()

    assert loss(found.prediction) < loss(own) - 0.05
    again = models.predict(dataset, folds.fold).prediction
    np.testing.assert_allclose(again, found.prediction, rtol=1e-5)


def test_a_linear_model_of_many_rows_and_few_features_reads_some_of_them():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=2_000), "kind": rng.choice(["a", "b", "c"], 2_000)})
    dataset, _ = encoded(frame.assign(label=np.where(frame["size"] > 0, "x", "y")))
    values, rows = LinearInputs.of(dataset).values, np.arange(2_000)
    assert isinstance(values, np.ndarray) and len(affordable(values, rows, 2)) == 2_000
    few = affordable(np.tile(values, (1, 1_000)), rows, 2)
    assert len(few) == 3_000_000 // (2 * 1_000 * values.shape[1]) and few[0] == 0 and few[-1] == 1_999


def test_inputs_are_terms_and_the_features_of_other_columns():
    frame, _ = headlines(200)
    dataset, _ = encoded(frame.assign(size=np.linspace(0, 1, 200), kind=["a", "b", "c", "d"] * 50))
    inputs = LinearInputs.of(dataset)
    names = np.array([dataset.columns[q].name for q in inputs.columns])
    num_terms = len(dataset.term_columns)
    assert (names[:num_terms] == "headline").all() and {"size", "kind"} <= set(names[num_terms:])
    others = csr_matrix(inputs.values).toarray()[:, num_terms:]
    kept = [q for q in range(len(dataset.columns)) if q not in dataset.term_columns]
    x = np.concatenate([dataset.x[:, slice(*dataset.groups[q])] for q in kept], axis=1)
    np.testing.assert_allclose(others, x / np.sqrt(x.shape[1]), rtol=1e-5)
    text = int(dataset.term_columns[0])
    np.testing.assert_array_equal(inputs.without((text,)), np.arange(num_terms, inputs.values.shape[1]))
    assert len(inputs.without(())) == inputs.values.shape[1]


def test_the_strength_of_least_validation_loss_is_chosen():
    dataset, _ = encoded(headlines(300)[0])
    inputs, (train, valid) = LinearInputs.of(dataset), parts()
    every = np.arange(inputs.values.shape[1])
    learner = fit_linear(dataset, inputs.values, every, train=train, valid=valid)
    assert learner is not None

    def loss(strength):
        model = LogisticRegression(C=strength, max_iter=1_000).fit(inputs.values[train], dataset.y[train])
        return -np.log(model.predict_proba(inputs.values[valid])[np.arange(len(valid)), dataset.y[valid]]).mean()

    losses = {strength: loss(strength) for strength in (1.0, 4.0, 16.0, 64.0)}
    p = learner.predict(inputs.values[valid])
    got = -np.log(p[np.arange(len(valid)), dataset.y[valid]]).mean()
    np.testing.assert_allclose(got, min(losses.values()), atol=0.02)
    few = fit_linear(dataset, inputs.values, every, train=train, valid=valid[:5])
    assert few is not None and few.model.C == 4.0


def test_one_class_has_no_linear_model_and_an_unseen_class_is_unlikely():
    dataset, _ = encoded(headlines(300)[0])
    inputs, (train, valid) = LinearInputs.of(dataset), parts()
    every = np.arange(inputs.values.shape[1])
    assert fit_linear(dataset, inputs.values, every, train=train[dataset.y[train] == 0], valid=valid) is None
    two = fit_linear(dataset, inputs.values, every, train=train[dataset.y[train] != 1], valid=valid)
    assert two is not None
    assert two.predict(inputs.values)[:, 1].max() < 1e-5
    assert two.predict(inputs.values[:0]).shape == (0, 3)


def test_a_numeric_target_is_told_by_words_in_spite_of_slips():
    """The target counts words of sport; a twentieth of the targets are off by a hundred."""
    frame, _ = headlines(600)
    count = frame["headline"].map(lambda text: sum(word in TOPICS["sport"] for word in text.split()))
    rng = np.random.default_rng(0)
    slips = rng.random(600) < 0.05
    frame["label"] = count + rng.normal(0, 0.2, 600) + 100 * slips
    dataset, folds = encoded(frame)
    models, found = fit_trees(dataset, folds, seed=0)
    assert average_precision_score(slips, -found.p_given) > 0.95
    right = count.to_numpy()
    assert np.corrcoef(found.prediction[~slips, 0], right[~slips])[0, 1] > 0.7
    text = models.linear[0]
    assert text is not None and isinstance(text.learner.model, Ridge)
    own = text.learner.predict(LinearInputs.of(dataset).values[folds.fold == 0])[:, 0]
    assert np.corrcoef(own[~slips[folds.fold == 0]], right[(folds.fold == 0) & ~slips])[0, 1] > 0.7
    np.testing.assert_allclose(text.pool.first + text.pool.second, 1)
