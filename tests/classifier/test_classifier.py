"""The error classifier: its losses and inputs by hand, what interventions draw, what training learns, its files."""

from __future__ import annotations

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fabricated_worlds import TINY, fabricated_world, tiny_classifier
from safetensors.numpy import save_file
from scipy.special import expit, log_softmax
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from demix_jax.classifier import (
    ErrorClassifier,
    Interventions,
    TrainingOptions,
    View,
    World,
    fit_classifier,
    load_classifier,
    recalibrate,
    table_facts,
)
from demix_jax.classifier import classifier as module
from demix_jax.classifier.calibration import identity_calibration
from demix_jax.classifier.examples import ExampleSampler
from demix_jax.classifier.inputs import NUM_TABLE_FACTS, signal_inputs
from demix_jax.classifier.mixture import Mixture
from demix_jax.classifier.model import log_density
from demix_jax.classifier.schema import CHANNELS, FEATURE_SIGNALS, LABEL_SIGNALS, SHORTCUT_SIGNALS, SIGNALS
from demix_jax.classifier.train import alignment_loss, asymmetric_loss, contrastive_loss, disagreement, same_types
from demix_jax.common.checks import InputError
from demix_jax.common.target import ClassTarget, RegressionTarget


@pytest.fixture(scope="module")
def trained():
    steps = []
    classifier = tiny_classifier(on_step=steps.append)
    return classifier, steps


# Inputs


def test_signals_are_standardised_and_ranked_within_their_table():
    signals = np.array([[1.0, 100.0], [3.0, 0.0], [2.0, -100.0]], np.float32)
    got = signal_inputs(signals, np.array([2.0, 0.0], np.float32), np.array([0.5, 10.0], np.float32))
    scores = norm.ppf([1 / 6, 1 / 2, 5 / 6])
    want = [[-2, 4, scores[0], scores[2]], [2, 0, scores[2], scores[1]], [0, -4, scores[1], scores[0]]]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_ranks_do_not_depend_on_the_scale_of_a_table():
    signals = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    zeros, ones = np.zeros(3, np.float32), np.ones(3, np.float32)
    first, second = (signal_inputs(s, zeros, ones)[:, 3:] for s in (signals, 7 * signals + 5))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_table_facts():
    facts = table_facts(2_981, 12, ClassTarget((0, 1)))
    assert facts.shape == (NUM_TABLE_FACTS,)
    np.testing.assert_allclose(facts, [0, np.log(2), -0.015, 0], atol=1e-3)
    assert table_facts(100, 5, RegressionTarget()).tolist()[1] == 0 and table_facts(100, 5, RegressionTarget())[3] == 1


# Losses


def test_without_focus_the_loss_is_binary_cross_entropy():
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(0, 3, (50, 3)), rng.integers(0, 2, (50, 3)).astype(float)
    want = -(truth * np.log(expit(logits)) + (1 - truth) * np.log(1 - expit(logits)))
    np.testing.assert_allclose(
        asymmetric_loss(jnp.asarray(logits), jnp.asarray(truth), 0.0), want, rtol=1e-4, atol=1e-5
    )


def test_focus_weighs_negatives_by_their_probability():
    logits = jnp.array([2.0, -1.0, 2.0])
    got = asymmetric_loss(logits, jnp.array([0.0, 0.0, 1.0]), 2.0)
    p = expit(np.array([2.0, -1.0]))
    np.testing.assert_allclose(got, [*(-(p**2) * np.log(1 - p)), -np.log(expit(2.0))], rtol=1e-5)


def test_disagreement_is_the_jeffreys_divergence_of_two_coins():
    first, second = np.array([0.3, -2.0]), np.array([1.2, -2.0])
    p, q = expit(first), expit(second)
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    reverse = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    np.testing.assert_allclose(disagreement(jnp.asarray(first), jnp.asarray(second)), divergence + reverse, atol=1e-6)


def test_contrastive_loss_by_hand():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 6, 4))
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (first, second))
    similarity = a @ b.T / 0.2
    rows = np.diag(log_softmax(similarity, axis=1)).mean()
    columns = np.diag(log_softmax(similarity, axis=0)).mean()
    itself = jnp.eye(6, dtype=bool)
    got = contrastive_loss(jnp.asarray(first), jnp.asarray(second), itself)
    assert float(got) == pytest.approx(-(rows + columns) / 2, rel=1e-4)
    assert contrastive_loss(jnp.asarray(first), jnp.asarray(first), itself) < got


