"""Synthetic tables and worlds: deterministic, varied, usable; what was injected is what the world says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.classifier.examples import View
from demix_jax.classifier.schema import CHANNELS, SIGNALS
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.data import TableEncoder, check_table, infer_task
from demix_jax.diagnosis.description import SET_SIZE
from demix_jax.meta_training import (
    LABEL,
    load_world,
    make_world,
    save_world,
    synthetic_panel,
    synthetic_plain,
    synthetic_probabilities,
    synthetic_table,
    synthetic_texts,
)
from demix_jax.meta_training import world as module


@pytest.mark.parametrize(
    "draw", [synthetic_table, synthetic_plain, synthetic_panel, synthetic_texts, synthetic_probabilities]
)
def test_equal_seeds_give_equal_tables_and_other_seeds_others(draw):
    first, again, other = (draw(seed, 100) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_tables_can_be_diagnosed_and_are_of_every_kind():
    tasks, kinds, classes, missing = set(), set(), set(), False
    for seed in range(30):
        frame = synthetic_table(seed, 200)
        assert len(frame) == 200 and 6 <= frame.shape[1] <= 23
        check_table(frame, LABEL)
        numbers = frame.select_dtypes("number").to_numpy(float)
        assert np.isfinite(numbers[~np.isnan(numbers)]).all() and np.abs(np.nan_to_num(numbers)).max(initial=0) < 1e9
        task = infer_task(frame.loc[:, LABEL])
        tasks.add(task)
        if task == "classification":
            classes.add(frame[LABEL].nunique())
        missing = missing or bool(frame.isna().any().any())
        if seed < 8:
            kinds |= {column.kind for column in TableEncoder.fit(frame, LABEL).columns}
    assert tasks == {"classification", "regression"}
    assert {"number", "category"} <= kinds and missing
    assert 2 in classes and max(classes) > 2


def test_panels_change_slowly_but_some_of_their_rows_jump():
    tasks, correlations, jumps = set(), [], []
    for seed in range(12):
        frame = synthetic_panel(seed, 500)
        check_table(frame, LABEL)
        tasks.add(infer_task(frame.loc[:, LABEL]))
        names = [name for name in frame if name.endswith(("_0", "_1")) and not name.startswith("paid")]
        for first, second in zip(names[::2], names[1::2], strict=True):
            change = (frame[second].rank() - frame[first].rank()).abs() / len(frame)
            correlations.append(frame.loc[:, first].corr(frame.loc[:, second], method="spearman"))
            jumps.append(np.mean(change > 0.4))
    assert tasks == {"classification", "regression"}
    assert np.median(correlations) > 0.5 and 0 < np.median(jumps) < 0.2


def test_columns_of_plain_tables_have_little_to_do_with_each_other():
    tasks, correlations, told = set(), [], []
    for seed in range(20):
        frame = synthetic_plain(seed, 1_000)
        assert 300 <= len(frame) <= 1_000
        check_table(frame, LABEL)
        tasks.add(infer_task(frame.loc[:, LABEL]))
        ranks = frame.drop(columns=LABEL).select_dtypes("number").rank()
        between = ranks.corr().to_numpy()[np.triu_indices(ranks.shape[1], 1)]
        correlations.extend(np.abs(between))
        told.append(ranks.corrwith(pd.Series(pd.factorize(frame[LABEL], sort=True)[0])).abs().max())
    assert tasks == {"classification", "regression"}
    assert np.max(correlations) < 0.35 and np.median(correlations) < 0.1
    assert min(told) < 0.15 and max(told) > 0.6


def test_texts_tell_their_classes_and_are_of_many_lengths():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    scores, lengths, classes, extra = [], [], set(), 0
    for seed in range(12):
        frame = synthetic_texts(seed, 500)
        check_table(frame, LABEL)
        assert frame["text"].str.len().gt(0).all() and len(frame) == 500
        lengths.append(frame["text"].str.split().str.len().median())
        classes.add(frame[LABEL].nunique())
        extra += frame.shape[1] > 2
        x = TfidfVectorizer().fit_transform(frame["text"])
        model = LogisticRegression(C=5).fit(x[:350], frame[LABEL][:350])
        most = np.unique(frame[LABEL][350:], return_counts=True)[1].max() / len(frame[350:])
        scores.append((model.score(x[350:], frame[LABEL][350:]) - most) / (1 - most))
    assert 0 < extra < 12 and len(classes) > 3 and 2 in classes
    assert min(lengths) < 12 and max(lengths) > 25
    assert np.median(scores) > 0.3 and max(scores) > 0.8


def test_class_probabilities_add_up_and_come_from_strong_and_weak_models():
    accuracy, classes = [], set()
    for seed in range(20):
        frame = synthetic_probabilities(seed, 400)
        check_table(frame, LABEL)
        probability = frame.drop(columns=LABEL)
        assert probability.columns.tolist() == [f"p{k}" for k in range(probability.shape[1])]
        np.testing.assert_allclose(probability.sum(axis=1), 1, atol=0.01)
        given = frame[LABEL].map(lambda name: int(str(name).removeprefix("k"))).to_numpy()
        accuracy.append(np.mean(probability.to_numpy().argmax(1) == given))
        classes.add(probability.shape[1])
    assert min(accuracy) < 0.75 and max(accuracy) > 0.95 and len(classes) > 3


def test_chance_labels_are_the_tables_own_and_hardly_told():
    table = pd.DataFrame({"a": np.arange(400), "y": np.arange(400) > 150}, index=np.arange(400) * 2)
    mixed = module._with_chance_labels(np.random.default_rng(0), table, "y")
    assert mixed["a"].equals(table["a"]) and sorted(mixed["y"]) == sorted(table["y"])
    assert (
        abs(np.corrcoef(mixed["a"], mixed["y"])[0, 1]) < 0.3 and table["y"].tolist() == (np.arange(400) > 150).tolist()
    )


def test_labels_follow_from_the_columns():
    """Most tables must be learnable, or a classifier would learn nothing from them."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    scores = []
    for seed in range(40):
        frame = synthetic_table(seed, 600)
        if bool(frame[LABEL].nunique() != 2):
            continue
        data = TableEncoder.fit(frame, LABEL).transform(frame)
        model = HistGradientBoostingClassifier(max_iter=20).fit(data.x[:400], data.y[:400])
        scores.append(roc_auc_score(data.y[400:], model.predict_proba(data.x[400:])[:, 1]))
        if len(scores) == 8:
            break
    assert np.median(scores) > 0.7


