"""Repairs against known answers: worlds whose true labels, cells and probabilities are at hand."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.target import ClassTarget, RegressionTarget
from demix_jax.data.decimals import decimals_of
from demix_jax.data.fingerprint import fingerprint
from demix_jax.data.inspected_table import inspect_table
from demix_jax.data.write_cells import with_cells
from demix_jax.repairs import repair
from demix_jax.repairs.conditional_models import has_few_values
from demix_jax.repairs.flags import read_flags
from demix_jax.repairs.held_out import Trial, clearly_better, held_out_outputs, skill
from demix_jax.repairs.impute import WrongCells, find_wrong_cells, probability_wrong
from demix_jax.repairs.operations import label_column, relabel
from demix_jax.repairs.pipeline import make_problem
from demix_jax.repairs.relabel import chance_of_error, new_targets
from demix_jax.repairs.trees import tree_table
from demix_jax.repairs.undo_mistakes import in_old_unit, known_cells, told_mistakes, undo_mistakes


def world(num_rows: int, seed: int) -> pd.DataFrame:
    """Columns that hang together: b ≈ 3a, kind follows a, and y is whether a + noise is positive."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=num_rows)
    return pd.DataFrame(
        {
            "a": np.round(a, 2),
            "b": np.round(3 * a + 0.1 * rng.normal(size=num_rows), 2),
            "kind": np.where(a > 0.5, "high", np.where(a > -0.5, "mid", "low")),
            "size": np.round(100 + 20 * rng.normal(size=num_rows)).astype(np.int64),
            "y": np.where(a + 0.4 * rng.normal(size=num_rows) > 0, "yes", "no"),
        }
    )


def flags_of(num_rows: int, **rows) -> pd.DataFrame:
    flags = pd.DataFrame(0, index=range(num_rows), columns=list(ERROR_TYPES))
    for name, which in rows.items():
        flags.loc[which, name] = 1
    return flags


@pytest.fixture(scope="module")
def dirty():
    """(clean, dirty, flags): 120 flipped labels in rows 0–119, one wrong cell in each of rows 120–239."""
    clean = world(900, seed=0)
    dirty = clean.copy()
    flip = {"yes": "no", "no": "yes"}
    dirty.loc[:119, "y"] = clean["y"].iloc[:120].map(flip)
    dirty.loc[120:159, "b"] = clean["b"][120:160] + 40
    dirty.loc[160:199, "kind"] = np.where(clean["kind"][160:200] == "high", "low", "high")
    dirty.loc[200:239, "size"] = 100 + 20 * 9
    return clean, dirty, flags_of(900, label_error=range(120), feature_error=range(120, 240))


@pytest.fixture(scope="module")
def repaired(dirty):
    _, table, flags = dirty
    before = table.copy()
    result = repair(table, flags, label="y")
    pd.testing.assert_frame_equal(table, before)
    return result


def test_repair_keeps_shape_and_types(dirty, repaired):
    _, table, _ = dirty
    assert list(repaired.table.columns) == [*table.columns, "sample_weight"]
    assert repaired.table.index.equals(table.index)
    assert repaired.table[table.columns].dtypes.equals(table.dtypes)
    assert repaired.table["sample_weight"].mean() == pytest.approx(1.0)


def test_repair_restores_labels_and_cells(dirty, repaired):
    clean, _, _ = dirty
    table = repaired.table
    assert (table["y"] == clean["y"]).iloc[:120].mean() > 0.97
    assert (table["y"] == clean["y"]).iloc[120:].all()
    assert (table["kind"] == clean["kind"])[160:200].mean() > 0.9
    assert np.abs(table["b"] - clean["b"])[120:160].median() < 0.3
    assert np.abs(table["size"] - 100)[200:240].max() < 60
    pd.testing.assert_frame_equal(table[clean.columns].iloc[240:], clean.iloc[240:])