def test_rows_of_the_same_types_are_drawn_together():
    truth = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1]], np.float32)
    alike = same_types(jnp.asarray(truth))
    np.testing.assert_array_equal(alike, np.kron(np.eye(2), np.ones((2, 2))).astype(bool))
    together = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    apart = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    itself = np.eye(4, dtype=bool)
    loss = {(name, kind): float(contrastive_loss(jnp.asarray(rows), jnp.asarray(rows), jnp.asarray(positive)))
            for name, rows in (("together", together), ("apart", apart))
            for kind, positive in (("types", alike), ("rows", itself))}  # fmt: skip
    assert loss["together", "types"] < loss["apart", "types"]
    assert loss["together", "rows"] > loss["apart", "rows"]


def test_an_embedding_of_zeros_leaves_the_gradient_of_the_contrastive_loss_finite():
    views = np.random.default_rng(0).normal(size=(2, 4, 3))
    views[0, 1] = 0
    itself = jnp.eye(4, dtype=bool)
    gradient = jax.grad(lambda first: contrastive_loss(first, jnp.asarray(views[1]), itself))(jnp.asarray(views[0]))
    assert np.isfinite(gradient).all()


def test_alignment_loss_by_hand():
    first = np.array([[1.0, 0.0], [3.0, 2.0], [5.0, 5.0]])
    second = np.array([[0.0, 0.0], [2.0, 4.0], [1.0, 1.0]])
    truth = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    # type 0: means (2, 1) and (1, 2), squares 1 and 1, mean 1; type 1 has no rows; type 2: (3, 2), (2, 4): mean 2.5
    got = alignment_loss(jnp.asarray(first), jnp.asarray(second), jnp.asarray(truth))
    assert float(got) == pytest.approx((1 + 2.5) / 2, rel=1e-5)
    assert float(alignment_loss(jnp.asarray(first), jnp.asarray(second), jnp.zeros((3, 3)))) == 0


# What the sampler draws


NUM_ROWS, SET_SIZE = 600, 30


def traceable_worlds():
    """Vectors whose channels say which row, validation sample and view they are."""
    worlds = []
    for w in range(3):
        rng = np.random.default_rng(w)
        truth = rng.random((NUM_ROWS, 3)) < np.array([0.5, 0.2, 0.1])
        views = []
        for v in range(2):
            vectors = np.zeros((NUM_ROWS, SET_SIZE, len(CHANNELS)), np.float16)
            vectors[..., 0] = np.arange(NUM_ROWS)[:, None]
            vectors[..., 1] = np.arange(SET_SIZE)
            vectors[..., 2] = v
            vectors[..., 3] = w
            signals = np.tile(np.arange(NUM_ROWS, dtype=np.float32)[:, None] * (1 - 2 * v), (1, len(SIGNALS)))
            views.append(View(vectors, signals))
        worlds.append(World(tuple(views), truth, np.full(4, w, np.float32), "one" if w < 2 else "two"))
    return worlds


def drawn(interventions, count=12, **options):
    worlds = traceable_worlds()
    mean, scale = np.zeros(len(SIGNALS), np.float32), np.full(len(SIGNALS), 200.0, np.float32)
    options = {"num_worlds": 4, "num_rows": 40, "set_size": 24, "num_context": 50, "num_variants": 4} | options
    sampler = ExampleSampler(np.random.default_rng(0), worlds, mean, scale, interventions, **options)
    return worlds, [sampler.draw() for _ in range(count)]


NOTHING = Interventions(mask_validation=False, swap_models=False, change_rates=False)
EACH = [dataclasses.replace(NOTHING, **{field.name: True}) for field in dataclasses.fields(Interventions)]
ROUNDING = 2e-3  # of signals up to 4 in 16 bits; their noise is 50 times as large


