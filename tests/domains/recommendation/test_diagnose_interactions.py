"""Errors put into click samples, and what a diagnosis and a repair make of them."""

import json

import numpy as np
import pandas as pd
import pytest
from recommendation_logs import make_log

import demix_jax
from demix_jax import (
    ERROR_TYPES,
    FeatureErrors,
    InputError,
    LabelErrors,
    SpuriousCorrelation,
    diagnose_interactions,
    inject_interaction_errors,
)
from demix_jax.domains.recommendation import IDENTIFIERS, make_samples, read_recommendation_data
from demix_jax.domains.recommendation.domain import _renumbered
from demix_jax.domains.recommendation.entities import entity_contradiction, side_surprise

LOG, USERS, ITEMS = make_log(num_users=90, num_items=55, per_user=12)


@pytest.fixture(scope="module")
def samples():
    return make_samples(read_recommendation_data(LOG, users=USERS, items=ITEMS)).part("train")


def test_injection_does_what_its_truth_says(samples):
    rule = "item_genre=comedy|war -> 1"
    spurious = SpuriousCorrelation(shortcut=rule)
    made = inject_interaction_errors(samples, label_errors=0.2, feature_errors=0.2, spurious=spurious, seed=0)
    before = samples.table.iloc[made.truth["source_row"]].reset_index(drop=True)
    after, truth = made.samples.table, made.truth
    num = len(after)
    assert (truth["clean_label"] == before["clicked"]).all()
    assert ((after["clicked"] != before["clicked"]) == (truth["label_error"] == 1)).all()
    assert np.sum(truth["label_error"]) == round(0.2 * num)
    assert abs(np.sum(truth["feature_error"]) - round(0.2 * num)) <= 1
    assert not np.any(truth["label_error"] & truth["feature_error"])
    for role in ("user", "item"):
        for name in samples.features_of(role):
            named = truth["corrupted_columns"].str.split(";").map(lambda names, name=name: name in names)
            assert ((after[name] != before[name]) == named).all()
    group = before["item_genre"].isin(["comedy", "war"])
    assert ((group != (before["clicked"] == 1)) == (truth["spurious_correlation"] == 1)).all()
    assert abs(np.mean(truth["spurious_correlation"]) - 0.15) < 0.01
    assert (after[["user", "item", "timestamp", "history_length"]] == before[
        ["user", "item", "timestamp", "history_length"]]).all(axis=None)  # fmt: skip


def test_wrong_entities_are_wrong_in_all_their_samples_and_in_the_same_way(samples):
    made = inject_interaction_errors(samples, label_errors=0, feature_errors=0.3, spurious=0, entity_share=1.0, seed=1)
    table, columns = made.samples.table, made.truth["corrupted_columns"]
    for role in ("user", "item"):
        touched = columns.str.contains(f"{role}_")
        in_all = touched & touched.groupby(table[role]).transform("all")
        assert in_all.sum() >= 0.95 * touched.sum() > 0  # a few single samples fill up what no entity fits into
        wrong = table[in_all].groupby(role)[samples.features_of(role)]
        assert np.all(wrong.nunique() == 1)


def test_errors_of_single_samples(samples):
    made = inject_interaction_errors(samples, label_errors=0, feature_errors=0.1, spurious=0, entity_share=0.0, seed=1)
    table = made.samples.table
    wrong = made.truth["feature_error"] == 1
    assert np.sum(wrong) == round(0.1 * len(table))
    others = table[~wrong].groupby("item")[samples.features_of("item")].nunique()
    assert np.all(others == 1)


def test_bad_injection_options(samples):
    with pytest.raises(InputError, match="entity_share must lie"):
        inject_interaction_errors(samples, entity_share=2.0, seed=0)
    with pytest.raises(InputError, match="does not start with a column"):
        inject_interaction_errors(samples, spurious=SpuriousCorrelation(shortcut="colour=red -> 1"), seed=0)
    with pytest.raises(InputError, match="columns was given timestamp"):
        inject_interaction_errors(samples, feature_errors=FeatureErrors(columns=("timestamp",)), seed=0)
    with pytest.raises(InputError, match="label_errors must lie"):
        inject_interaction_errors(samples, label_errors=LabelErrors(), seed=0)  # pyright: ignore[reportArgumentType]


def test_options_of_feature_errors(samples):
    """Errors stay in one column of items, in single samples and in all samples of an item."""
    errors = FeatureErrors(0.3, kinds=("swap_category",), columns=("item_genre",))
    made = inject_interaction_errors(samples, label_errors=0, feature_errors=errors, spurious=0, seed=2)
    wrong = made.truth["feature_error"] == 1
    assert abs(np.sum(wrong) - round(0.3 * len(wrong))) <= 1
    assert set(made.truth["corrupted_columns"][wrong]) == {"item_genre"}


def test_contradiction_counted_by_hand():
    codes = np.array([0, 0, 1, 2, 2, 1], np.int32)
    entity = np.array([0, 0, 0, 1, 1, 2])
    got = entity_contradiction(codes, 3, entity)
    share = np.array([2.5, 2.5, 2.5]) / 7.5
    third = -np.log((0 + 0.2 * share[1]) / 2.2) + np.log(share[1])  # both other rows of entity 0 say otherwise
    first = max(0.0, np.log(share[0]) - np.log((1 + 0.2 * share[0]) / 2.2))
    np.testing.assert_allclose(got, [first, first, third, 0, 0, 0], rtol=1e-5)