def test_changes_list_every_difference(dirty, repaired):
    _, table, _ = dirty
    cells = repaired.changes.cells
    differs = {
        (row, column)
        for column in table.columns
        for row in table.index[(table[column] != repaired.table[column]).to_numpy()]
    }
    assert {(r, c) for r, c in zip(cells["row"], cells["column"], strict=True)} == differs
    for line in cells.itertuples():
        assert line.before == table.loc[line.row, line.column]
        assert line.after == repaired.table.loc[line.row, line.column]
    counts = repaired.changes.counts
    assert counts["relabelled"] == (cells["action"] == "relabel").sum()
    assert counts["imputed_cells"] == (cells["action"] == "impute").sum()
    assert all(sentence.endswith(".") for sentence in repaired.changes.sentences)


def test_repair_is_reproducible_and_reads_paths(dirty, repaired, tmp_path):
    _, table, flags = dirty
    table.to_csv(tmp_path / "train.csv", index=False)
    flags.to_csv(tmp_path / "diagnosis.csv", index=False)
    (tmp_path / "summary.json").write_text(json.dumps({"fingerprint": fingerprint(table), "task": "classification"}))
    again = repair(tmp_path / "train.csv", tmp_path, label="y")
    pd.testing.assert_frame_equal(again.table, repaired.table, check_dtype=False)


def test_keep_changes_nothing(dirty):
    _, table, flags = dirty
    result = repair(table, flags, label="y", label_errors="keep", feature_errors="keep", spurious="keep")
    pd.testing.assert_frame_equal(result.table.drop(columns="sample_weight"), table)
    assert np.all(result.table["sample_weight"] == 1)
    assert len(result.changes.cells) == 0


def test_flags_that_mislead_leave_the_table_as_it_was():
    """All rows of true label no and b > 0 called label errors, the mislabelled rows called valuable."""
    clean = world(900, seed=3)
    table = clean.copy()
    table.loc[:299, "y"] = clean["y"].iloc[:300].map({"yes": "no", "no": "yes"})
    fine = np.flatnonzero((clean["a"].abs() > 1).to_numpy() & (clean.index >= 300))
    result = repair(table, flags_of(900, label_error=fine, spurious_correlation=range(300)), label="y")
    weight, right = result.table["sample_weight"].to_numpy(), np.asarray(result.table["y"] == clean["y"])
    assert weight[:300].max() <= weight[300:].max() + 1e-9
    assert right[fine].mean() > 0.98
    assert any(sentence.startswith("Left the weight") for sentence in result.changes.sentences)


@pytest.fixture
def shortcut():
    """(table, minority): the column shortcut agrees with the label in all rows but the minority; a decides there."""
    rng = np.random.default_rng(5)
    y = rng.random(1_500) < 0.5
    minority = rng.random(1_500) < 0.1
    a = (2 * y - 1) + 1.2 * rng.normal(size=1_500)
    return pd.DataFrame({"a": a, "shortcut": np.where(y != minority, "left", "right"), "y": y.astype(int)}), minority


def test_minority_gains_weight_where_a_shortcut_hides_the_truth(shortcut):
    table, minority = shortcut
    result = repair(table, flags_of(1_500, spurious_correlation=np.flatnonzero(minority)), label="y")
    weight = result.table["sample_weight"].to_numpy()
    assert weight[minority].min() > weight[~minority].max()
    assert weight.mean() == pytest.approx(1.0)
    assert result.changes.counts["reweighted"] == minority.sum()
    pd.testing.assert_frame_equal(result.table.drop(columns="sample_weight"), table)


def test_minority_gains_weight_by_its_probability(shortcut):
    table, minority = shortcut
    flags = flags_of(1_500, spurious_correlation=np.flatnonzero(minority))
    flags["p_spurious_correlation"] = np.where(np.arange(1_500) < 750, 0.9, 0.3)
    changes = repair(table, flags, label="y").changes.cells
    gain = (changes["after"] / changes["before"] - 1).to_numpy(float)
    first = changes["row"].to_numpy(int) < 750
    assert gain[first].min() == pytest.approx(gain[first].max()) and gain[first].min() > 0
    np.testing.assert_allclose(gain[~first], gain[first].min() / 3)


