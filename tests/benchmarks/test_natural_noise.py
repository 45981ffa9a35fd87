"""Errors put in by code that shares nothing with the package: counts, places and kinds, on small tables."""

import ast
import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.natural import noise
from benchmarks.natural.feature_noise import FEATURE_KINDS
from benchmarks.natural.label_noise import CLASS_KINDS
from benchmarks.natural.noise import add_feature_noise, add_label_noise, add_mixture, add_shortcut
from benchmarks.natural.number_noise import NUMBER_KINDS, wrong_numbers
from benchmarks.natural.shortcut_noise import SHORTCUT_KINDS
from demix_jax import InputError

FOLDER = Path(noise.__file__).parent


def table(num_rows=600):
    rng = np.random.default_rng(0)
    x, other = rng.normal(50, 10, num_rows), rng.normal(5, 2, num_rows)
    frame = pd.DataFrame(
        {"x": x.round(2), "other": other.round(2), "word": rng.choice(["red", "green", "blue"], num_rows)}
    )
    classes = np.array(["low", "middle", "high"])[np.digitize(x + rng.normal(0, 2, num_rows), [45, 60])]
    return frame.assign(y=classes), frame.assign(y=(3 * x + 100).round(1))


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", ["uniform", "near-boundary"])
def test_as_many_labels_are_wrong_as_asked_for(kind):
    clean, _ = table()
    made = add_label_noise(clean, "y", kind, 0.1, rng())
    assert made.truth.sum(axis=0).tolist() == [60, 0, 0]
    assert ((made.table["y"] != clean["y"]).to_numpy() == made.truth[:, 0]).all()
    pd.testing.assert_frame_equal(made.table.drop(columns="y"), clean.drop(columns="y"))


def test_labels_near_the_boundary_are_wrong_there():
    clean, _ = table()
    made = add_label_noise(clean, "y", "near-boundary", 0.1, rng())
    distance = np.abs(clean[["x"]].to_numpy() - [45, 60]).min(axis=1)
    assert distance[made.truth[:, 0]].mean() < 0.5 * distance[~made.truth[:, 0]].mean()


@pytest.mark.parametrize(("kind", "rate"), [("annotator", 0.2), ("rule-made", 0.2)])
def test_a_rate_that_rules_and_annotators_come_near(kind, rate):
    clean, _ = table()
    made = add_label_noise(clean, "y", kind, rate, rng())
    assert made.truth[:, 0].mean() == pytest.approx(rate, abs=0.04)


def test_a_rule_gives_all_rows_of_a_region_one_class():
    clean, _ = table()
    made = add_label_noise(clean, "y", "rule-made", 0.2, rng())
    assert made.table.loc[made.truth[:, 0], "y"].nunique() == 1


def test_one_class_has_most_of_class_dependent_noise():
    clean, _ = table(6_000)
    made = add_label_noise(clean, "y", "class-dependent", 0.0, rng())
    by_class = sorted(made.truth[(clean["y"] == name).to_numpy(), 0].mean() for name in ("low", "middle", "high"))
    assert by_class[:2] == pytest.approx([0.02, 0.02], abs=0.01) and by_class[2] == pytest.approx(0.4, abs=0.05)


def test_a_minority_class_is_mostly_false():
    clean, _ = table()
    rare = clean["y"].value_counts().index[-1]
    made = add_label_noise(clean, "y", "minority", 0.1, rng())
    labelled = (made.table["y"] == rare).to_numpy()
    assert made.truth[labelled, 0].mean() == pytest.approx(1.7 / 2.7, abs=0.02)
    assert not made.truth[~labelled, 0].any() and made.truth[:, 0].mean() == pytest.approx(0.1, abs=0.015)
    assert (clean.loc[made.source[made.truth[:, 0]], "y"] != rare).all()


def test_each_kind_of_wrong_number_is_what_it_says():
    target = pd.Series([12.5, 480.0, 0.037, -96.1, 7.0] * 40)
    by_kind = {kind: wrong_numbers(target, kind, 0.2, rng()) for kind in NUMBER_KINDS}
    for kind, values in by_kind.items():
        assert (values != target).sum() == 40, kind
    changed = {kind: (values != target, values) for kind, values in by_kind.items()}
    where, values = changed["constant"]
    slips = np.asarray(values - target)[where]
    assert np.allclose(slips, slips[0])
    where, values = changed["sign"]
    assert (values[where] == -target[where]).all()
    where, values = changed["unit"]
    assert len(np.unique(np.round(np.asarray(values / target)[where], 9))) == 1
    where, values = changed["digit"]
    for old, new in zip(target[where], values[where], strict=True):
        pairs = list(zip(repr(old), repr(new), strict=True))
        assert sum(a != b for a, b in pairs) == 1 and np.sign(old) == np.sign(new)


