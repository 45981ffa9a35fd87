"""Cells against the rest of their row: planted wrong cells stand out, and support is where information is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import roc_auc_score

from demix_jax.data.folds.plan import make_folds
from demix_jax.evidence.column_model import (
    cell_surprise,
    code_log_probs,
    contaminated,
    fit_column_models,
    score_cells,
)
from demix_jax.evidence.column_network import ColumnNetwork, _fit, fit_column_networks
from demix_jax.evidence.column_statistics import Commonest

NUM_CODES = (6, 6, 4, 3)
NUM_ROWS = 1_000


def cell_evidence(key, codes, num_codes, labels, folds, *, num_epochs=25, **scoring):
    models = fit_column_models(key, codes, num_codes, labels, folds, num_epochs=num_epochs)
    return scored(models, codes, num_codes, labels, folds, **scoring)


def scored(models, codes, num_codes, labels, folds, **scoring):
    with_missing = tuple(number + 1 for number in num_codes)
    no_numbers = np.zeros(codes.shape, np.float32)
    commonest = Commonest.fit(codes, with_missing, no_numbers)
    return score_cells(models, codes, labels, folds, commonest=commonest, robust_z=no_numbers, **scoring)


@pytest.fixture(scope="module")
def known():
    """x1 is a function of x0 but for 5 % noise, x2 decides the label, x3 is independent; 20 cells of x1 are wrong."""
    rng = np.random.default_rng(0)
    x0 = rng.integers(0, 6, NUM_ROWS)
    x1 = np.where(rng.random(NUM_ROWS) < 0.05, rng.integers(0, 6, NUM_ROWS), np.array([3, 1, 5, 0, 2, 4])[x0])
    x2, x3 = rng.integers(0, 4, NUM_ROWS), rng.integers(0, 3, NUM_ROWS)
    labels = (x2 >= 2).astype(int)
    codes = np.stack([x0, x1, x2, x3], axis=1).astype(np.int32)
    wrong = rng.choice(NUM_ROWS, 20, replace=False)
    clean = codes.copy()
    codes[wrong, 1] = (np.array([3, 1, 5, 0, 2, 4])[x0[wrong]] + rng.integers(1, 6, 20)) % 6
    folds = make_folds(rng, labels, num_folds=2)
    found = cell_evidence(jax.random.key(0), codes, NUM_CODES, labels, folds)
    return codes, clean, labels, folds, wrong, found


def test_wrong_cells_are_the_most_surprising(known):
    _, _, _, _, wrong, found = known
    assert found.surprise.shape == found.support.shape == (NUM_ROWS, 4)
    assert np.isfinite(found.surprise).all() and np.isfinite(found.support).all()
    is_wrong = np.isin(np.arange(NUM_ROWS), wrong)
    assert roc_auc_score(is_wrong, found.surprise[:, 1]) > 0.93
    assert np.median(found.surprise[wrong, 1]) > 2 > np.quantile(found.surprise[~is_wrong, 1], 0.9)


def test_cells_without_errors_are_as_surprising_as_usual(known):
    """Their surprise is −log p less the entropy: zero on average but for what a small table lets a model overfit."""
    surprise = known[-1].surprise
    for q in (2, 3):
        assert abs(surprise[:, q].mean()) < 0.25
    assert np.quantile(surprise[:, 3], 0.99) < 2, "three values of equal share, whatever the rest of the row"


def test_support_is_the_information_about_the_label(known):
    """x2 alone decides a label of log 2 nats; knowing the label leaves two of x2's four values."""
    support = known[-1].support
    assert support[:, 2].mean() == pytest.approx(np.log(2), abs=0.25)
    for q in (0, 1, 3):
        assert abs(support[:, q].mean()) < 0.15


def test_a_cell_that_contradicts_its_label_has_negative_support(known):
    codes, _, labels, folds, _, _ = known
    flipped = labels.copy()
    lied = np.random.default_rng(2).choice(NUM_ROWS, 30, replace=False)
    flipped[lied] = 1 - flipped[lied]
    found = cell_evidence(jax.random.key(0), codes, NUM_CODES, flipped, folds)
    assert np.mean(found.support[lied, 2] < 0) > 0.9
    assert np.mean(found.support[np.setdiff1d(np.arange(NUM_ROWS), lied), 2] > 0) > 0.95


def test_equal_keys_give_equal_evidence_and_blocks_make_no_difference(known):
    codes, _, labels, folds, _, _ = known
    counts = []
    options: dict[str, Any] = {"num_epochs": 1}
    whole, other = (cell_evidence(jax.random.key(k), codes, NUM_CODES, labels, folds, **options) for k in (1, 2))
    options |= {"block": 64, "on_block": counts.append}
    parts = cell_evidence(jax.random.key(1), codes, NUM_CODES, labels, folds, **options)
    assert sum(counts) == NUM_ROWS and len(counts) == 16
    np.testing.assert_allclose(whole.surprise, parts.surprise, atol=1e-4)
    np.testing.assert_allclose(whole.support, parts.support, atol=1e-4)
    assert np.abs(whole.surprise - other.surprise).max() > 1e-3