def test_drop_keeps_the_index_of_what_stays(dirty):
    _, table, flags = dirty
    renamed = table.set_axis([f"r{i}" for i in table.index])
    result = repair(renamed, flags, label="y", label_errors="drop", feature_errors="drop")
    assert list(result.table.index) == [f"r{i}" for i in range(240, 900)]
    assert result.changes.counts["dropped"] == 240
    assert set(result.changes.cells["row"]) == {f"r{i}" for i in range(240)}


def test_given_weights_are_multiplied_or_refused(dirty):
    _, table, flags = dirty
    weighted = table.assign(sample_weight=np.where(table.index < 450, 1.0, 3.0))
    keep: dict[str, Any] = {"label_errors": "keep", "feature_errors": "keep", "spurious": "keep"}
    result = repair(weighted, flags, label="y", **keep)
    assert list(result.table.columns) == [*table.columns, "sample_weight"]
    assert result.table["sample_weight"].unique().tolist() == [0.5, 1.5]
    assert "multiplied" in result.changes.sentences[-1]
    with pytest.raises(InputError, match="rename the column"):
        repair(table.assign(sample_weight=-1.0), flags, label="y", **keep)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda flags: flags.iloc[:-1], "899 rows but the table has 900"),
        (lambda flags: flags.drop(columns="label_error"), "no column label_error"),
        (lambda flags: flags.assign(feature_error=0.3), "must hold 0 or 1"),
        (lambda flags: flags.to_numpy(), "DataFrame or a path"),
    ],
)
def test_wrong_diagnosis_is_refused(dirty, change, message):
    _, table, flags = dirty
    with pytest.raises(InputError, match=message):
        read_flags(table, change(flags))


def test_diagnosis_of_another_table_is_refused(dirty, tmp_path):
    clean, table, flags = dirty
    flags.to_csv(tmp_path / "diagnosis.csv", index=False)
    (tmp_path / "summary.json").write_text(json.dumps({"fingerprint": fingerprint(clean)}))
    with pytest.raises(InputError, match="belongs to another table"):
        repair(table, tmp_path / "diagnosis.csv", label="y")
    (tmp_path / "summary.json").write_text(json.dumps({"fingerprint": fingerprint(table), "label": "z"}))
    with pytest.raises(InputError, match="diagnosis is of the label 'z', but label is 'y'"):
        repair(table, tmp_path / "diagnosis.csv", label="y")
    with pytest.raises(InputError, match="different indexes"):
        read_flags(table.set_axis(table.index + 1), flags.set_axis(flags.index + 2))


def test_unknown_choices_are_refused(dirty):
    _, table, flags = dirty
    with pytest.raises(InputError, match="label_errors must be one of relabel, drop, keep"):
        repair(table, flags, label="y", label_errors="fix")
    with pytest.raises(InputError, match="seed must be"):
        repair(table, flags, label="y", seed=-1)
    with pytest.raises(InputError, match="no column 'z'"):
        repair(table, flags, label="z")


def test_fingerprint_survives_csv_and_sees_changes():
    frame = world(50, seed=1).assign(when=pd.date_range("2020-01-01", periods=50), code="007", empty=np.nan)
    frame["thin"] = frame["a"].astype(np.float32)
    text = io.StringIO(frame.to_csv(index=False))
    assert fingerprint(frame) == fingerprint(pd.read_csv(text)) == fingerprint(frame.set_axis(frame.index[::-1]))
    for other in (
        frame.iloc[::-1],
        frame.iloc[:-1],
        frame.rename(columns={"a": "c"}),
        frame.assign(kind=frame["kind"].replace("low", "high")),
        frame.assign(a=frame["a"].where(frame.index != 7, 9.0)),
    ):
        assert fingerprint(other) != fingerprint(frame)
    assert fingerprint(frame.assign(turn=1 + 1j)) != fingerprint(frame.assign(turn=1 + 2j))


