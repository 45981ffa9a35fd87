"""Calibration: what is read off tables by hand, and what is learned from worlds whose rates are known."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from demix_jax.classifier import ErrorClassifier, Probes, View, World
from demix_jax.classifier.calibrate import calibrate
from demix_jax.classifier.calibration import Calibration, identity_calibration
from demix_jax.classifier.inputs import NUM_TABLE_FACTS
from demix_jax.classifier.schema import SIGNALS
from demix_jax.classifier.table_level import NUM_TABLE_INPUTS, RowInput, TableInput, TableLevel, likeliest_share

FACTS = np.zeros(NUM_TABLE_FACTS, np.float32)


class Known:
    """A classifier whose one network says what the vectors hold."""

    def of_table(self, signals, facts, probes):
        del signals, facts, probes
        return self

    def read(self, vectors, signals, probes):
        return vectors[None], [TableLevel.of(vectors, signals, FACTS, probes and (probes.vectors, probes.truth))]


def plain_signals(num_rows):
    """Signals that say nothing."""
    return np.zeros((num_rows, len(SIGNALS)), np.float32)


def world_of(logits, truth, probes=None):
    return World((View(logits, plain_signals(len(logits)), probes),), truth, FACTS, "t")


def calibrated(worlds) -> Calibration:
    """What is fitted to `Known` on these worlds."""
    return calibrate([(cast(ErrorClassifier, Known()), worlds)])


def probability(calibration, world, *, probed=False):
    vectors, signals, probes = world.views[0]
    logits, levels = Known().read(vectors, signals, probes if probed else None)
    return calibration.probability(logits, signals, levels)


# What is read off a table


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_likeliest_share_is_the_best_of_a_grid(share):
    rng = np.random.default_rng(0)
    z = rng.normal(size=5_000) + 3 * (rng.random(5_000) < share)
    log_ratio = norm.logpdf(z, 3) - norm.logpdf(z)
    grid = np.linspace(1e-3, 0.999, 999)
    likelihood = [np.log1p(one * np.expm1(log_ratio)).sum() for one in grid]
    assert likeliest_share(log_ratio) == pytest.approx(grid[np.argmax(likelihood)], abs=2e-3)
    assert likeliest_share(log_ratio) == pytest.approx(share, abs=0.01)


def test_a_table_is_summarised_by_hand():
    signals = plain_signals(4)
    p_given = np.array([0.9, 0.5, 0.2, 0.05])
    signals[:, SIGNALS.index("tree_log_p")] = np.log(p_given)
    signals[:, SIGNALS.index("tree_margin")] = [0.8, 0.0, -0.6, -0.9]
    signals[:, SIGNALS.index("trusted_margin")] = [0.9, -0.1, -0.7, -0.95]
    signals[:, SIGNALS.index("label_prior")] = 0.5
    logits = np.array([[0.0, 1.0, -1.0]] * 4, np.float32)
    facts = np.arange(NUM_TABLE_FACTS, dtype=np.float32)
    got = TableLevel.of(logits, signals, facts).inputs
    assert got.shape == (3, NUM_TABLE_INPUTS)
    np.testing.assert_allclose(got[:, TableInput.MEAN], [0, 1, -1], atol=1e-6)
    assert not got[:, [TableInput.PROBE_SHARE, TableInput.PROBE_HALF, TableInput.HAS_PROBES]].any()
    want = [(1 - p_given).mean(), 2.5 / 5, 2.5 / 5, 1.5 / 5, 2.5 / 5]
    np.testing.assert_allclose(got[0, TableInput.EXPECTED_AGAINST : TableInput.PREDICTED], logit(want), atol=1e-5)
    assert got[0, TableInput.PREDICTED] == pytest.approx(np.log(p_given).mean() - np.log(0.5), abs=1e-6)
    np.testing.assert_array_equal(got[1, TableInput.FACTS :], facts)


def test_a_row_is_read_with_its_label_evidence():
    signals = plain_signals(2)
    signals[:, SIGNALS.index("tree_log_p")] = np.log([0.2, 1.0])
    signals[:, SIGNALS.index("trusted_log_p")] = np.log([0.1, 0.5])
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], np.float32)
    got = TableLevel.of(logits, signals, FACTS).of_rows(logits, signals)
    np.testing.assert_allclose(got[0, 0], [1.0, 0.0, np.log(4), np.log(9)], atol=1e-5)
    np.testing.assert_allclose(got[1, 0], [0.0, 0.0, -10.0, 0.0], atol=1e-5)
    assert not got[:, 1:, RowInput.PROBE_LOG_RATIO :].any()
    np.testing.assert_array_equal(got[:, 1:, RowInput.LOGIT], logits[:, 1:])


# What is learned


def test_without_worlds_logits_are_log_odds():
    z = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    for calibration in (identity_calibration(), calibrate([])):
        got = probability(calibration, world_of(z, np.zeros((50, 3), bool)))
        np.testing.assert_allclose(got, expit(z), rtol=1e-5)


def test_a_known_logistic_is_recovered():
    rng = np.random.default_rng(0)
    slope, offset = np.array([1.7, 0.6, 2.5]), np.array([-1.0, 0.5, -2.0])
    worlds = []
    for _ in range(30):
        z = rng.normal(0, 1.5, (500, 3))
        worlds.append(world_of(z, rng.random((500, 3)) < expit(slope * z + offset)))
    found = calibrated(worlds)
    grid = np.linspace(-2, 2, 9)[:, None].repeat(3, axis=1)
    _, levels = Known().read(worlds[0].views[0].vectors, plain_signals(500), None)
    got = found.log_odds(grid[None], plain_signals(9), levels)[0]
    np.testing.assert_allclose(expit(got), expit(slope * grid + offset), atol=0.06)


def separated(rng, rate, *, distance=2.5, num_rows=512, level=0.0):
    """A world whose logits are log-likelihood ratios, up to `level`, of a known share of wrong rows."""
    truth = rng.random((num_rows, 3)) < rate
    score = rng.normal(size=(num_rows, 3)) + distance * truth
    return world_of((distance * score - distance**2 / 2 + level).astype(np.float32), truth)


def test_rates_from_none_to_most_are_read_off_the_table():
    rng = np.random.default_rng(0)
    rates = np.where(np.arange(240) % 6 == 0, 0.0, 10 ** rng.uniform(-2.3, -0.22, 240))
    found = calibrated([separated(rng, rate) for rate in rates])
    for rate, factor in ((0.02, 3.0), (0.05, 1.5), (0.2, 1.5), (0.5, 1.5)):  # rare errors count less in the fit
        other = [separated(rng, rate, num_rows=4_096) for _ in range(4)]
        told = np.mean([probability(found, world).mean(axis=0) for world in other], axis=0)
        true = np.mean([world.truth.mean(axis=0) for world in other], axis=0)
        assert (np.abs(np.log(told / true)) < np.log(factor)).all()
        right = np.mean([((probability(found, world) >= 0.5) == world.truth).mean() for world in other])
        best = np.mean(norm.cdf(1.25))  # of equally many wrong and right rows; more where they are not
        assert right > best - 0.02
    clean = [probability(found, separated(rng, 0.0)) for _ in range(10)]
    assert np.mean([(p >= 0.5).mean() for p in clean]) < 0.01


def test_a_level_that_the_network_got_wrong_is_undone():
    rng = np.random.default_rng(1)
    worlds = [separated(rng, 10 ** rng.uniform(-1.5, -0.4), distance=3.5, level=rng.normal(0, 1.5)) for _ in range(200)]
    found = calibrated(worlds)
    off = [np.abs(probability(found, world).mean(axis=0) - world.truth.mean(axis=0)).mean() for world in worlds]
    raw = [np.abs(expit(world.views[0].vectors).mean(axis=0) - world.truth.mean(axis=0)).mean() for world in worlds]
    assert np.mean(off) < 0.6 * np.mean(raw)


def test_probes_tell_how_many_rows_are_wrong_where_the_logits_alone_do_not():
    rng = np.random.default_rng(0)
    worlds = []
    for _ in range(150):
        rate, easy = rng.uniform(0, 0.4), rng.uniform(1, 4)
        truth = rng.random((500, 3)) < rate
        z = rng.normal(0, 1, (500, 3)) + easy * truth + rng.normal(0, 2)
        of_probes = rng.normal(z[~truth].mean() + easy, 1, (300, 3)).astype(np.float32)
        kinds = np.arange(300)[:, None] % 2 == np.arange(3)
        worlds.append(world_of(z, truth, Probes(of_probes, of_probes, kinds)))
    found = calibrated(worlds)
    errors = {}
    for probed in (False, True):
        told = [probability(found, world, probed=probed).mean(axis=0)[:2] for world in worlds]
        off = np.array(told) - np.array([world.truth.mean(axis=0)[:2] for world in worlds])
        errors[probed] = np.sqrt(np.mean(np.square(off)))
    assert errors[True] < 0.7 * errors[False]


def test_the_same_seed_gives_the_same_calibration():
    worlds = [separated(np.random.default_rng(number), 0.1) for number in range(4)]
    for first, second in zip(calibrated(worlds), calibrated(worlds), strict=True):
        np.testing.assert_array_equal(first, second)