def test_rows_are_scored_by_a_model_that_never_saw_them(known):
    codes, _, labels, folds, _, _ = known
    changed = codes.copy()
    mine = np.flatnonzero(folds.fold == 0)
    changed[mine[0]] = (changed[mine[0]] + 1) % np.array(NUM_CODES)
    first, second = (
        cell_evidence(jax.random.key(0), table, NUM_CODES, labels, folds, num_epochs=1).surprise
        for table in (codes, changed)
    )
    np.testing.assert_allclose(first[mine[1:]], second[mine[1:]], atol=1e-5)


def test_tables_of_similar_size_share_programs_and_padding_changes_nothing():
    """Parameters of a table with padded columns predict the same once the padding is cut off."""
    rng = np.random.default_rng(3)
    sizes = []
    for num_rows, num_columns in ((300, 5), (320, 6)):
        codes = rng.integers(0, 4, (num_rows, num_columns)).astype(np.int32)
        labels = rng.integers(0, 2, num_rows)
        folds = make_folds(rng, labels, num_folds=2)
        fitted = fit_column_networks(
            jax.random.key(0), codes, (4,) * num_columns, labels, folds,
            leave_out=None, doubtful=None, num_epochs=1, max_steps=5,
        )  # fmt: skip
        sizes.append(_fit._cache_size())  # pyright: ignore[reportAttributeAccessIssue]
        assert fitted.network.num_columns == 8 and fitted.network.num_codes == 16
        real = [*range(num_columns), 7]
        table = np.zeros((num_rows, 8), np.int32)
        table[:, real] = np.concatenate([codes, labels[:, None]], axis=1)
        of_fold = jax.tree.map(lambda leaf: leaf[0], fitted.params)["params"]
        cut = {
            name: leaf[np.array(real)] if name in ("embed", "kernel", "bias") else leaf
            for name, leaf in of_fold.items()
        }
        narrow = ColumnNetwork(len(real), 16)
        masked = rng.random((num_rows, 8)) < 0.3
        want = narrow.apply(
            {"params": cut}, table[:, real], masked[:, real], fitted.allowed[real], method=ColumnNetwork.log_probs
        )
        got = fitted.network.apply({"params": of_fold}, table, masked, fitted.allowed, method=ColumnNetwork.log_probs)
        np.testing.assert_allclose(np.asarray(got)[:, real], np.asarray(want), atol=1e-4)
    assert sizes[0] == sizes[1], "the second table was compiled anew"


def test_leaving_one_out_equals_masking_it():
    """The fast path, which updates a sum of embeddings, against the plain one with one cell masked at a time."""
    rng = np.random.default_rng(0)
    sizes = np.array([5, 3, 4])
    allowed = jnp.asarray(np.arange(8) < sizes[:, None])
    codes = rng.integers(0, sizes, (6, 3)).astype(np.int32)
    model = ColumnNetwork(3, 8, width=16)
    params = model.init(jax.random.key(0), codes, np.zeros((6, 3), bool), allowed, method=ColumnNetwork.log_probs)
    for hidden in (np.zeros(3, bool), np.array([False, False, True])):
        common = jnp.array([4, 0, 2])
        found = model.apply(params, codes, jnp.asarray(hidden), allowed, common, method=ColumnNetwork.leave_one_out)
        log_p, entropy, log_p_common = map(np.asarray, found)
        for q in range(3):
            masked = np.tile(hidden | (np.arange(3) == q), (6, 1))
            plain = np.asarray(model.apply(params, codes, masked, allowed, method=ColumnNetwork.log_probs))[:, q]
            plain = log_softmax(plain[:, : sizes[q]].astype(np.float64), axis=1)
            np.testing.assert_allclose(log_p[:, q], plain[np.arange(6), codes[:, q]], atol=1e-4)
            np.testing.assert_allclose(entropy[:, q], -(np.exp(plain) * plain).sum(axis=1), atol=1e-4)
            np.testing.assert_allclose(log_p_common[:, q], plain[:, common[q]], atol=1e-4)


def test_codes_that_a_column_lacks_have_no_probability():
    model = ColumnNetwork(2, 8, width=8)
    allowed = jnp.asarray(np.arange(8) < np.array([[2], [5]]))
    codes = np.zeros((4, 2), np.int32)
    nothing = np.zeros((4, 2), bool)
    params = model.init(jax.random.key(0), codes, nothing, allowed, method=ColumnNetwork.log_probs)
    p = np.exp(np.asarray(model.apply(params, codes, nothing, allowed, method=ColumnNetwork.log_probs)))
    np.testing.assert_allclose(p[:, 0, :2].sum(axis=1), 1, rtol=1e-5)
    assert p[:, 0, 2:].max() == 0 and p[:, 1, 5:].max() == 0