def test_chance_of_error_is_the_likeliest_mixture():
    """Against a grid search of the likelihood over the mixture weight."""
    rng = np.random.default_rng(0)
    wrong = rng.random(4_000) < 0.7
    p_right = rng.beta(4, 1, 4_000)
    p_given = np.where(rng.random(4_000) < p_right, p_right, 1 - p_right)  # probability of an honest label
    p_given = np.where(wrong, 1 - p_given, p_given)
    got = chance_of_error(1 - p_given, p_given)
    grid = np.linspace(0.001, 0.999, 999)[:, None]
    weight = grid[np.argmax(np.log(grid * (1 - p_given) + (1 - grid) * p_given).sum(axis=1)), 0]
    want = weight * (1 - p_given) / (weight * (1 - p_given) + (1 - weight) * p_given)
    np.testing.assert_allclose(got, want, atol=0.01)
    assert weight == pytest.approx(0.7, abs=0.05)


def test_true_flags_flip_even_labels_that_the_features_cannot_tell():
    """With noise in y a model of the features is often wrong; flags that are right make the flip certain."""
    table = world(2_000, seed=2)
    table["y"] = np.where(np.random.default_rng(2).random(2_000) < 0.3, "yes", table["y"])
    flipped = table.assign(y=table["y"].where(table.index >= 400, table.loc[:, "y"].map({"yes": "no", "no": "yes"})))
    flags = read_flags(flipped, flags_of(2_000, label_error=range(400)))
    problem = make_problem(inspect_table(flipped, "y"), flags, task="auto", seed=0)
    new = relabel(problem)
    assert (np.array(problem.data.target.decode(new.y)) == table["y"])[:400].mean() > 0.98
    np.testing.assert_array_equal(new.y[400:], problem.data.y[400:])


def test_classes_with_few_clean_rows_keep_their_label():
    table = world(300, seed=4)
    table.loc[:5, "y"] = "rare"
    flags = read_flags(table, flags_of(300, label_error=range(10)))
    new = relabel(make_problem(inspect_table(table, "y"), flags, task="auto", seed=0))
    np.testing.assert_array_equal(new.weight[:6], 1.0)
    assert "rare" in new.note


def test_new_targets_replace_wild_values_and_keep_plausible_ones():
    rng = np.random.default_rng(0)
    x = rng.normal(size=1_000)
    table = tree_table(inspect_table(pd.DataFrame({"x": x, "z": rng.normal(size=1_000), "y": 0}), "y"))
    y = 2 * x + 0.1 * rng.normal(size=1_000)
    given = y.copy()
    given[:100] += rng.choice((-1, 1), 100) * rng.uniform(5, 8, 100)
    new = new_targets(table, given, np.arange(200, 1_000), np.arange(200), seed=0)
    assert np.abs(new.label[:100] - y[:100]).mean() < 0.4
    assert (new.label[100:] == given[100:200]).mean() > 0.9


def test_regression_labels_are_repaired_as_whole_numbers():
    table = world(600, seed=6)
    clean = pd.Series(np.round(1_000 + 100 * table["a"] + np.random.default_rng(6).normal(size=600)).astype(int))
    table = table.assign(y=clean.where(clean.index >= 100, clean + 900))
    flags = read_flags(table, flags_of(600, label_error=range(100)))
    problem = make_problem(inspect_table(table, "y"), flags, task="auto", seed=0)
    new = label_column(problem, relabel(problem).y)
    assert new.dtype == table["y"].dtype
    assert np.median(np.abs(new - clean)[:100]) < 30
    assert (new == table["y"])[100:].all()


def test_probability_wrong_is_the_posterior_of_a_known_mixture():
    """Background Exp(1), wrong cells Exp(1) + 4, 30 % of them: the posterior is known in closed form."""
    rng = np.random.default_rng(0)
    unflagged, flagged = rng.exponential(size=4_000), rng.exponential(size=4_000)
    flagged[:1_200] += 4
    want = np.where(flagged < 4, 0.0, 0.3 * np.exp(4) / (0.3 * np.exp(4) + 0.7))
    got = probability_wrong(flagged, unflagged)
    assert np.abs(got - want).mean() < 0.05
    order = np.argsort(flagged)
    assert np.all(np.diff(got[order]) >= -1e-6)