@pytest.mark.parametrize("interventions", [NOTHING, Interventions(), *EACH])
def test_batches_hold_what_belongs_together(interventions):
    worlds, batches = drawn(interventions, count=4)
    for batch in batches:
        chex.assert_shape([batch.vectors, batch.mask], [(2, 4, 40, 24, len(CHANNELS)), (2, 4, 24)])
        chex.assert_shape([batch.signals, batch.truth], [(2, 4, 40, 2 * len(SIGNALS)), (4, 40, 3)])
        chex.assert_shape(batch.context.rows, (2, 4, 50, 2 * len(SIGNALS)))
        assert not batch.context.has_probes.any()
        for w in range(4):
            world = int(batch.vectors[0, w, 0, 0, 3])
            rows = batch.vectors[0, w, :, 0, 0].astype(int)
            np.testing.assert_array_equal(batch.vectors[..., 0][1, w], np.repeat(rows[:, None], 24, axis=1))
            np.testing.assert_array_equal(batch.truth[w], worlds[world].truth[rows])
            np.testing.assert_array_equal(batch.context.facts[:, w], world)
            for view in range(2):
                sign = 1 - 2 * batch.vectors[view, w, 0, 0, 2]
                level = batch.signals[view, w, :, 0] - np.clip(sign * rows / 200.0, -4, 4)
                np.testing.assert_allclose(
                    level, level[0], atol=ROUNDING, err_msg="noise is on the table, not on its rows"
                )
        assert batch.mask.any(axis=-1).all()


def seen(interventions):
    """Which of the things an intervention varies do vary: (validation samples, task models, rates)."""
    worlds, batches = drawn(interventions, count=20, num_rows=160)
    masks = np.stack([batch.mask for batch in batches])
    columns = np.stack([batch.vectors[..., 0, :, 1] for batch in batches])
    views = np.stack([batch.vectors[..., 0, 0, 2] for batch in batches])  # [batches, 2, worlds]
    subsets = not masks.all() or (columns != np.arange(24)).any()
    models = (views[:, 0] != views[:, 1]).any()
    rates = np.array([truth.mean(axis=0) for batch in batches for truth in batch.truth])
    kinds = np.array([facts[0] for batch in batches for facts in batch.context.facts[0]])
    shares = np.stack([world.truth.mean(axis=0) for world in worlds])
    spread = np.abs(rates - shares[kinds.astype(int)]).max(axis=1)
    return subsets, models, bool(spread.mean() > 0.07)  # by chance alone it is half of that


@pytest.mark.parametrize("switch", [None, "mask_validation", "swap_models", "change_rates"])
def test_each_intervention_varies_its_own_thing_and_nothing_else(switch):
    interventions = NOTHING if switch is None else dataclasses.replace(NOTHING, **{switch: True})
    want = tuple(name == switch for name in ("mask_validation", "swap_models", "change_rates"))
    assert seen(interventions) == want


def test_the_level_of_each_signal_is_moved_for_a_whole_table_at_once():
    _, batches = drawn(NOTHING, count=3)
    for batch in batches:
        rows = batch.vectors[..., 0, 0]
        sign = 1 - 2 * batch.vectors[..., :1, 0, 2]
        plain = np.clip(sign * rows.astype(float) / 200.0, -4, 4)
        moved = batch.signals[..., : len(SIGNALS)] - plain[..., None]
        level = moved.mean(axis=2, keepdims=True)
        np.testing.assert_allclose(moved, np.broadcast_to(level, moved.shape), atol=ROUNDING)
        spread = [
            level[..., np.isin(SIGNALS, names)].std() for names in (SHORTCUT_SIGNALS, FEATURE_SIGNALS, LABEL_SIGNALS)
        ]
        assert 0.05 < spread[0] < 0.2 < spread[1] < 0.38 < spread[2] < 0.6
        ranks = batch.signals[..., len(SIGNALS) :]
        assert (np.ptp(ranks, axis=-1) < 1e-6).all(), "all signals rank these rows alike, and no noise is on ranks"