def test_a_model_without_contaminated_rows_does_not_learn_their_errors():
    """A third of the rows have one same wrong value, which a model of all rows comes to expect."""
    rng = np.random.default_rng(0)
    x0, labels = rng.integers(0, 6, 2_000), rng.integers(0, 2, 2_000)
    codes = np.stack([x0, x0, x0], axis=1).astype(np.int32)
    wrong = rng.random(2_000) < 0.3
    codes[wrong, 1] = (x0[wrong] + 1) % 6
    folds = make_folds(rng, labels, num_folds=2)
    key, nothing = jax.random.key(0), np.zeros(codes.shape, np.float32)
    everyone = fit_column_models(key, codes, (6, 6, 6), labels, folds, num_epochs=10)
    screened = cell_surprise(everyone, codes, labels, folds)
    without = fit_column_models(key, codes, (6, 6, 6), labels, folds, leave_out=wrong)
    surprise = cell_surprise(without, codes, labels, folds)
    assert np.median(surprise[wrong, 1]) > np.median(screened[wrong, 1]) + 2
    assert contaminated(surprise, nothing, nothing)[wrong].mean() > 0.95
    assert contaminated(surprise, nothing, nothing)[~wrong].mean() < 0.05


def test_at_most_three_rows_of_five_are_contaminated():
    surprise = np.linspace(4, 9, 50)[:, None]
    assert contaminated(surprise, *np.zeros((2, 50, 1))).sum() == 30


def test_wild_and_misspelt_values_contaminate_however_usual():
    surprise, robust_z, misspelt = np.zeros((3, 10, 2))
    robust_z[3, 1], misspelt[7, 0] = -500.0, 5.0
    np.testing.assert_array_equal(np.flatnonzero(contaminated(surprise, robust_z, misspelt)), [3, 7])


def test_doubtful_labels_are_not_learned():
    """Half of the rows have the opposite label; a model that is not told of these stays sure of the others'."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, (2_000, 2)).astype(np.int32)
    doubtful = rng.random(2_000) < 0.5
    labels = np.where(doubtful, 1 - codes[:, 0], codes[:, 0])
    folds = make_folds(rng, labels, num_folds=2)
    told, untold = (
        scored(
            fit_column_models(jax.random.key(0), codes, (2, 2), labels, folds, doubtful=left),
            codes,
            (2, 2),
            labels,
            folds,
        ).support[:, 0]
        for left in (None, doubtful)
    )
    assert np.abs(told).mean() < 0.2
    assert untold[~doubtful].mean() > 0.5 and untold[doubtful].mean() < -1


def test_rows_that_were_filled_with_what_is_commonest():
    """Eight columns repeat one hidden value; in 60 rows, any three of them were replaced by what is commonest."""
    rng = np.random.default_rng(0)
    hidden, labels = rng.choice(5, 2_000, p=[0.3, 0.2, 0.2, 0.2, 0.1]), rng.integers(0, 2, 2_000)
    codes = np.where(rng.random((2_000, 8)) < 0.1, rng.integers(0, 5, (2_000, 8)), hidden[:, None]).astype(np.int32)
    filled = np.flatnonzero(hidden != 0)[:60]
    codes[filled[:, None], rng.permuted(np.tile(np.arange(8), (60, 1)), axis=1)[:, :3]] = 0
    folds = make_folds(rng, labels, num_folds=2)
    found = cell_evidence(jax.random.key(0), codes, (5,) * 8, labels, folds)
    assert found.filled.dtype == np.float32 and ((found.filled > 0) == (codes == 0)).all()
    is_filled = np.isin(np.arange(2_000), filled)
    assert roc_auc_score(is_filled, found.filled.mean(axis=1)) > 0.95
    assert roc_auc_score(is_filled, (codes == 0).sum(axis=1)) < 0.85, "counting them does not tell"


def test_probabilities_of_each_code_are_those_that_surprise_is_made_of(known):
    codes, _, labels, folds, _, _ = known
    models = fit_column_models(jax.random.key(0), codes, NUM_CODES, labels, folds, num_epochs=2)
    surprise = cell_surprise(models, codes, labels, folds)
    columns, seen = np.array([2, 0]), np.zeros(len(codes), int)
    for rows, log_p in code_log_probs(models, codes, labels, folds, columns):
        seen[rows] += 1
        p = np.exp(log_p)
        np.testing.assert_allclose(p.sum(axis=2), 1, atol=1e-5)
        for c, q in enumerate(columns):
            assert (p[:, c, NUM_CODES[q] :] < 1e-6).all(), "codes that the column does not have"
            entropy = -np.sum(p[:, c] * np.maximum(log_p[:, c], -100), axis=1)
            given = log_p[np.arange(len(rows)), c, codes[rows, q]]
            np.testing.assert_allclose(-given - entropy, surprise[rows, q], atol=1e-4)
    assert (seen == 1).all()