def test_no_cell_is_wrong_where_flagged_rows_are_like_the_others():
    table = world(1_000, seed=7)
    flagged = np.random.default_rng(7).random(1_000) < 0.3
    cells = find_wrong_cells(table, tree_table(inspect_table(table, "y")), flagged, seed=0)
    assert sum(len(found.row) for found in cells) < 0.1 * 4 * flagged.sum()


def test_misspelt_values_become_what_was_meant():
    """Also where the row's other cells would have another value."""
    table = world(600, seed=3).assign(town=np.tile(["Köln", "Bremen", "Aachen"], 200))
    meant = table["town"].iloc[:30].copy()
    table.loc[:29, "town"] = meant.replace({"Köln": "Klön", "Bremen": "Bremn", "Aachen": "aachen"})
    found = find_wrong_cells(table, tree_table(inspect_table(table, "y")), np.arange(600) < 30, seed=0)
    (cells,) = [cells for cells in found if cells.column == "town"]
    assert len(cells.row) > 25
    assert (cells.value == meant.loc[cells.row]).all()


def test_cells_of_real_rows_are_found():
    """On Adult with injected errors: cells found against the corrupted_columns of the truth."""
    from demix_jax.corruption import inject_errors
    from demix_jax.data import adult_sample

    table, label = adult_sample()
    table = table.iloc[:2_500].reset_index(drop=True)
    made = inject_errors(table, label=label, label_errors=0, feature_errors=0.25, spurious=0, seed=0)
    flagged = made.truth["feature_error"].to_numpy() == 1
    cells = find_wrong_cells(made.table, tree_table(inspect_table(made.table, label)), flagged, seed=0)
    found = {(row, found.column) for found in cells for row in found.row}
    true = {(r, c) for r, names in enumerate(made.truth["corrupted_columns"]) if names for c in names.split(";")}
    assert len(found & true) / len(found) > 0.65
    assert len(found & true) / len(true) > 0.65
    before, after = [], []
    for column in cells:
        if pd.api.types.is_numeric_dtype(table[column.column]):
            actual = table[column.column].to_numpy(float)[column.row]
            spread = table[column.column].std()
            before.extend(np.abs(made.table[column.column].to_numpy(float)[column.row] - actual) / spread)
            after.extend(np.abs(column.value.astype(float) - actual) / spread)
    assert np.mean(after) < 0.25 * np.mean(before)


def test_skill_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    p, y = rng.random(60), rng.integers(0, 2, 60)
    pairs = [np.sign(a - b) for a in p[y == 1] for b in p[y == 0]]
    assert skill(np.stack([1 - p, p], axis=1), y, ClassTarget((0, 1))) == pytest.approx((np.mean(pairs) + 1) / 2)
    target = rng.normal(size=60)
    assert skill(np.full((60, 1), np.median(target)), target, RegressionTarget()) == pytest.approx(0)
    assert skill(target[:, None], target, RegressionTarget()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "decimals"), [([1, 2, 30], 0), ([0.5, 2, 1.2], 1), ([0.24, 0.5], 2), ([np.pi, np.e], None)]
)
def test_decimals_of(values, decimals):
    assert decimals_of(np.array(values, float)) == decimals


def test_has_few_values():
    assert has_few_values(np.repeat([0.0, 1.0, 2.0], 50))
    assert not has_few_values(np.repeat([0.5, 1.0], 50))
    assert not has_few_values(np.arange(100.0))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pd.Series([1, 2, 3], dtype="int16"), [70_000.0, 2.4]),
        (pd.Series([1, 2, None], dtype="Int64"), [5.0, 6.0]),
        (pd.Series([1.0, 2.0, 3.0], dtype="float32"), [0.5, 0.25]),
        (pd.Series(["a", "b", "c"], dtype="category"), ["c", "b"]),
        (pd.Series(["a", "b", "c"]), ["c", "z"]),
        (pd.Series(["1", "2", "3"]), [4.0, 5.5]),
        (pd.Series([True, False, True]), [False, True]),
        (pd.Series(pd.to_timedelta([1, 2, 3], unit="h")), [pd.Timedelta("5min"), pd.Timedelta("2D")]),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_with_cells_keeps_the_type(column, values):
    result = with_cells(column, np.array([0, 2]), values)
    assert result.dtype == column.dtype
    assert result.iloc[1] == column.iloc[1]
    expected = [32_767, 2] if str(column.dtype) == "int16" else values
    given = [float(v) if isinstance(e, float) else v for v, e in zip(result.iloc[[0, 2]], expected, strict=True)]
    assert given == expected