def test_sizes_are_few_and_spread_evenly_over_their_logarithm():
    rng = np.random.default_rng(0)
    sizes, counts = np.unique([module._draw_size(rng, 4_096) for _ in range(3_000)], return_counts=True)
    assert sizes.tolist() == list(module.SIZES)
    # log2(4096 / 100) octaves, of which each inner size takes one
    np.testing.assert_allclose(counts[1:-1] / 3_000, 1 / np.log2(40.96), atol=0.03)
    assert {module._draw_size(rng, 160) for _ in range(50)} == {128}
    assert {module._draw_size(rng, 50) for _ in range(50)} == {128}, "a smaller table is taken whole"


def test_rows_are_kept_by_size_unless_one_label_would_be_left():
    rng = np.random.default_rng(0)
    labels = pd.Series(np.arange(700) % 2)
    for size, want in ((128, 128), (1_024, 512)):
        kept = module._round_number_of_rows(rng, labels, size)
        assert len(kept) == len(set(kept)) == want and (np.diff(kept) > 0).all()
    assert len(module._round_number_of_rows(rng, labels.iloc[:90], 128)) == 90
    assert len(module._rows_to_corrupt(rng, labels, 128)) == 256
    rare = pd.Series(np.r_[1, np.zeros(2_999)])
    drawn = [len(module._rows_to_corrupt(rng, rare, 128)) for _ in range(60)]
    assert set(drawn) == {256, 3_000}


@pytest.fixture(scope="module")
def made():
    table = synthetic_table(1, 200)
    return table, make_world(table, LABEL, name="made up", seed=5, num_rows=160)


def test_a_world_has_two_views_of_the_same_rows(made):
    _, world = made
    num_rows = len(world.truth)
    assert world.table == "made up" and world.truth.dtype == bool and world.truth.shape == (num_rows, len(ERROR_TYPES))
    assert 30 < num_rows <= 160 and len(world.views) == 2 and world.facts.shape == (4,)
    for view in world.views:
        assert view.vectors.shape[0] == num_rows and view.vectors.shape[2] == len(CHANNELS)
        assert view.vectors.shape[1] <= SET_SIZE and view.vectors.dtype == np.float16
        assert view.signals.shape == (num_rows, len(SIGNALS))
        assert np.isfinite(view.vectors).all() and np.isfinite(view.signals).all()
        probes = view.probes
        assert probes.truth.shape == (len(probes.signals), len(ERROR_TYPES)) and len(probes.vectors) == len(
            probes.truth
        )
        assert probes.truth[:, :2].any(axis=0).all() and not probes.truth[:, 2].any()
        assert probes.signals.shape[1:] == view.signals.shape[1:] and np.isfinite(probes.signals).all()
        assert probes.vectors.shape == (len(probes.truth), *view.vectors.shape[1:])
    first, second = world.views
    cells = [SIGNALS.index(name) for name in ("surprise_1st", "tree_log_p", "rule0_log_ratio")]
    np.testing.assert_array_equal(first.signals[:, cells], second.signals[:, cells])
    network = SIGNALS.index("network_log_p")
    assert (first.signals[:, network] != second.signals[:, network]).any(), "the task models differ"


def test_a_saved_world_is_read_back_as_it_was(made, tmp_path):
    _, world = made
    save_world(world, tmp_path / "w.npz")
    loaded = load_world(tmp_path / "w.npz")
    assert loaded.table == world.table and [type(view) for view in loaded.views] == [View, View]
    np.testing.assert_array_equal(loaded.truth, world.truth)
    np.testing.assert_array_equal(loaded.facts, world.facts)
    for got, want in zip(loaded.views, world.views, strict=True):
        np.testing.assert_array_equal(got.vectors, want.vectors)
        np.testing.assert_array_equal(got.signals, want.signals)
        assert got.probes is not None and want.probes is not None
        for mine, theirs in zip(got.probes, want.probes, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]


@pytest.mark.slow
def test_equal_seeds_give_equal_worlds(made):
    table, world = made
    again = make_world(table, LABEL, name="made up", seed=5, num_rows=160)
    np.testing.assert_array_equal(again.truth, world.truth)
    for got, want in zip(again.views, world.views, strict=True):
        np.testing.assert_allclose(got.signals, want.signals, atol=1e-5)
        np.testing.assert_allclose(got.vectors.astype(float), want.vectors.astype(float), atol=2e-3)