def test_probes_of_either_kind_are_ranked_among_the_rows_that_are_shown():
    worlds = [fabricated_world(s) for s in range(3)]
    zeros, ones = np.zeros(len(SIGNALS), np.float32), np.ones(len(SIGNALS), np.float32)
    sizes = {"num_worlds": 8, "num_rows": 80, "num_probes": 20}
    sampler = ExampleSampler(np.random.default_rng(0), worlds, zeros, ones, Interventions(), **sizes)
    batches = [sampler.draw() for _ in range(15)]
    shown = np.concatenate([np.asarray(batch.context.has_probes)[0] for batch in batches])
    assert 0.6 < shown.mean() < 1, "some worlds are shown without"
    label, feature = (len(SIGNALS) + SIGNALS.index(name) for name in ("tree_log_p", "robust_z_1st"))
    for batch in batches:
        context, has = batch.context, np.asarray(batch.context.has_probes)[0] > 0
        chex.assert_shape([context.label_probes, context.feature_probes], (2, 8, 20, 2 * len(SIGNALS)))
        assert (context.label_probes[:, has, :, label].mean(axis=-1) < -0.5).all()
        assert (context.feature_probes[:, has, :, feature].mean(axis=-1) > 0.5).all()
        assert not context.label_probes[:, ~has].any()


def test_present_validation_samples_are_distinct():
    _, batches = drawn(Interventions(), count=5, set_size=64)
    for batch in batches:
        for view in range(2):
            for w in range(4):
                columns = batch.vectors[view, w, 0, :, 1][batch.mask[view, w]]
                assert len(set(columns.tolist())) == len(columns) >= 16


def test_without_subsets_a_short_set_is_padded_and_masked():
    _, batches = drawn(NOTHING, count=1, set_size=40)
    np.testing.assert_array_equal(batches[0].mask, np.broadcast_to(np.arange(40) < SET_SIZE, (2, 4, 40)))


def test_worlds_with_fewer_rows_than_a_batch_are_drawn_with_repeats():
    _, batches = drawn(Interventions(), count=1, num_rows=700)
    assert batches[0].truth.shape == (4, 700, 3)


# Training


def test_training_learns_what_tells_the_types_on_a_table_it_never_saw(trained):
    classifier, _ = trained
    world = fabricated_world(99)
    probability = classifier.predict(*world.views[0][:2], world.facts)
    assert probability.shape == (200, 3) and (probability > 0).all() and (probability < 1).all()
    for t in range(3):
        assert roc_auc_score(world.truth[:, t], probability[:, t]) > 0.9


def test_every_step_is_told_and_the_card_says_what_was_done(trained):
    classifier, steps = trained
    assert sum(steps) == 2 * 60
    card = classifier.card
    assert card["tables"] == [f"table {i}" for i in range(4)] and card["num_worlds"] == 4 and card["num_rows"] == 800
    assert card["options"]["num_steps"] == 60 and card["interventions"]["swap_models"] is True
    assert all(np.isfinite(array).all() for array in classifier.calibration)


@pytest.mark.parametrize("num_members", [1, 3])
def test_every_member_is_calibrated_on_tables_it_never_saw(monkeypatch, num_members):
    trained_on, calibrated_on = [], []

    def fake_network(recipe, sampler, rng, on_step):
        trained_on.append({world.table for world in sampler.worlds})
        return {"kernel": np.zeros(1)}

    def fake_calibrate(held_out):
        calibrated_on.extend({world.table for world in worlds} for _, worlds in held_out)
        return identity_calibration()

    monkeypatch.setattr("demix_jax.classifier.train._train_network", fake_network)
    monkeypatch.setattr("demix_jax.classifier.train.calibrate", fake_calibrate)
    worlds = [fabricated_world(s, table=f"t{s % 3}", num_rows=60) for s in range(6)]
    fit_classifier(worlds, seed=0, config=TINY, options=TrainingOptions(num_members=num_members))
    assert len(trained_on) == num_members
    for inside, outside in zip(trained_on, calibrated_on, strict=True):
        assert inside and outside and not inside & outside and inside | outside == {"t0", "t1", "t2"}


def test_training_goes_on_behind_the_last_network_that_was_kept(tmp_path):
    class Interrupted(Exception):
        pass

    def interrupt_second(steps):
        done.append(steps)
        if sum(done) > 21:
            raise Interrupted

    def fit(**changed):
        return fit_classifier(worlds, **({"seed": 5, "config": TINY, "options": options} | changed))

    worlds = [fabricated_world(s, num_rows=60) for s in range(3)]
    options = TrainingOptions(num_members=2, num_steps=21)
    whole, done = fit(), []
    with pytest.raises(Interrupted):
        fit(networks_dir=tmp_path / "kept", on_step=interrupt_second)
    (first,) = (tmp_path / "kept").iterdir()
    written, done[:] = first.stat().st_mtime_ns, []
    resumed = fit(networks_dir=tmp_path / "kept", on_step=done.append)
    assert done == [21, 20, 1] and first.stat().st_mtime_ns == written
    assert resumed.fingerprint == whole.fingerprint
    assert len(list((tmp_path / "kept").iterdir())) == 2
    others = fit(networks_dir=tmp_path / "kept", options=TrainingOptions(num_members=2, num_steps=20))
    assert others.fingerprint != whole.fingerprint and len(list((tmp_path / "kept").iterdir())) == 4