def test_durations_are_given_in_seconds_or_as_they_are():
    column = pd.Series(pd.to_timedelta([1, 2, 3], unit="h"))
    result = with_cells(column, np.array([0, 2]), [90.0, pd.Timedelta("1D")])
    assert result.dtype == column.dtype
    assert result.tolist() == [pd.Timedelta("90s"), pd.Timedelta("2h"), pd.Timedelta("1D")]


def test_clearly_better_needs_more_than_chance():
    base = np.array([0.7, 0.8, 0.75, 0.7])
    assert clearly_better(base + 0.02, base)
    assert not clearly_better(base, base)
    assert not clearly_better(base + np.array([0.1, -0.1, 0.05, -0.04]), base)


def test_trials_differ_by_their_repair_alone():
    rng = np.random.default_rng(0)
    x, fold = rng.normal(size=(90, 3)).astype(np.float32), np.arange(90) % 3
    y = (x[:, 0] > 0).astype(int)
    right, wrong = (lambda _, y=labels: Trial(x, y, np.ones(90)) for labels in (y, 1 - y))
    outputs = held_out_outputs([right, wrong, right], x, fold, target=ClassTarget((0, 1)), seed=0)
    np.testing.assert_allclose(outputs[2], outputs[0], rtol=1e-5)
    assert np.abs(outputs[1] - outputs[0]).mean() > 0.05
    assert np.abs(outputs[0, 1] - outputs[0, 0]).mean() > 0.01  # the two starts


def test_the_less_certain_a_label_the_less_its_row_weighs(dirty):
    _, table, _ = dirty
    flags = flags_of(900, label_error=[0])
    flags["p_label_error"] = 0.0
    flags.loc[:4, "p_label_error"] = [0.9, 0.45, 0.25, 0.6, np.nan]
    weight = repair(table, flags, label="y").table["sample_weight"]
    np.testing.assert_allclose(weight[1:5] / weight[5], [0.1, 0.5, 0.0, 1.0], atol=1e-9)
    for choice in ("drop", "keep"):
        assert len(np.unique(repair(table, flags, label="y", label_errors=choice).table["sample_weight"])) == 1


def acted_on(flags) -> dict[str, list[int]]:
    names = zip(ERROR_TYPES, (flags.label_error, flags.feature_error, flags.minority), strict=True)
    return {name: np.flatnonzero(rows).tolist() for name, rows in names}


def test_rows_less_likely_wrong_than_right_are_left(dirty):
    _, table, _ = dirty
    flags = flags_of(900, label_error=range(10))
    for name in ERROR_TYPES:
        flags[name] = flags["label_error"]
        flags[f"p_{name}"] = 0.0
        flags.loc[:4, f"p_{name}"] = [0.9, 0.5, 0.49, 0.3, np.nan]
    rows = read_flags(table, flags)
    assert acted_on(rows) == {name: [0, 1, 4] for name in ERROR_TYPES} and rows.left == dict.fromkeys(ERROR_TYPES, 7)
    everything = read_flags(table, flags, also="look")
    assert acted_on(everything) == {name: list(range(10)) for name in ERROR_TYPES} and not any(everything.left.values())
    result = repair(table, flags, label="y", feature_errors="keep", spurious="keep")
    assert result.table["y"].iloc[5:].equals(table["y"].iloc[5:]) and result.changes.counts["relabelled"] <= 3
    said = " ".join(result.changes.sentences)
    assert "worth a look, since it is less likely than not: label errors in 7 rows. To include it, say --also" in said
    assert "Left what is only" not in " ".join(repair(table, flags, label="y", also="look").changes.sentences)