def test_whole_numbers_stay_whole_and_zeros_keep_their_sign():
    target = pd.Series([0, 0, 0, 4, 5])
    assert wrong_numbers(target, "sign", 0.8, rng()).tolist() == [0, 0, 0, -4, -5]
    assert wrong_numbers(target, "constant", 0.4, rng()).dtype == "int64"


@pytest.mark.parametrize("kind", FEATURE_KINDS)
def test_as_many_rows_have_wrong_cells_as_asked_for(kind):
    clean, _ = table()
    made = add_feature_noise(clean, "y", kind, 0.1, rng())
    changed = (made.table != clean).any(axis=1).to_numpy()
    assert changed.tolist() == made.truth[:, 1].tolist() and changed.sum() == 60
    assert list(made.table.columns) == list(clean.columns) and made.table["y"].tolist() == clean["y"].tolist()


def test_a_drift_grows_along_neighbouring_rows():
    clean, _ = table()
    made = add_feature_noise(clean, "y", "drift", 0.1, rng())
    rows = np.flatnonzero(made.truth[:, 1])
    assert rows[-1] - rows[0] == 59
    (column,) = [name for name in ("x", "other") if made.table[name].tolist() != clean[name].tolist()]
    off = (made.table[column] - clean[column]).to_numpy()[rows]
    assert (np.diff(off) > 0).all()


@pytest.mark.parametrize("kind", SHORTCUT_KINDS)
@pytest.mark.parametrize("numbers", [False, True])
def test_a_shortcut_is_broken_by_the_share_asked_for(kind, numbers):
    clean = table(2_000)[numbers]
    made = add_shortcut(clean, "y", kind, 0.1, rng())
    assert made.truth[:, 2].mean() == pytest.approx(0.1, abs=0.01) and not made.truth[:, :2].any()
    pd.testing.assert_frame_equal(made.table, clean.iloc[made.source].reset_index(drop=True))


def test_a_mixture_has_each_type_at_its_rate_and_no_row_wrong_twice():
    clean, _ = table(2_000)
    made = add_mixture(clean, "y", (0.1, 0.2, 0.15), ("uniform", "another row", "threshold"), seed=3)
    assert made.truth.mean(axis=0) == pytest.approx([0.1, 0.2, 0.15], abs=0.01)
    assert not (made.truth[:, 0] & made.truth[:, 1]).any()
    before = clean.iloc[made.source].reset_index(drop=True)
    assert ((made.table["y"] != before["y"]).to_numpy() == made.truth[:, 0]).all()
    features = ["x", "other", "word"]
    assert ((made.table[features] != before[features]).any(axis=1).to_numpy() == made.truth[:, 1]).all()


@pytest.mark.parametrize("kind", CLASS_KINDS)
def test_the_same_draw_gives_the_same_labels(kind):
    clean, _ = table()
    first, again = (add_label_noise(clean, "y", kind, 0.1, rng(5)).table for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


def test_what_cannot_be_is_refused():
    clean, _ = table()
    with pytest.raises(InputError, match="There is no noise 'odd'; choose one of uniform"):
        add_label_noise(clean, "y", "odd", 0.1, rng())
    with pytest.raises(InputError, match=r"rate must lie in \[0, 1\], got 1.5"):
        add_feature_noise(clean, "y", "unit", 1.5, rng())


def test_the_noise_shares_no_code_with_the_package():
    for name in ("noise", "label_noise", "number_noise", "feature_noise", "shortcut_noise"):
        tree = ast.parse((FOLDER / f"{name}.py").read_text())
        modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not any(
            "corruption" in module or "meta_training" in module or "debugging" in module for module in modules
        )


def test_held_out_tables_are_not_among_those_learned_from():
    def listed(path):
        with path.open(encoding="utf-8") as file:
            return [(row["package"], row["item"]) for row in csv.DictReader(file)]

    held_out = listed(FOLDER / "held_out_tables.csv")
    learned = {item.lower() for _, item in listed(FOLDER.parent / "debugging" / "real_tables.csv")}
    assert len(set(held_out)) == 20 and not {item.lower() for _, item in held_out} & learned