def test_networks_are_calibrated_anew_on_tables_they_never_saw(monkeypatch):
    worlds = [fabricated_world(s, table=f"t{s % 5}", num_rows=60) for s in range(10)]
    options = TrainingOptions(num_members=2, num_steps=3)
    trained = fit_classifier(worlds, seed=3, config=TINY, options=options)
    again = recalibrate(trained, worlds)
    chex.assert_trees_all_equal(again.calibration, trained.calibration)
    others = [fabricated_world(s, table=f"t{s % 5}", num_rows=60) for s in range(20, 30)]
    anew = recalibrate(trained, [*others, fabricated_world(1, table="unknown", num_rows=60)])
    assert (anew.calibration.slopes != trained.calibration.slopes).any()
    chex.assert_trees_all_equal(anew.params, trained.params)
    chex.assert_trees_all_equal(anew.calibration, recalibrate(trained, others).calibration)


def test_two_tables_are_needed():
    with pytest.raises(ValueError, match="1 table; give at least 2"):
        fit_classifier([fabricated_world(0), fabricated_world(1, table="table 0")], seed=0)


# Prediction


def test_order_and_number_of_validation_samples(trained):
    classifier, _ = trained
    world = fabricated_world(7)
    vectors, signals, _ = world.views[0]
    want = classifier.logits(vectors, signals, world.facts)
    order = np.random.default_rng(0).permutation(vectors.shape[1])
    np.testing.assert_allclose(classifier.logits(vectors[:, order], signals, world.facts), want, atol=2e-3)
    for count in (1, 5):
        few = classifier.logits(vectors[:, :count], signals, world.facts)
        assert few.shape == want.shape and np.isfinite(few).all()
    repeated = classifier.logits(np.repeat(vectors, 2, axis=1), signals, world.facts)
    np.testing.assert_allclose(repeated, want, atol=2e-3, err_msg="each sample twice says what each once says")


def test_blocks_make_no_difference(trained, monkeypatch):
    classifier, _ = trained
    world = fabricated_world(7)
    want = classifier.logits(*world.views[0][:2], world.facts)
    counts = []
    monkeypatch.setattr(module, "_BLOCK", 64)
    got = classifier.logits(*world.views[0][:2], world.facts, on_block=counts.append)
    assert counts == [64, 64, 64, 8]
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_probability_is_the_mean_log_odds_of_calibrated_members(trained):
    classifier, _ = trained
    world = fabricated_world(7)
    vectors, signals, _ = world.views[0]
    logits, levels = classifier.of_table(signals, world.facts).read(vectors, signals, None)
    log_odds = classifier.calibration.log_odds(logits, signals, levels).mean(axis=0)
    want = expit(np.clip(log_odds, -10, 10))
    np.testing.assert_allclose(classifier.predict(*world.views[0][:2], world.facts), want, rtol=1e-4)


def test_densities_around_a_row_are_those_of_a_gaussian_kernel():
    rng = np.random.default_rng(0)
    places, among = rng.normal(size=(5, 2, 3)), rng.normal(size=(7, 2, 3))
    squared = np.square(places[:, None] - among[None]).sum(axis=-1)
    want = np.log(np.exp(-0.5 * squared).mean(axis=1))
    got = log_density(jnp.asarray(places), jnp.asarray(among))
    np.testing.assert_allclose(got, -6 * np.tanh(want / -6), atol=1e-4)


def test_the_mixture_finds_how_many_rows_are_like_the_probes():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.1, 0.3):
        wrong = rng.random(4_000) < share
        scores = rng.normal(0, 1, 4_000) + 3.5 * wrong
        mixture = Mixture.fit(scores, rng.normal(3.5, 1, 256))
        assert mixture.share == pytest.approx(share, abs=0.05)
        ratio = mixture.of_scores(np.array([-1.0, 1.75, 3.5]))
        assert (np.diff(ratio) > 0).all()
    assert ratio[0] < -1 and ratio[2] == pytest.approx(-np.log(0.3), abs=0.3)