def test_bands_decide_where_they_are_given(dirty):
    """Also after somebody has edited the flags: 0 spares a likely row, 1 without a band repairs an unflagged one."""
    _, table, _ = dirty
    flags = flags_of(900, label_error=range(6))
    for name in ERROR_TYPES:
        flags[name] = flags["label_error"]
        flags[f"p_{name}"] = [0.9, 0.3, 0.9, 0.45, 0.02, 0.02, *[0.02] * 894]
        flags[f"band_{name}"] = ["likely", "look", "likely", "look", "", np.nan, *[""] * 894]
        flags.loc[2, name] = 0
    rows = read_flags(table, flags)
    assert acted_on(rows) == {name: [0, 4, 5] for name in ERROR_TYPES} and rows.left == dict.fromkeys(ERROR_TYPES, 2)
    assert rows.p_minority[[0, 1, 4, 5, 6]].tolist() == [0.9, 0.3, 1.0, 1.0, 0.02], "a flag set by hand is certain"
    assert acted_on(read_flags(table, flags, also="look")) == {name: [0, 1, 3, 4, 5] for name in ERROR_TYPES}


def test_unknown_bands_and_choices_are_refused(dirty):
    _, table, _ = dirty
    flags = flags_of(900, label_error=[0]).assign(band_label_error="surely")
    with pytest.raises(InputError, match="band_label_error of the diagnosis has 'surely'; expected likely, look or"):
        repair(table, flags, label="y")
    with pytest.raises(InputError, match="also must be 'look' or None, got 'all'"):
        repair(table, flags, label="y", also="all")


def told(num_rows: int, mistakes: dict[int, tuple[str, str]]) -> pd.DataFrame:
    """A diagnosis with a feature error, its mistake and its suspect columns in some rows."""
    flags = pd.DataFrame(0, index=range(num_rows), columns=list(ERROR_TYPES))
    flags = flags.assign(suspect_columns="", mistake="")
    for row, (mistake, suspects) in mistakes.items():
        flags.loc[row, ["feature_error", "mistake", "suspect_columns"]] = [1, mistake, json.dumps(suspects.split(";"))]
    return flags


def test_known_mistakes_are_undone_exactly():
    table = pd.DataFrame({"a": np.arange(200), "größe": np.arange(200) / 4 + 0.25, "kind": ["x", "y"] * 100})
    spoiled = table.astype({"a": float})
    spoiled.loc[3, ["a", "größe"]] = spoiled.loc[3, ["größe", "a"]].to_numpy()
    spoiled.loc[7, "a"] *= -1
    flags = told(200, {3: ("exchanged", "größe;a;kind"), 7: ("times -1", "a")})
    mistakes = told_mistakes(flags, flags["feature_error"].to_numpy() == 1)
    undone, rows, _ = undo_mistakes(spoiled, mistakes)
    assert np.flatnonzero(rows).tolist() == [3, 7]
    pd.testing.assert_frame_equal(undone, table.astype({"a": float}))
    assert spoiled.loc[7, "a"] == -7, "what was given stays as it is"


def test_a_number_in_another_unit_is_divided_where_it_is_found_wrong():
    table = pd.DataFrame({"a": [1.0, 2000.0, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 4.0]})
    mistakes = told_mistakes(told(4, {1: ("times 1000", "a"), 2: ("times 10", "b")}), np.ones(4, bool))
    cells = WrongCells("a", np.array([1, 2]), np.ones(2), np.array([2.5, 3.5], object))
    assert in_old_unit(table, cells, mistakes).tolist() == [2.0, 3.5]
    undone, rows, _ = undo_mistakes(table, mistakes)
    assert undone is table and not rows.any()


def test_mistakes_that_cannot_be_undone_leave_the_row_to_imputation():
    table = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [4.0, 5.0, 6.0], "text": ["u", "v", "w"]})
    for mistake, suspects in (("exchanged", "a;b"), ("exchanged", "b;text"), ("exchanged", "b"), ("times 10", "gone")):
        flags = told(3, {1: (mistake, suspects)})
        undone, rows, _ = undo_mistakes(table, told_mistakes(flags, np.array([False, True, False])))
        assert not rows.any() and undone is table
    assert told_mistakes(flags.drop(columns="mistake"), np.ones(3, bool)) == {}
    assert told_mistakes(flags.assign(mistake=np.nan), np.ones(3, bool)) == {}, "as an empty column is read from a file"


