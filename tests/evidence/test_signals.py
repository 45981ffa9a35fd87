"""Row signals, by hand on three rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata
from stand_ins import stand_in

from demix_jax.classifier import schema
from demix_jax.classifier.schema import CHANNELS
from demix_jax.common.target import ClassTarget, RegressionTarget, Target
from demix_jax.data import Dataset
from demix_jax.evidence import signals as s
from demix_jax.evidence.column_model import CellEvidence
from demix_jax.evidence.column_statistics import Usual
from demix_jax.evidence.out_of_fold import OutOfFold
from demix_jax.evidence.row_evidence import RowEvidence
from demix_jax.evidence.rules import ColumnRule

CLASSES = ClassTarget((0, 1, 2))
Y = np.array([0, 1, 0])
TREES = OutOfFold(
    np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.0, 0.6, 0.4]], np.float32), np.array([0.7, 0.3, 0.0], np.float32)
)
TRUSTED = OutOfFold(
    np.array([[0.9, 0.1, 0.0], [0.6, 0.2, 0.2], [0.1, 0.6, 0.3]], np.float32), np.array([0.9, 0.2, 0.1], np.float32)
)
NETWORK = OutOfFold(
    np.array([[0.6, 0.3, 0.1], [0.2, 0.8, 0.0], [0.1, 0.1, 0.8]], np.float32), np.array([0.6, 0.8, 0.1], np.float32)
)


def checked(names, signals):
    """The signals, once each has been found to be three finite numbers and to have a name of the schema."""
    assert set(signals) == set(names)
    assert all(values.shape == (3,) and np.isfinite(values).all() for values in signals.values())
    return signals


def label_signals_of(y, labels, trees, trusted, network, gradient_norm, known, *, target: Target = CLASSES):
    dataset = stand_in(Dataset, y=y, target=target)
    evidence = stand_in(RowEvidence, labels=labels, trees=trees, trusted=trusted)
    return s.label_signals(dataset, evidence, network, gradient_norm, known)


def feature_signals_of(codes, cells, screened, robust_z, misspelt, known):
    dataset = stand_in(Dataset, codes=codes, robust_z=robust_z, misspelt=misspelt)
    return s.feature_signals(dataset, stand_in(RowEvidence, cells=cells, screened=screened), known)


def norms(labels, trees, network, **others):
    """Norms by the labels and predictions of all rows; of the rest only what is named."""
    fields: dict[str, Any] = dict(
        surprise=None, usual=None, support=None, tree_scale=None, without_scale=[None, None], network_residuals=None
    )
    fields |= {
        f"{name}_log_p": s.mean_by_label(s.log_floored(known.p_given), labels)
        for name, known in (("tree", trees), ("trusted", TRUSTED), ("network", network))
    }
    return s.Norms(label_share=np.bincount(labels) / len(labels), **fields | others)


def test_names_are_unique_and_in_groups():
    groups = (schema.LABEL_SIGNALS, schema.FEATURE_SIGNALS, schema.SHORTCUT_SIGNALS, schema.VECTOR_SIGNALS)
    assert schema.SIGNALS == sum(groups, ())
    assert len(set(schema.SIGNALS)) == len(schema.SIGNALS)


def test_signals_are_stacked_in_the_order_of_the_schema():
    values = {name: np.array([i, -i], float) for i, name in enumerate(schema.SIGNALS)}
    stacked = s.stack_signals(dict(reversed(values.items())))
    assert stacked.dtype == np.float32
    np.testing.assert_array_equal(stacked, np.outer([1, -1], np.arange(len(schema.SIGNALS))))


def test_missing_unknown_and_misshapen_signals_are_refused():
    values = {name: np.zeros(2) for name in schema.SIGNALS}
    with pytest.raises(AssertionError, match="missing signals: gap_1st, tree_margin"):
        s.stack_signals({name: of for name, of in values.items() if name not in ("tree_margin", "gap_1st")})
    with pytest.raises(AssertionError, match=r"schema.py does not name: novelty"):
        s.stack_signals(values | {"novelty": np.zeros(2)})
    for wrong in (np.zeros(3), np.zeros((2, 1))):
        with pytest.raises(AssertionError):
            s.stack_signals(values | {"tree_margin": wrong})


def test_label_signals_of_classes():
    norm = np.array([1.0, np.e, 0.0])
    signals = label_signals_of(Y, Y, TREES, TRUSTED, NETWORK, norm, norms(Y, TREES, NETWORK))
    got = checked(schema.LABEL_SIGNALS, signals)
    tree_log_p, network_log_p = np.log([0.7, 0.3, 1e-4]), np.log([0.6, 0.8, 0.1])
    own_class = np.array([(tree_log_p[0] + tree_log_p[2]) / 2, tree_log_p[1], (tree_log_p[0] + tree_log_p[2]) / 2])
    np.testing.assert_allclose(got["trusted_margin"], [0.8, -0.4, -0.5], atol=1e-6)
    np.testing.assert_allclose(got["trusted_log_p"], np.log([0.9, 0.2, 0.1]), rtol=1e-5)
    entropy = -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1))
    np.testing.assert_allclose(got["tree_log_p"], tree_log_p, rtol=1e-5)
    np.testing.assert_allclose(got["tree_margin"], [0.5, -0.2, -0.6], atol=1e-6)
    assert got["tree_entropy"][0] == pytest.approx(entropy, rel=1e-5)
    np.testing.assert_allclose(got["tree_relative_log_p"], tree_log_p - own_class, atol=1e-5)
    np.testing.assert_allclose(got["network_log_p"], network_log_p, rtol=1e-5)
    np.testing.assert_allclose(got["network_margin"], [0.3, 0.6, -0.7], atol=1e-6)
    assert got["network_relative_log_p"][1] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(got["model_disagreement"], [0.1, 0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(got["label_prior"], [2 / 3, 1 / 3, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(got["gradient_norm"], [0, 1, np.log(1e-6)], atol=1e-5)


def test_label_signals_of_a_number():
    y = np.array([0.1, -1.0, 1.2], np.float32)
    trees = OutOfFold(np.array([[0.0], [1.0], [1.0]], np.float32), np.array([0.9, 0.01, 0.5], np.float32))
    network = OutOfFold(np.array([[0.5], [1.0], [-1.0]], np.float32), np.array([0.4, 0.02, 0.1], np.float32))
    labels = np.array([1, 0, 1])
    known = norms(labels, trees, network)
    signals = label_signals_of(y, labels, trees, trees, network, np.ones(3), known, target=RegressionTarget())
    got = checked(schema.LABEL_SIGNALS, signals)
    np.testing.assert_allclose(got["tree_margin"], [0.8, -0.98, 0.0], atol=1e-6)
    np.testing.assert_allclose(got["tree_entropy"], 0)
    np.testing.assert_allclose(got["model_disagreement"], [0.5, 0, 2], atol=1e-6)


def test_margin_leaves_the_predictions_as_they_are():
    before = TREES.prediction.copy()
    s.margin(TREES, Y, CLASSES)
    np.testing.assert_array_equal(TREES.prediction, before)


def test_feature_signals():
    surprise = np.array([[0.0, 5.0, 1.0], [3.0, -1.0, 0.5], [-2.0, 2.5, -1.0]])
    robust_z = np.array([[0.0, -9.0, 1.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    codes = np.array([[0, 1, 0], [1, 0, 0], [2, 0, 0]])
    known = norms(Y, TREES, NETWORK, surprise=np.sort(surprise, axis=0), usual=Usual.fit(codes, (3, 3, 3), robust_z))
    misspelt = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 3.0, 1.5]])
    filled = np.array([[0.0, 0.0, 0.0], [0.0, 1.5, 0.0], [0.6, 0.3, 0.0]])
    cells = CellEvidence(surprise, np.full_like(surprise, np.nan), filled)
    got = checked(schema.FEATURE_SIGNALS, feature_signals_of(codes, cells, surprise, robust_z, misspelt, known))
    np.testing.assert_allclose(got["surprise_1st"], [5, 3, 2.5])
    np.testing.assert_allclose(got["surprise_2nd"], [1, 0.5, -1])
    np.testing.assert_allclose(got["surprise_3rd"], [0, -1, -2])
    np.testing.assert_allclose(got["surprise_5th"], [0, -1, -2], err_msg="short rows repeat their smallest")
    np.testing.assert_allclose(got["surprise_mean"], surprise.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(got["surprise_positive_mean"], [2, 3.5 / 3, 2.5 / 3], rtol=1e-6)
    np.testing.assert_allclose(got["surprise_share_over_2"], [1 / 3, 1 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(got["surprise_share_over_4"], [1 / 3, 0, 0], rtol=1e-6)
    tail = -np.log(1 - np.stack([rankdata(surprise[:, q]) for q in range(3)], axis=1) / 4)
    np.testing.assert_allclose(got["surprise_tail_1st"], tail.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(got["surprise_tail_mean"], tail.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(got["robust_z_1st"], [np.log(10), np.log(1.5), 0], rtol=1e-6)
    np.testing.assert_allclose(got["robust_z_2nd"], [np.log(2), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(got["robust_z_mean"], [np.log(20) / 3, np.log(1.5) / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(got["standing_out_1st"], [5, 3, 3], err_msg="-9 alone says log 82 - log 4 only")
    np.testing.assert_allclose(got["standing_out_2nd"], [1, 0.5, 1.5])
    np.testing.assert_allclose(got["misspelt_1st"], [0, 0, 3])
    np.testing.assert_allclose(got["misspelt_mean"], [0, 0, 1.5])
    np.testing.assert_allclose(got["missing_share"], [0, 0, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(got["filled_mean"], [0, 0.5, 0.3], rtol=1e-6)
    np.testing.assert_allclose(got["common_share"], [0, 1 / 3, 2 / 3], rtol=1e-6)


def test_shortcut_signals():
    labels = np.array([0, 1, 0])
    codes = np.array([[0, 1], [0, 0], [1, 1]])
    table = np.array([[29.5, 9.5], [9.5, 49.5]])
    first = ColumnRule(np.array([True, False]), np.array([False, True]), 0.4, 0.8, 0.2, 3.5, 1.5, table)
    second = first._replace(strength=0.001, two_way=0.3, minority=0.5, table=np.full((2, 2), 24.5))
    support = np.array([[0.5, -0.1], [-1.0, 0.3], [0.2, 0.1]])
    trees = OutOfFold(np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], np.float32), np.array([0.9, 0.6, 0.2], np.float32))
    without = OutOfFold(np.array([[0.6, 0.4]] * 3, np.float32), np.array([0.6, 0.4, 0.6], np.float32))
    evidence = stand_in(
        RowEvidence,
        rules=[first, second],
        order=np.array([0, 1]),
        rule_codes=lambda of_columns: of_columns,
        rule_support=lambda: support,
        cells=stand_in(CellEvidence, support=support),
        trees=trees,
        trusted=trees,
        without=[without, trees],
        sides=labels,
    )
    dataset = stand_in(Dataset, codes=codes, y=labels, target=CLASSES)
    known = norms(labels, trees, without, support=support.mean(axis=0))
    got = checked(schema.SHORTCUT_SIGNALS, s.shortcut_signals(dataset, evidence, known))
    # rows: in the group but off the side (broken); in and on; out and off
    ratio = np.log([0.1 / (0.6 * 0.4), 0.5 / 0.36, 0.3 / 0.16])
    np.testing.assert_allclose(got["rule0_log_ratio"], ratio, rtol=1e-5)
    np.testing.assert_allclose(got["rule0_broken"], [1, 0, 0])
    np.testing.assert_allclose(got["rule0_strength"], 0.4, rtol=1e-6)
    np.testing.assert_allclose(got["rule0_two_way"], 0.8, rtol=1e-6)
    np.testing.assert_allclose(got["rule0_added"], -0.1, rtol=1e-5)
    np.testing.assert_allclose(got["rule0_support"], [0.5, -1, 0.2], rtol=1e-6)
    np.testing.assert_allclose(got["rule0_minority"], 0.2, rtol=1e-6)
    np.testing.assert_allclose(got["rule0_step"], 3.5, rtol=1e-6)
    np.testing.assert_allclose(got["rule0_label_step"], 1.5, rtol=1e-6)
    np.testing.assert_allclose(got["rule0_p_side"], [5 / 6, 5 / 6, 3 / 4], rtol=1e-6)
    np.testing.assert_allclose(got["rule0_follow_p"], [0.1, 0.6, 0.2], rtol=1e-5)
    np.testing.assert_allclose(got["rule1_log_ratio"], 0, atol=1e-6)
    np.testing.assert_allclose(got["rule2_support"], got["rule1_support"], err_msg="no third column: the last again")
    np.testing.assert_allclose(got["rules_weighted_log_ratio"], ratio * 0.4 / 0.401, rtol=1e-5)
    np.testing.assert_allclose(
        got["rules_lowest_log_ratio"], np.minimum(ratio, 0), atol=1e-6, err_msg="weak rules count as 0"
    )
    np.testing.assert_allclose(got["support_sum"], [0.4, -0.7, 0.3], rtol=1e-5)
    np.testing.assert_allclose(got["support_lowest"], [-0.1, -1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(got["without0_log_p"], np.log([0.6, 0.4, 0.6]), rtol=1e-5)
    np.testing.assert_allclose(got["without0_margin"], [0.2, -0.2, 0.2], atol=1e-6)
    np.testing.assert_allclose(got["without0_follow_p"], [0.4, 0.4, 0.6], rtol=1e-5)
    np.testing.assert_allclose(got["without0_contribution"], np.log([0.9 / 0.6, 0.6 / 0.4, 0.2 / 0.6]), rtol=1e-5)
    np.testing.assert_allclose(got["without1_contribution"], 0, atol=1e-6)


def test_vector_signals():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, 12, len(CHANNELS))).astype(np.float32)
    same = CHANNELS.index("label_similarity")
    vectors[..., same] = rng.integers(0, 2, (3, 12))
    vectors[2, :, same] = 1.0
    got = checked(schema.VECTOR_SIGNALS, s.vector_signals(vectors))
    for i in range(3):
        influence, similarity, agree, fit = (
            vectors[i, :, CHANNELS.index(name)]
            for name in ("influence", "feature_similarity", "label_similarity", "validation_fit")
        )
        near = sorted(range(12), key=lambda j: -similarity[j])[:10]
        assert got["influence_mean"][i] == pytest.approx(influence.mean(), abs=1e-5)
        assert got["influence_spread"][i] == pytest.approx(influence.std(), abs=1e-5)
        assert got["influence_same_label"][i] == pytest.approx(influence[agree == 1].mean(), rel=2e-3, abs=1e-5)
        assert got["influence_on_similar"][i] == pytest.approx(influence[near].mean(), abs=1e-5)
        assert got["neighbour_similarity"][i] == pytest.approx(similarity[near].mean(), abs=1e-5)
        assert got["neighbour_label_agreement"][i] == pytest.approx(agree[near].mean(), abs=1e-5)
        assert got["neighbour_fit"][i] == pytest.approx(fit[near].mean(), abs=1e-5)
    assert got["influence_other_label"][2] == 0, "no validation sample has another label"


def test_signals_of_a_row_do_not_depend_on_the_rows_beside_it():
    known = norms(Y, TREES, NETWORK)
    whole = label_signals_of(Y, Y, TREES, TRUSTED, NETWORK, np.ones(3), known)
    trees, trusted, network = (OutOfFold(*(field[:1] for field in all_rows)) for all_rows in (TREES, TRUSTED, NETWORK))
    for name, values in label_signals_of(Y[:1], Y[:1], trees, trusted, network, np.ones(1), known).items():
        np.testing.assert_array_equal(values, whole[name][:1])
    rng = np.random.default_rng(0)
    surprise, codes = rng.normal(size=(20, 3)), rng.integers(0, 4, (20, 3))
    known = norms(Y, TREES, NETWORK, surprise=np.sort(surprise, axis=0), usual=Usual.fit(codes, (4, 4, 4), surprise))

    def of_rows(rows):
        some = surprise[rows]
        return feature_signals_of(codes[rows], CellEvidence(some, some, some), some, some, some, known)

    whole = of_rows(slice(None))
    for name, values in of_rows(slice(5, 7)).items():
        np.testing.assert_array_equal(values, whole[name][5:7])