def test_a_mixture_of_equal_scores_tells_nothing():
    mixture = Mixture.fit(np.zeros(50), np.zeros(20))
    assert mixture.share == 1 and np.allclose(mixture.of_scores(np.zeros(3)), 0, atol=1e-6)


def test_further_rows_are_judged_as_rows_of_the_table(trained):
    classifier, _ = trained
    world = fabricated_world(7)
    vectors, signals, probes = world.views[0]
    verdict = classifier.judge(vectors, signals, world.facts, probes)
    np.testing.assert_allclose(verdict.of_more(vectors[:9], signals[:9]), verdict.probability[:9], atol=1e-5)
    without = classifier.judge(vectors, signals, world.facts).probability
    assert np.abs(verdict.probability - without).max() > 1e-3, "probes have a say"


# Files


def test_a_saved_classifier_predicts_the_same_to_the_last_bit(trained, tmp_path):
    classifier, _ = trained
    path = tmp_path / "mine.safetensors"
    classifier.save(path)
    loaded = load_classifier(path)
    assert loaded.config == classifier.config and loaded.name == "mine.safetensors"
    assert loaded.card == classifier.card and loaded.fingerprint == classifier.fingerprint
    world = fabricated_world(3)
    for view in world.views:
        np.testing.assert_array_equal(
            loaded.predict(*view[:2], world.facts), classifier.predict(*view[:2], world.facts)
        )


def test_the_fingerprint_follows_the_weights(trained):
    classifier, _ = trained
    assert dataclasses.replace(classifier, card={"other": 1}).fingerprint == classifier.fingerprint
    calibration = classifier.calibration
    moved = dataclasses.replace(classifier, calibration=calibration._replace(slopes=calibration.slopes + 1e-3))
    assert moved.fingerprint != classifier.fingerprint


def test_wrong_files_are_refused_in_one_sentence(trained, tmp_path):
    classifier, _ = trained
    with pytest.raises(InputError, match=r"There is no classifier file .*absent"):
        load_classifier(tmp_path / "absent.safetensors")
    with pytest.raises(InputError, match="There is no classifier file"):
        load_classifier(tmp_path)
    with pytest.raises(InputError, match="classifier is a NoneType"):
        load_classifier(None)  # pyright: ignore[reportArgumentType]
    text = tmp_path / "text.safetensors"
    text.write_text("age,income\n39,<=50K\n")
    with pytest.raises(InputError, match="is not a safetensors file"):
        load_classifier(text)
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    with pytest.raises(InputError, match="is not a safetensors file"):
        load_classifier(empty)
    other = tmp_path / "other.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, other)
    with pytest.raises(InputError, match="holds other weights"):
        load_classifier(other)
    old = tmp_path / "old.safetensors"
    metadata = classifier._metadata() | {"signals": '["tree_log_p"]'}
    save_file(classifier._arrays(), old, metadata=metadata)
    with pytest.raises(InputError, match="another version of demix_jax"):
        load_classifier(old)
    save_file(classifier._arrays(), old, metadata=classifier._metadata() | {"format": "demix_jax error classifier 3"})
    with pytest.raises(InputError, match="another version of demix_jax"):
        load_classifier(old)
    cut = tmp_path / "cut.safetensors"
    classifier.save(cut)
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(InputError, match="is not a safetensors file"):
        load_classifier(cut)


def test_an_uncalibrated_network_predicts_its_own_probability(trained):
    classifier, _ = trained
    params = jax.tree.map(lambda leaf: leaf[:1], classifier.params)
    mean, scale = np.zeros(len(SIGNALS), np.float32), np.ones(len(SIGNALS), np.float32)
    single = ErrorClassifier.uncalibrated(classifier.config, params, mean, scale, {})
    world = fabricated_world(1)
    z = single.logits(*world.views[0][:2], world.facts)
    np.testing.assert_allclose(
        single.predict(*world.views[0][:2], world.facts), expit(np.clip(z[0], -10, 10)), rtol=1e-4
    )