def test_filled_cells_are_replaced_however_usual_they_look():
    table = world(1_500, seed=9)
    filled = table.copy()
    usual = table["kind"].mode()[0]
    rows = np.flatnonzero((table["kind"] != usual).to_numpy())[:60]
    filled.loc[rows, "kind"] = usual
    flags = told(1_500, {int(row): ("filled", "kind") for row in rows})
    cells = find_wrong_cells(
        filled,
        tree_table(inspect_table(filled, "y")),
        np.isin(np.arange(1_500), rows),
        known=known_cells(told_mistakes(flags, np.ones(1_500, bool)), filled, ("a", "b", "kind", "size")),
        seed=0,
    )
    (found,) = [found for found in cells if found.column == "kind"]
    assert set(found.row) == set(rows)
    assert (found.value == table["kind"].to_numpy()[found.row]).mean() > 0.9


def test_exchanged_texts_change_places_again():
    table = world(200, seed=9).assign(town=["Köln", "Bonn"] * 100)
    spoiled = table.astype({"town": object, "kind": object})
    spoiled.loc[:4, ["kind", "town"]] = spoiled.loc[:4, ["town", "kind"]].to_numpy()
    flags = told(200, {row: ("exchanged", "kind;town") for row in range(5)})
    restored, undone, _ = undo_mistakes(spoiled, told_mistakes(flags, np.ones(200, bool)))
    assert undone.sum() == 5
    pd.testing.assert_frame_equal(restored.astype(str), table.astype(str))
    strict = spoiled.astype({"town": pd.CategoricalDtype(["Köln", "Bonn", *table["kind"].unique()])})
    strict["kind"] = pd.Categorical(strict["kind"], categories=[c for c in strict["kind"].unique() if c != "Ulm"])
    again, _, _ = undo_mistakes(strict, told_mistakes(flags, np.ones(200, bool)))
    pd.testing.assert_frame_equal(again.astype(str), table.astype(str))
    mixed = told_mistakes(told(200, {0: ("exchanged", "kind;size"), 1: ("exchanged", "kind;gone")}), np.ones(200, bool))
    assert not undo_mistakes(spoiled, mixed).rows.any(), "a number and a text"


def test_numbers_with_stray_decimals_are_replaced_and_no_others_of_the_row():
    table = world(1_500, seed=9)
    stray = table.astype({"size": float})
    stray.loc[:19, "size"] += 0.123456
    mistakes = told_mistakes(
        told(1_500, {row: ("stray decimals", "size;a;kind") for row in range(20)}), np.ones(1_500, bool)
    )
    known = known_cells(mistakes, stray, ("a", "b", "kind", "size"))
    assert known[:20, 3].all() and known.sum() == 20


def test_the_repair_says_which_mistakes_were_undone():
    table = world(600, seed=4)
    spoiled = table.astype({"size": float})
    spoiled.loc[:9, "size"] *= -1
    flags = told(600, {row: ("times -1", "size") for row in range(10)})
    repaired = repair(spoiled, flags, label="y", spurious="keep", seed=0)
    changed = repaired.changes.cells
    if len(changed):  # the check on held-out rows may find that it does not help
        assert set(changed["action"]) == {"undo"} and repaired.changes.counts["undone_rows"] == 10
        assert "in 10 rows with feature errors" in " ".join(repaired.changes.sentences)
        pd.testing.assert_series_equal(repaired.table.loc[:, "size"], table.loc[:, "size"].astype(float))


def test_taking_rows_of_a_problem_keeps_their_mistakes():
    table = world(300, seed=2)
    flags = read_flags(table, told(300, {4: ("filled", "kind"), 9: ("times 10", "size")}))
    problem = make_problem(inspect_table(table, "y"), flags, task="auto", seed=0)
    taken = problem.take(np.array([9, 2, 4]))
    assert {row: mistake.mistake for row, mistake in taken.mistakes.items()} == {0: "times 10", 2: "filled"}
