"""Injected errors against what a cell-by-cell comparison of input and output finds."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.corruption import (
    FEATURE_KINDS,
    GROUP_KINDS,
    SHORTCUT_KINDS,
    Condition,
    ConstructedShortcut,
    FeatureErrors,
    Group,
    Injected,
    LabelErrors,
    ShortcutRule,
    SpuriousCorrelation,
    inject_errors,
    parse_shortcut,
    suitable_label_kinds,
)

ALL_KINDS = FeatureErrors(kinds=FEATURE_KINDS)


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    """3,000 rows of every kind of column, with gaps, in an index that does not start at 0."""
    rng = np.random.default_rng(7)
    n = 3000
    age = rng.integers(17, 90, n)
    income = 20_000 + 400 * age + rng.normal(0, 8_000, n)
    weight = rng.normal(70, 12, n).round(1)
    weight[rng.random(n) < 0.1] = np.nan
    city = rng.choice(["Zürich", "São Paulo", "東京", "Oslo", "Ulm, Donau"], n, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    city = pd.Series(city, dtype="str")
    city[rng.random(n) < 0.05] = None
    frame = pd.DataFrame(
        {
            "age": age,
            "größe; cm": rng.integers(150, 200, n).astype(np.int16),
            "weight": weight,
            "income": income.astype(np.float32),
            "stadt": city,
            "member": rng.random(n) < 0.4,
            "since": pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 3000, n), unit="D"),
            "grade": pd.Categorical(rng.choice(["a", "b", "c"], n)),
            "score": pd.array(np.where(rng.random(n) < 0.1, np.array(None), rng.integers(0, 500, n)), dtype="Int64"),
            "name": [f"person {i}" for i in rng.permutation(n)],
            "nothing": np.full(n, np.nan),
            "same": 3,
            "label": np.where(income + rng.normal(0, 8_000, n) > 42_000, "rich", "poor"),
        }
    )
    frame["amount"] = (income + rng.normal(0, 5_000, n)).round(2)
    frame.index = np.arange(n) + 10_000
    return frame


def cells_that_differ(before: pd.DataFrame, after: pd.DataFrame) -> list[set[str]]:
    """Names of the differing columns of each row, found one cell at a time."""
    found = []
    for old, new in zip(before.to_dict("records"), after.to_dict("records"), strict=True):
        found.append({c for c in old if not (pd.isna(old[c]) and pd.isna(new[c])) and not old[c] == new[c]})
    return found


def shortcut_of(injected: Injected) -> ConstructedShortcut:
    assert injected.shortcut is not None
    return injected.shortcut


def assert_truth(source: pd.DataFrame, injected, label: str) -> None:
    table, truth = injected.table, injected.truth
    assert list(table.index) == list(truth.index) == list(range(len(table)))
    assert list(table.columns) == list(source.columns)
    assert truth["source_row"].is_monotonic_increasing and truth["source_row"].is_unique
    clean = source.iloc[truth["source_row"]].reset_index(drop=True)
    assert (truth["clean_label"] == clean[label]).all()
    for row, differing in enumerate(cells_that_differ(clean, table)):
        assert truth["label_error"][row] == (label in differing)
        spoilt = [column for column in source.columns if column in differing - {label}]
        assert truth["corrupted_columns"][row] == ";".join(map(str, spoilt))
        assert truth["feature_error"][row] == bool(differing - {label})
    assert not (truth["label_error"] & truth["feature_error"]).any()


KINDS_OF_LABELS = [("label", kind) for kind in suitable_label_kinds(classes=True)]
KINDS_OF_LABELS += [("amount", kind) for kind in suitable_label_kinds(classes=False)]


@pytest.mark.parametrize(("label", "label_kind"), KINDS_OF_LABELS)
def test_truth_is_what_differs_and_rates_are_met(people, label, label_kind):
    got = inject_errors(
        people, label=label, label_errors=LabelErrors(kind=label_kind), feature_errors=ALL_KINDS, seed=3
    )
    assert_truth(people, got, label)
    size = len(got.table)
    assert abs(np.sum(got.truth["label_error"]) - 0.15 * size) <= 1
    assert abs(np.sum(got.truth["feature_error"]) - 0.15 * size) <= 1
    minority = np.mean(got.truth["spurious_correlation"])
    assert abs(minority - 0.15) < 0.01
    assert size >= len(people) / 2
    assert minority == pytest.approx(shortcut_of(got).minority_share)
    assert shortcut_of(got).rows_dropped == len(people) - size


def test_input_is_left_alone(people):
    before = people.copy(deep=True)
    inject_errors(people, label="label", feature_errors=ALL_KINDS, seed=0)
    pd.testing.assert_frame_equal(people, before)


def test_sparse_columns_are_made_dense(people):
    wide = people.assign(words=pd.arrays.SparseArray(np.arange(len(people)) % 7))
    made = inject_errors(wide, label="label", feature_errors=0.3, label_errors=0.0, spurious=0.0, seed=0)
    assert made.table["words"].dtype == np.int64


def test_all_rows_can_be_hit(people):
    got = inject_errors(people, label="label", label_errors=0.4, feature_errors=0.6, spurious=0.0, seed=1)
    assert np.all(got.truth["label_error"] + got.truth["feature_error"] == 1)
    none = inject_errors(people, label="label", label_errors=0, feature_errors=0, spurious=0, seed=1)
    pd.testing.assert_frame_equal(none.table, people.reset_index(drop=True))
    assert not none.truth[["label_error", "feature_error", "spurious_correlation"]].to_numpy().any()
    assert none.shortcut is None


# --- options -------------------------------------------------------------------------------------------------------


def assert_same(one, two):
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.truth, two.truth)
    assert one.shortcut == two.shortcut


@pytest.mark.parametrize("label", ["label", "amount"])
def test_a_rate_is_the_options_object_with_that_rate(people, label):
    rates: dict[str, Any] = {"label_errors": 0.1, "feature_errors": 0.2, "spurious": 0.25}
    objects: dict[str, Any] = {
        "label_errors": LabelErrors(rate=0.1),
        "feature_errors": FeatureErrors(rate=0.2),
        "spurious": SpuriousCorrelation(minority_share=0.25),
    }
    by_rates = inject_errors(people, label=label, seed=4, **rates)
    assert_same(by_rates, inject_errors(people, label=label, seed=4, **objects))
    for name, options in objects.items():
        assert_same(by_rates, inject_errors(people, label=label, seed=4, **{**rates, name: options}))


def test_defaults_are_those_of_the_options_objects(people):
    objects = {"label_errors": LabelErrors(), "feature_errors": FeatureErrors(), "spurious": SpuriousCorrelation()}
    assert_same(inject_errors(people, label="label", seed=1), inject_errors(people, label="label", seed=1, **objects))


def test_names_may_be_given_as_lists(people):
    as_tuples = FeatureErrors(kinds=("outlier", "typo"), columns=("age", "stadt"))
    as_lists = FeatureErrors(kinds=["outlier", "typo"], columns=["age", "stadt"])
    one, two = (inject_errors(people, label="label", feature_errors=o, seed=1) for o in (as_tuples, as_lists))
    assert_same(one, two)


# --- seeds ---------------------------------------------------------------------------------------------------------


def test_same_seed_same_result(people):
    options = {"label": "label", "feature_errors": ALL_KINDS}
    for seed in (5, jax.random.key(5)):
        one, two = inject_errors(people, seed=seed, **options), inject_errors(people, seed=seed, **options)
        assert_same(one, two)
    other = inject_errors(people, seed=6, **options)
    assert not one.truth["source_row"].equals(other.truth["source_row"])


def test_feature_rate_leaves_other_draws_alone(people):
    few, many = (inject_errors(people, label="label", feature_errors=rate, seed=2) for rate in (0.05, 0.3))
    same = ["label_error", "spurious_correlation", "source_row"]
    pd.testing.assert_frame_equal(few.truth.loc[:, same], many.truth.loc[:, same])
    assert np.all(many.truth["feature_error"] >= few.truth["feature_error"])  # the same rows and more


# --- shortcuts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.15, 0.4])
def test_two_sided_rule_by_hand(people, share):
    rule = ShortcutRule(Group((Condition("member", (True,)),)), Condition("label", ("rich",)))
    got = inject_errors(people, label="label", spurious=SpuriousCorrelation(share, rule), seed=0)
    clean = people.iloc[got.truth["source_row"]]
    breaks = clean["member"].to_numpy() != (clean["label"] == "rich").to_numpy()
    np.testing.assert_array_equal(got.truth["spurious_correlation"], breaks)
    assert abs(breaks.mean() - share) < 0.01
    assert shortcut_of(got).text == "member=True -> rich"
    # by clean labels: a flipped label does not make a row break the rule
    flipped = got.truth["label_error"].to_numpy(dtype=bool)
    now = got.table["label"].to_numpy() == "rich"
    assert (now[flipped] != (clean["label"] == "rich").to_numpy()[flipped]).all()


def test_minority_grows_when_it_is_rare():
    group = np.repeat([0, 1], 500)
    label = group.copy()
    label[:20], label[500:520] = 1, 0  # 4 % break the rule
    frame = pd.DataFrame({"g": np.where(group, "x", "y"), "z": np.arange(1000) % 7, "y": label})
    got = inject_errors(frame, label="y", spurious=SpuriousCorrelation(0.2, "g=x -> 1"), seed=0)
    assert np.sum(got.truth["spurious_correlation"]) == 40 and len(got.table) == 200


def test_one_sided_rule_has_one_rare_cell(people):
    got = inject_errors(people, label="label", spurious=SpuriousCorrelation(0.05, "age<=40 => poor"), seed=0)
    clean = people.iloc[got.truth["source_row"]]
    breaks = (clean["age"] <= 40) & (clean["label"] != "poor")
    np.testing.assert_array_equal(got.truth["spurious_correlation"], breaks)
    assert abs(breaks.mean() - 0.05) < 0.01


@pytest.mark.parametrize("kind", SHORTCUT_KINDS)
@pytest.mark.parametrize("group_kind", GROUP_KINDS)
@pytest.mark.parametrize("label", ["label", "amount", "stage"])
def test_found_rules_are_strong_and_can_be_read_back(people, kind, group_kind, label):
    table = people.assign(stage=(people["income"] // 8_000).clip(3, 6).astype(int))
    share = 0.15 if kind == "two-sided" else 0.1
    spurious = SpuriousCorrelation(share, kind=kind, group_kinds=(group_kind,))
    got = inject_errors(table, label=label, spurious=spurious, feature_errors=0, seed=4)
    rule, clean = shortcut_of(got).rule, table.iloc[got.truth["source_row"]]
    assert rule.kind == kind and parse_shortcut(shortcut_of(got).text, table, label) == rule
    joins = {"and", "xor"} & {group_kind}
    assert len(rule.group.conditions) == 1 + len(joins) and (not joins or rule.group.join == group_kind)
    assert abs(np.mean(got.truth["spurious_correlation"]) - share) < 0.01
    group, positive = rule.group.mask(clean), rule.positive.mask(clean)
    assert "name" not in str(rule) and "same" not in str(rule)
    together = np.corrcoef(group, positive)[0, 1]
    assert together > 0.15  # the group tells something about the label


def test_rules_vary_with_the_seed(people):
    rules = [shortcut_of(inject_errors(people, label="label", seed=seed)).rule for seed in range(12)]
    assert len({rule.group.conditions[0].column for rule in rules}) >= 4


def test_rule_can_be_used_on_another_table(people):
    first = inject_errors(people.iloc[:1500], label="label", seed=0)
    same_rule = SpuriousCorrelation(shortcut=shortcut_of(first).rule)
    second = inject_errors(people.iloc[1500:], label="label", spurious=same_rule, seed=1)
    assert shortcut_of(second).text == shortcut_of(first).text
    assert abs(np.mean(second.truth["spurious_correlation"]) - 0.15) < 0.01


@pytest.mark.parametrize(
    ("text", "group", "positive", "kind"),
    [
        ("stadt=Zürich -> rich", [("stadt", ("Zürich",), None, None)], ("rich",), "two-sided"),
        ("stadt = Ulm, Donau|東京->rich", [("stadt", ("Ulm, Donau", "東京"), None, None)], ("rich",), "two-sided"),
        ("age>40 => poor|rich", [("age", (), 40.0, None)], ("poor", "rich"), "one-sided"),
        ("größe; cm<=170 -> poor", [("größe; cm", (), None, 170.0)], ("poor",), "two-sided"),
        ("age=40 -> poor", [("age", (40,), None, None)], ("poor",), "two-sided"),
        ("member=True & age>3e1 -> poor", [("member", (True,), None, None), ("age", (), 30.0, None)], ("poor",), None),
    ],
)
def test_parse(people, text, group, positive, kind):
    rule = parse_shortcut(text, people, "label")
    assert [tuple(c) for c in rule.group.conditions] == group
    assert rule.positive == Condition("label", positive)
    assert kind in (None, rule.kind)


def test_parse_prefers_a_value_to_a_comparison():
    frame = pd.DataFrame({"sex=x": ["a & b", "c"], "sex": ["Male", "Female"], "income": [">50K", "<=50K"]})
    assert parse_shortcut("sex=Male -> >50K", frame, "income").positive == Condition("income", (">50K",))
    assert parse_shortcut("sex=x=a & b -> <=50K", frame, "income").group.conditions[0].values == ("a & b",)
    numbers = pd.DataFrame({"f": [1.0, 2.0, 3.5], "y": [1.0, 10.0, 100.0]})
    assert parse_shortcut("f=1|3.5 -> >10", numbers, "y") == ShortcutRule(
        Group((Condition("f", (1.0, 3.5)),)), Condition("y", above=10.0)
    )
    assert str(parse_shortcut("f>1 ^ f<=3 -> <=10", numbers, "y")) == "f>1 ^ f<=3 -> <=10"


@pytest.mark.parametrize("text", ["age>40", "nope=1 -> rich", "stadt=Rom -> rich", "age>x -> rich", "age>4 -> wealthy"])
def test_parse_says_what_is_wrong(people, text):
    with pytest.raises(InputError, match=r"->|columns are|has the values"):
        parse_shortcut(text, people, "label")


def test_missing_group_values_are_outside_the_group(people):
    assert not Condition("weight", above=0.0).mask(people)[people["weight"].isna()].any()
    assert not Condition("weight", at_most=1e9).mask(people)[people["weight"].isna()].any()
    assert not Condition("stadt", ("Oslo",)).mask(people)[people["stadt"].isna()].any()


def test_impossible_share_says_what_is_possible():
    frame = pd.DataFrame({"g": ["x"] * 500 + ["y"] * 500, "z": np.arange(1000) % 9, "y": [1] * 500 + [0] * 500})
    with pytest.raises(InputError, match="0 of 1000 rows break it, so no share is possible"):
        inject_errors(frame, label="y", spurious=SpuriousCorrelation(shortcut="g=x -> 1"), seed=0)
    frame.loc[:3, "y"] = 0
    with pytest.raises(InputError, match=r"shares from 0\.0010 to 0\.2000 are possible") as error:
        inject_errors(frame, label="y", spurious=SpuriousCorrelation(0.4, "g=x -> 1"), seed=0)
    assert "4 of 1000" in str(error.value)
    for share in (0.0011, 0.2):
        got = inject_errors(frame, label="y", spurious=SpuriousCorrelation(share, "g=x -> 1"), seed=0)
        assert np.mean(got.truth["spurious_correlation"]) == pytest.approx(share, rel=0.1)


# --- labels --------------------------------------------------------------------------------------------------------


def three_classes(n=6000, seed=0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    return pd.DataFrame(
        {"a": x[:, 0], "b": x[:, 1], "k": rng.choice(["u", "v"], n), "y": np.digitize(x[:, 0], [-0.5, 0.5])}
    )


def flips(frame, kind="uniform"):
    got = inject_errors(frame, label="y", label_errors=LabelErrors(0.3, kind), feature_errors=0, seed=9, spurious=0)
    wrong = got.truth["label_error"] == 1
    return got, wrong, pd.crosstab(got.truth["clean_label"][wrong], got.table["y"][wrong])


def test_uniform_flips_reach_every_other_class():
    _, _, table = flips(three_classes())
    assert np.all(np.diag(table) == 0)
    off = table.to_numpy()[~np.eye(3, dtype=bool)].reshape(3, 2)
    assert np.all(np.abs(off[:, 0] / off.sum(1) - 0.5) < 0.08)


def test_asymmetric_flips_go_one_way_at_a_rate_of_each_class():
    frame = three_classes()
    _, _, table = flips(frame, "asymmetric")
    assert np.all((table.to_numpy() > 0).sum(1) == 1)
    rate = table.sum(axis=1) / frame["y"].value_counts().sort_index()
    assert rate.max() > 1.8 * rate.min()


def test_feature_dependent_flips_lie_near_the_boundary():
    frame = three_classes()
    _, wrong, table = flips(frame, "feature_dependent")
    to_boundary = np.minimum(np.abs(frame["a"] - 0.5), np.abs(frame["a"] + 0.5))
    assert to_boundary[wrong].mean() < 0.7 * to_boundary[~wrong].mean()
    assert table.to_numpy()[[0, 2], [1, 1]].sum() > 10 * table.to_numpy()[[0, 2], [2, 0]].sum()  # to the neighbour


def test_subgroup_flips_stay_in_one_group():
    frame = three_classes()
    _, wrong, _ = flips(frame, "subgroup")
    inside = [
        frame[c][wrong].min() > frame[c].min() + 0.1 or frame[c][wrong].max() < frame[c].max() - 0.1 for c in "ab"
    ]
    assert len(set(frame["k"][wrong])) == 1 or any(inside)
    too_many = LabelErrors(0.95, kind="subgroup")
    got = inject_errors(frame, label="y", label_errors=too_many, feature_errors=0, seed=0, spurious=0)
    assert 0.2 < np.mean(got.truth["label_error"]) < 0.95, "all of the largest group"


@pytest.mark.parametrize("label_kind", ["uniform", "near", "asymmetric", "feature_dependent", "subgroup"])
@pytest.mark.parametrize("draw", ["normal", "lognormal", "whole", "stretched"])
def test_targets_move_a_part_of_the_range(label_kind, draw):
    rng = np.random.default_rng(1)
    target = {
        "normal": rng.normal(size=2000),
        "lognormal": rng.lognormal(sigma=0.5, size=2000).round(2),
        "whole": rng.integers(0, 978, 2000).astype(np.int16),
        "stretched": np.r_[rng.normal(size=1998), -1e6, 1e6],
    }[draw]
    frame = pd.DataFrame({"a": rng.normal(size=2000), "y": target})
    label_errors = LabelErrors(0.3, label_kind)
    got = inject_errors(frame, label="y", label_errors=label_errors, feature_errors=0, seed=2, spurious=0)
    wrong = got.truth["label_error"] == 1
    assert np.sum(wrong) == 600
    low, high = (target.min(), target.max()) if draw in ("normal", "whole") else np.quantile(target, (0.01, 0.99))
    new, old = got.table["y"][wrong].astype(float), frame["y"][wrong].astype(float)
    if draw == "lognormal" and target.max() - target.min() <= 2 * (high - low):
        low, high = target.min(), target.max()
    moved, part = np.abs(new - old), (high - low) / (8 if label_kind == "near" else 4)
    assert (moved >= part - 1e-9).all()
    if label_kind == "near" and draw != "stretched":
        assert moved[(old >= low) & (old <= high)].max() <= 4 * part + 1
    assert new.min() >= low - 0.01 and new.max() <= high + 0.01
    assert got.table["y"].dtype == frame["y"].dtype
    if draw == "lognormal":
        np.testing.assert_allclose(new, new.round(2))
    if label_kind == "asymmetric":
        assert max(np.mean(new > old), np.mean(new < old)) > 0.65


@pytest.mark.parametrize(
    "target",
    [
        pd.Series([True, False] * 200),
        pd.Series(["b", "a"] * 200, dtype="str"),
        pd.Series(["b", "a"] * 200, dtype=object),
        pd.Series(pd.Categorical(["b", "a"] * 200, categories=["c", "b", "a"])),
        pd.Series([1.0, 2.0] * 200),
        pd.Series([1, 2] * 200, dtype="Int64"),
        pd.Series([1, 2] * 200, dtype="int8"),
    ],
    ids=lambda s: str(s.dtype),
)
def test_label_dtype_is_kept(target):
    frame = pd.DataFrame({"x": np.arange(400) % 37, "y": target})
    got = inject_errors(frame, label="y", feature_errors=0, seed=0, spurious=0)
    assert got.table["y"].dtype == target.dtype
    assert (got.table["y"] != target).sum() == got.truth["label_error"].sum() == 60


# --- features ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def numbers() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 2000
    return pd.DataFrame(
        {
            "a": rng.normal(5, 1, n),
            "b": rng.normal(1000, 20, n).round(1),
            "c": rng.integers(1, 5, n),
            "d": rng.integers(100, 200, n),
            "t": rng.choice(["north", "south", "east"], n, p=[0.6, 0.3, 0.1]),
            "y": rng.integers(0, 2, n),
        }
    )


def hit_by(frame, kind):
    got = inject_errors(
        frame, label="y", label_errors=0, feature_errors=FeatureErrors(0.5, kinds=(kind,)), seed=0, spurious=0
    )
    assert np.sum(got.truth["feature_error"]) == round(0.5 * len(frame))
    differ = {c: got.table[c] != frame[c] for c in frame}
    return {c: (frame.loc[rows, c], got.table.loc[rows, c]) for c, rows in differ.items()}, got


def test_outliers(numbers):
    changed, _ = hit_by(numbers, "outlier")
    for column in ("a", "b", "d"):
        _, new = changed[column]
        z = (new - numbers[column].mean()) / numbers[column].std(ddof=0)
        assert (z.abs() > 3.9).all() and (z.abs() < 6.1).all() and 0.4 < (z > 0).mean() < 0.6
    assert not len(changed["t"][0])


def test_scale(numbers):
    changed, _ = hit_by(numbers, "scale")
    for column in ("a", "b"):
        old, new = changed[column]
        ratio = (new / old).round(3)
        assert set(ratio) == {0.1, 10.0, 100.0}
    assert changed["d"][1].dtype == np.int64


def test_shift_noise_and_sign(numbers):
    old, new = hit_by(numbers, "shift")[0]["a"]
    assert ((new - old).abs() / numbers["a"].std()).between(1.49, 3.01).all()
    old, new = hit_by(numbers, "noise")[0]["a"]
    assert abs((new - old).std() / numbers["a"].std() - 3) < 0.3
    old, new = hit_by(numbers, "sign")[0]["d"]
    assert (new == -old).all()


def test_swap_category(numbers):
    changed, _ = hit_by(numbers, "swap_category")
    assert set(changed["t"][1]) == {"north", "south", "east"} and len(changed["t"][0]) > 300
    assert changed["c"][1].isin([1, 2, 3, 4]).all() and len(changed["c"][0]) > 300  # few whole numbers may be codes
    assert not len(changed["a"][0]) and not len(changed["d"][0])


def test_swap_columns(numbers):
    _, got = hit_by(numbers, "swap_columns")
    for row in np.flatnonzero(got.truth["feature_error"])[:200]:
        hit = str(got.truth.loc[row, "corrupted_columns"]).split(";")
        assert len(hit) in (2, 4) and "t" not in hit
        # what was rounded into a column of whole numbers, or to one decimal, is compared as such
        now, before = got.table.loc[row, hit].astype(float), numbers.loc[row, hit].astype(float)
        np.testing.assert_allclose(np.sort(now.round()), np.sort(before.round()), atol=1)


def test_constant_permute_and_missing(numbers):
    changed, _ = hit_by(numbers, "constant")
    assert changed["t"][1].eq("north").all()
    assert changed["d"][1].isin([0, round(numbers["d"].median())]).all()
    changed, _ = hit_by(numbers, "permute")
    assert changed["a"][1].isin(numbers["a"]).all()
    old, new = changed["t"]
    assert abs((new[old == "south"] == "north").mean() - 0.6 / 0.7) < 0.08  # as frequent as in the column
    changed, got = hit_by(numbers, "missing")
    assert got.table["c"].dtype == np.float64 and changed["c"][1].isna().all()
    assert changed["t"][1].isna().all() and got.table["t"].dtype == numbers["t"].dtype


def test_stale_limit_and_round(numbers):
    changed, _ = hit_by(numbers, "stale")
    for column in ("a", "t"):
        old, new = changed[column]
        assert (new.to_numpy() == numbers[column].to_numpy()[old.index - 1]).all()
    old, new = hit_by(numbers, "limit")[0]["a"]
    low, high = numbers["a"].quantile([0.02, 0.98]).round(1)
    assert set(new.round(1)) == {low, high} and (new[old > numbers["a"].median()].round(1) == high).all()
    old, new = hit_by(numbers, "round")[0]["d"]
    assert (new == [float(f"{value:.1g}") for value in old]).all() and not hit_by(numbers, "round")[0]["t"][0].size


def test_slipped_digits(numbers):
    old, new = hit_by(numbers, "digit")[0]["d"]
    for before, after in zip(old.abs().astype(str), new.abs().astype(str), strict=True):
        assert abs(len(before) - len(after)) <= 1 or before.endswith("0") or "0" in before
        assert len(set(after) - set(before)) <= 1 + (set(after) >= {"0"})


def test_units_offsets_and_what_stands_for_missing(numbers):
    old, new = hit_by(numbers, "offset")[0]["a"]
    assert (new - old).round(1).nunique() <= 3, "all of a column are off by the same, but for rows drawn again"
    old, new = hit_by(numbers, "unit")[0]["d"]
    slope = np.polyfit(old, new, 1)[0]
    assert 0 < slope and abs(slope - 1) > 0.2
    changed, _ = hit_by(numbers, "sentinel")
    assert changed["d"][1].isin([-1, -9, -99, -999, 0, 99, 999, 9999]).all()
    assert changed["t"][1].isin(["unknown", "?", "other", "not known"]).all()


def test_typos(numbers):
    changed, _ = hit_by(numbers, "typo")
    old, new = changed["t"]
    assert (new.str.len() >= 1).all() and not new.isin(["north", "south", "east"]).any()
    assert ((new.str.len() - old.str.len()).isin([-2, -1, 0, 1])).all()


def test_feature_columns_confine_the_errors(people):
    two_columns = FeatureErrors(columns=("age", "stadt"))
    made = inject_errors(people, label="label", label_errors=0.0, spurious=0.0, feature_errors=two_columns, seed=1)
    hit = set(made.truth["corrupted_columns"].str.split(";").explode()) - {""}
    assert hit == {"age", "stadt"}


def test_one_kind_per_row(numbers):
    """Each row is shifted or loses cells, never both."""
    for together in (True, False):
        errors = FeatureErrors(0.5, kinds=("missing", "shift"), cell_share=1.0, one_kind_per_row=together)
        made = inject_errors(numbers, label="y", label_errors=0, feature_errors=errors, spurious=0, seed=0)
        old = numbers.iloc[made.truth["source_row"]].reset_index(drop=True)
        columns = [name for name in numbers.columns if pd.api.types.is_float_dtype(numbers[name])]
        lost = (made.table[columns].isna() & old[columns].notna()).to_numpy()
        moved = (made.table[columns] != old[columns]).to_numpy() & ~lost & old[columns].notna().to_numpy()
        assert len(columns) > 1 and lost.any() and moved.any()
        assert (lost.any(axis=1) & moved.any(axis=1)).any() == (not together)


def test_cell_share(numbers):
    kinds = ("outlier", "swap_category")
    for share in (0.0, 0.4, 1.0, (0.0, 1.0)):
        errors = FeatureErrors(0.5, kinds=kinds, cell_share=share)
        got = inject_errors(numbers, label="y", label_errors=0, feature_errors=errors, spurious=0, seed=0)
        hit = got.truth.loc[got.truth["feature_error"] == 1, "corrupted_columns"].str.split(";").str.len()
        want = {0.0: 1.0, 0.4: 5 * 0.4 + 0.6**5, 1.0: 5.0, (0.0, 1.0): 5 * 0.5 + 1 / 6}[share]  # at least one
        assert abs(hit.mean() - want) < 0.15
        assert not isinstance(share, tuple) or np.mean(hit == 1) > 0.2 < np.mean(hit == 5) * 2


def test_dtypes_are_kept_and_csv_reads_back(people):
    kinds = tuple(k for k in FEATURE_KINDS if k != "missing")
    table = people.drop(columns=["nothing"])
    got = inject_errors(table, label="label", feature_errors=FeatureErrors(0.5, kinds), seed=0, spurious=0)
    assert (got.table.dtypes == table.dtypes).all()
    assert (got.table["since"].dt.normalize() == got.table["since"]).all()
    np.testing.assert_allclose(got.table["weight"], got.table["weight"].round(3))
    assert set(got.table["grade"]) <= {"a", "b", "c"}
    back = pd.read_csv(io.StringIO(got.table.to_csv(index=False)), parse_dates=["since"])
    for column in table:
        new, old = back[column], got.table[column]
        assert new.isna().equals(old.isna()), column
        known = ~old.isna()
        if pd.api.types.is_float_dtype(old):
            np.testing.assert_allclose(new[known], old[known].astype(float), rtol=1e-6)
        else:
            assert np.all(np.asarray(new[known]) == np.asarray(old[known])), column


def test_time_zones_and_seconds_and_gaps_in_dates():
    stamps = pd.date_range("2020-01-01 08:00:07", periods=500, freq="7h", tz="Europe/Zurich").to_series(
        index=range(500)
    )
    stamps[::10] = pd.NaT
    frame = pd.DataFrame(
        {"when": stamps.sample(frac=1, random_state=0).reset_index(drop=True), "y": np.arange(500) % 2}
    )
    errors = FeatureErrors(0.5, kinds=("outlier", "shift", "constant", "missing"))
    got = inject_errors(frame, label="y", label_errors=0, feature_errors=errors, seed=0, spurious=0)
    assert got.table["when"].dtype == frame["when"].dtype
    assert_truth(frame, got, "y")
    assert (got.table["when"].dropna().dt.microsecond == 0).all()


def test_narrow_integers_stay_in_range():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "u": rng.integers(0, 250, 600).astype(np.uint8),
            "i": rng.integers(-30_000, 30_000, 600).astype(np.int16),
            "b": rng.integers(2**61, 2**62, 600),
            "y": rng.integers(0, 2, 600),
        }
    )
    got = inject_errors(frame, label="y", feature_errors=FeatureErrors(0.6, FEATURE_KINDS[:5]), seed=0, spurious=0)
    assert (got.table.dtypes == frame.dtypes).all()
    assert_truth(frame, got, "y")


def test_cells_that_cannot_change_are_not_in_the_truth():
    frame = pd.DataFrame({"x": [0] * 900 + [1, 2, 3] * 30 + [0] * 10, "y": [0, 1] * 500})
    errors = FeatureErrors(0.5, kinds=("scale",))
    got = inject_errors(frame, label="y", label_errors=0, feature_errors=errors, seed=0, spurious=0)
    assert np.sum(got.truth["feature_error"]) == 90  # ten times nothing is nothing
    assert_truth(frame, got, "y")


def test_columns_that_name_the_rows_are_left_alone(people):
    frame = people.assign(row=np.arange(len(people)))
    got = inject_errors(frame, label="label", feature_errors=FeatureErrors(0.8, FEATURE_KINDS), seed=0, spurious=0)
    for column in ("row", "name", "same", "nothing"):
        pd.testing.assert_series_equal(got.table.loc[:, column], frame.loc[:, column].reset_index(drop=True))


def test_odd_columns_do_not_matter():
    frame = pd.DataFrame(
        {0: np.arange(300.0) % 11, 1: [[i] for i in range(300)], 2: ["a", 1, None] * 100, 3: [0, 1, 1] * 100}
    )
    got = inject_errors(frame, label=3, seed=0, feature_errors=ALL_KINDS)  # pyright: ignore[reportArgumentType]
    assert np.sum(got.truth["feature_error"]) == round(0.15 * len(got.table))


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_errors": -0.1}, r"label_errors must lie in \[0, 1\], got -0.1"),
        ({"feature_errors": 1.5}, r"feature_errors must lie in \[0, 1\]"),
        ({"label_errors": float("nan")}, "label_errors must lie"),
        ({"label_errors": 0.6, "feature_errors": 0.6}, "add up to at most 1"),
        ({"spurious": 0.7}, r"\[0, 0.5\], got 0.7"),
        ({"feature_errors": FeatureErrors(cell_share=2.0)}, r"FeatureErrors.cell_share must lie in \[0, 1\], got 2.0"),
        ({"feature_errors": FeatureErrors(cell_share=(0.1, 2.0))}, r"cell_share must lie in \[0, 1\], got 2.0"),
        ({"feature_errors": FeatureErrors(cell_share=(0.4, 0.1))}, "must rise, got 0.4 to 0.1"),
        ({"feature_errors": FeatureErrors(cell_share=(0.1, 0.2, 0.3))}, "or the two ends of a range"),  # pyright: ignore[reportArgumentType]
        ({"feature_errors": FeatureErrors(columns=("nowhere",))}, "FeatureErrors.columns was given nowhere"),
        ({"feature_errors": FeatureErrors(columns="age")}, 'columns is "age"; give a tuple of names'),
        ({"feature_errors": FeatureErrors(kinds=("scale", "odd"))}, "FeatureErrors.kinds was given odd"),
        ({"feature_errors": FeatureErrors(kinds=())}, "FeatureErrors.kinds was given nothing"),
        ({"feature_errors": FeatureErrors(kinds="outlier")}, 'kinds is "outlier"; give a tuple of names'),
        ({"label_errors": LabelErrors(kind="odd")}, "LabelErrors.kind was given odd; choose among uniform"),
        (
            {"spurious": SpuriousCorrelation(kind="three-sided")},
            "SpuriousCorrelation.kind must be one of two-sided, one",
        ),
        ({"spurious": SpuriousCorrelation(group_kinds=("or",))}, "SpuriousCorrelation.group_kinds was given or"),
        ({"label_errors": LabelErrors(-0.1)}, r"label_errors must lie in \[0, 1\], got -0.1"),
        ({"feature_errors": FeatureErrors(1.5)}, r"feature_errors must lie in \[0, 1\], got 1.5"),
        ({"spurious": SpuriousCorrelation(0.7)}, r"\[0, 0.5\], got 0.7"),
        ({"label_errors": LabelErrors(0.6), "feature_errors": 0.6}, "add up to at most 1"),
        ({"label_errors": FeatureErrors()}, "label_errors takes a number or LabelErrors, got FeatureErrors"),
        ({"spurious": LabelErrors()}, "spurious takes a number or SpuriousCorrelation, got LabelErrors"),
        ({"label_errors": "10%"}, r"label_errors must lie in \[0, 1\], got 10%"),
        ({"task": "ranking"}, "task must be one of auto, .*, got 'ranking'"),
        ({"task": "regression"}, "needs numbers in the label column"),
        ({"seed": -1}, "seed is -1; give a whole number"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"label": "nope"}, 'no column "nope" to be the label'),
        *[
            ({"spurious": SpuriousCorrelation(shortcut=rule)}, message)
            for rule, message in [
                ("age>40", 'has no "->"'),
                (ShortcutRule(Group((Condition("x", (1,)),)), Condition("label", ("rich",))), 'needs a column "x"'),
                (ShortcutRule(Group((Condition("age", (1,)),)), Condition("age", (2,))), "is about the label"),
                (ShortcutRule(Group((Condition("stadt", above=1),)), Condition("label", ("rich",))), "holds none"),
                (Condition("age", (1,)), "is a Condition; give a ShortcutRule or text"),
            ]
        ],
    ],
)
def test_bad_input(people, options, message):
    with pytest.raises(InputError, match=message) as error:
        inject_errors(people, **{"label": "label", "seed": 0, **options})
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_bad_tables(people):
    with pytest.raises(InputError, match="more than one column named age"):
        inject_errors(people.rename(columns={"weight": "age"}), label="label", seed=0)
    with pytest.raises(InputError, match="single value"):
        inject_errors(people, label="same", seed=0)
    with pytest.raises(InputError, match="missing values; drop those rows"):
        inject_errors(people, label="weight", seed=0)
    with pytest.raises(InputError, match="infinite"):
        inject_errors(
            people.assign(amount=np.where(people["age"] > 60, np.inf, people["amount"])), label="amount", seed=0
        )
    with pytest.raises(InputError, match="no column besides"):
        inject_errors(people[["label"]], label="label", seed=0)
    with pytest.raises(InputError, match="0 rows"):
        inject_errors(people.iloc[:0], label="label", seed=0)
    with pytest.raises(InputError, match="suit none of the columns"):
        typos = FeatureErrors(kinds=("typo",))
        inject_errors(people[["age", "label"]], label="label", feature_errors=typos, seed=0)
    with pytest.raises(InputError, match="no shortcut was found"):
        inject_errors(people[["same", "name", "label"]], label="label", seed=0)


def test_import_loads_no_tables():
    code = "import sys, demix_jax.corruption; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fifty_thousand_rows_are_quick():
    rng = np.random.default_rng(0)
    n = 50_000
    columns = {f"n{i}": rng.normal(size=n) for i in range(8)}
    columns |= {f"c{i}": rng.choice(["red", "green", "blue", "grey"], n) for i in range(6)}
    frame = pd.DataFrame({**columns, "y": rng.choice(["yes", "no"], n)})
    seconds = []
    for seed in range(3):
        start = time.perf_counter()
        inject_errors(frame, label="y", seed=seed)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0  # 0.15 s on two idle cores; the machine may be busy


def test_a_rare_class_still_gets_a_rule_that_tells_something():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=5000), "b": rng.choice(list("xyz"), 5000), "y": rng.random(5000) < 0.03})
    for seed in range(5):
        got = inject_errors(frame, label="y", label_errors=0, feature_errors=0, seed=seed)
        clean = frame.iloc[got.truth["source_row"]]
        made = shortcut_of(got).rule
        assert np.corrcoef(made.group.mask(clean), made.positive.mask(clean))[0, 1] > 0.15
        assert len(got.table) > 500