@pytest.mark.slow
def test_an_entity_wrong_in_all_its_rows_still_surprises():
    import jax

    rng = np.random.default_rng(0)
    side = rng.integers(0, 6, 300).astype(np.int32)
    codes = np.stack([side, side, side], axis=1)  # three features that always agree
    codes[:10, 0] = (codes[:10, 0] + 3) % 6
    entity = np.repeat(np.arange(300), 5)
    surprise = side_surprise(jax.random.key(0), codes[entity], (6, 6, 6), entity, seed=0)
    assert surprise is not None
    wrong = entity < 10
    assert surprise[wrong, 0].min() > np.quantile(surprise[~wrong, 0], 0.95)


@pytest.fixture(scope="module")
def diagnosed(samples):
    made = inject_interaction_errors(samples, label_errors=0.1, feature_errors=0.1, spurious=0.15, seed=0)
    return made, diagnose_interactions(made.samples, seed=0)


def test_diagnosis_names_users_and_items(diagnosed, tmp_path):
    made, diagnosis = diagnosed
    assert list(diagnosis.table.columns[:3]) == list(IDENTIFIERS)
    pd.testing.assert_frame_equal(diagnosis.table[list(IDENTIFIERS)], made.samples.table[list(IDENTIFIERS)])
    assert diagnosis.label == "clicked" and diagnosis.summary.model == "din"
    assert not set(IDENTIFIERS) & set(diagnosis.summary.columns)
    assert np.isfinite(diagnosis.influence).all() and np.abs(diagnosis.influence).max() <= 1.0001
    diagnosis.save(tmp_path)
    row = int(np.argmax(diagnosis.table["p_feature_error"]))
    page = (tmp_path / "report.html").read_text()
    assert f"user {made.samples.table['user'].iloc[row]}, item" in page or not diagnosis.table["feature_error"].any()
    assert json.loads((tmp_path / "summary.json").read_text())["identifiers"] == list(IDENTIFIERS)


def test_diagnosis_ranks_wrong_features_first(diagnosed):
    from sklearn.metrics import roc_auc_score

    made, diagnosis = diagnosed
    assert roc_auc_score(made.truth["feature_error"], diagnosis.table["p_feature_error"]) > 0.65
    assert roc_auc_score(made.truth["label_error"], diagnosis.table["p_label_error"]) > 0.6


@pytest.mark.slow
def test_repair_leaves_ids_alone(diagnosed):
    _, diagnosis = diagnosed
    repaired = demix_jax.repair(diagnosis.train, diagnosis, label="clicked")
    assert list(repaired.table.columns[:3]) == list(IDENTIFIERS)
    rows = diagnosis.train.loc[repaired.table.index]
    assert (repaired.table[list(IDENTIFIERS)] == rows[list(IDENTIFIERS)]).all(axis=None)
    assert not set(repaired.changes.cells["column"]) & set(IDENTIFIERS)
    assert "sample_weight" in repaired.table


@pytest.mark.slow
def test_a_shortcut_of_a_user_and_an_item_is_told_of_in_words(tmp_path):
    log, users, items = make_log(num_users=200, num_items=80, per_user=14)
    clean = make_samples(read_recommendation_data(log, users=users, items=items)).part("train")
    rule = "user_gender=F & item_genre=comedy|war -> 1"
    made = inject_interaction_errors(
        clean, label_errors=0.05, feature_errors=0.05, spurious=SpuriousCorrelation(0.1, rule), seed=0
    )
    diagnosis = diagnose_interactions(made.samples, seed=0)
    shortcuts = diagnosis.evidence.shortcuts
    strongest = max(range(len(shortcuts)), key=lambda place: shortcuts[place].strength)
    first = shortcuts[strongest]
    assert (first.column, first.second) == ("user_gender", "item_genre")
    table = made.samples.table
    in_group = (table["user_gender"] == "F") & table["item_genre"].isin(["comedy", "war"])
    words = pd.Series(first.values).loc[in_group]
    assert (words == words.mode()[0]).mean() > 0.9 and (pd.Series(first.expected).loc[in_group] == "1").mean() > 0.9
    assert "user_gender = " in words.mode()[0] and " and item_genre = " in words.mode()[0]
    diagnosis.to_html(tmp_path / "report.html")
    broken = diagnosis.table["spurious_correlation"].astype(bool) & (diagnosis.evidence.shortcut_broken == strongest)
    assert broken.any() and " and item_genre = " in (tmp_path / "report.html").read_text()


def test_networks_hold_what_samples_look_up_and_no_more(samples):
    few = samples.take(np.arange(40))
    x = few.inputs(np.zeros((40, 3), np.float32))
    got, num_users, num_items = _renumbered(x)
    items = set(x["item"]) | set(x["history"].ravel()) - {0}
    assert num_users == len(set(x["user"])) and num_items == len(items) < few.num_items
    numbers = dict(zip(x["item"], got["item"], strict=True))
    for before, after in ((x["item"], got["item"]), (x["history"], got["history"])):
        assert ((before == 0) == (after == 0)).all() and after.max() <= num_items
        known = np.isin(before, list(numbers))
        assert [numbers[item] for item in before[known]] == after[known].tolist()
    assert len(np.unique(got["history"])) == len(np.unique(x["history"]))


def test_what_diagnose_interactions_refuses(samples):
    with pytest.raises(InputError, match="make them of an interaction log"):
        diagnose_interactions(samples.table)
    with pytest.raises(InputError, match="choose one of din, dien"):
        diagnose_interactions(samples, model="mlp")


@pytest.mark.slow
def test_all_error_types_are_diagnosed_by_dien(samples):
    few = samples.take(np.arange(200))
    diagnosis = diagnose_interactions(few, model="dien", seed=0)
    assert diagnosis.table[[f"p_{name}" for name in ERROR_TYPES]].notna().to_numpy().all()
