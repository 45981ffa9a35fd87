"""Known mistakes: rows that were filled in, whose numbers were exchanged or have another unit, are told from others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from stand_ins import stand_in

from demix_jax.data import Dataset, TableEncoder
from demix_jax.data.decimals import stray_decimals, usual_decimals
from demix_jax.diagnosis.explanation import cell_doubt
from demix_jax.evidence.column_model import CellEvidence
from demix_jax.evidence.gather import gather_evidence, more_evidence
from demix_jax.evidence.mistakes.frequencies import NumberFrequencies
from demix_jax.evidence.mistakes.model import MISTAKES, Mistakes
from demix_jax.evidence.mistakes.posterior import Likelihood
from demix_jax.evidence.mistakes.scores import FACTORS
from demix_jax.evidence.row_evidence import RowEvidence

NUM_ROWS, NUM_EACH = 1_500, 90
MADE: tuple[str, ...] = MISTAKES[:4]  # copies have tests of their own


def make_table(seed: int, num_rows: int = NUM_ROWS) -> pd.DataFrame:
    """Numbers and categories that follow two hidden ones, with some missing values."""
    rng = np.random.default_rng(seed)
    size, kind = rng.normal(size=num_rows), rng.integers(0, 4, num_rows)
    noise = rng.normal(size=(num_rows, 3))
    table = pd.DataFrame(
        {
            "age": np.round(40 + 9 * size + 3 * noise[:, 0]).astype(int),
            "hours": np.round(22 + 4 * kind + noise[:, 1], 1),
            "Gehalt in €": np.round(np.exp(7 + 0.4 * size + 0.3 * kind + 0.1 * noise[:, 2]), 2),
            "job": np.array(["cook", "clerk", "nurse", "smith"])[kind],
            "town": np.array(["Köln", "Bonn", "Ulm"])[np.clip(np.round(size + 1), 0, 2).astype(int)],
            "team": np.array(list("abcd"))[(kind + (rng.random(num_rows) < 0.1)) % 4],
            "level": np.clip(np.round(2 * size + 4), 0, 8).astype(int),
        }
    )
    table["y"] = np.where(size + 0.4 * kind + 0.3 * rng.normal(size=num_rows) > 0.6, "oui", "non")
    return table


def spoil(table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The table with each mistake made in some rows, and which."""
    rng = np.random.default_rng(seed)
    rows = dict(zip(MADE, rng.permutation(len(table))[: 4 * NUM_EACH].reshape(4, -1), strict=True))
    spoiled = table.astype({"age": float, "level": float})
    usual = {name: table[name].mode()[0] for name in table.columns}
    for row in rows["filled"]:
        for name in rng.permutation(table.columns[:-1])[:4]:
            spoiled.loc[row, name] = usual[name]
    one = rows["exchanged"]
    spoiled.loc[one, ["age", "hours"]] = spoiled.loc[one, ["hours", "age"]].to_numpy()
    spoiled.loc[rows["rescaled"], "hours"] *= 1000
    stray = rows["stray decimals"]
    spoiled.loc[stray, "age"] += rng.normal(0, 2, len(stray))
    return spoiled, rows


def mistakes_of(table: pd.DataFrame) -> Mistakes:
    mistakes = gather_evidence(TableEncoder.fit(table, "y").transform(table), seed=0).mistakes
    assert mistakes is not None
    return mistakes


@pytest.fixture(scope="module")
def spoiled():
    table, rows = spoil(make_table(0), 1)
    dataset = TableEncoder.fit(table, "y").transform(table)
    return table, rows, dataset, gather_evidence(dataset, seed=0)


def test_each_mistake_is_told_from_right_rows_and_the_others(spoiled):
    _, rows, _, evidence = spoiled
    wrong = np.concatenate(list(rows.values()))
    right = np.setdiff1d(np.arange(NUM_ROWS), wrong)
    p = evidence.mistakes.probability
    assert p.shape == (NUM_ROWS, len(MISTAKES)) and p.dtype == np.float32 and (p >= 0).all() and (p <= 1).all()
    for m, name in enumerate(MADE):
        both = np.concatenate([rows[name], right])
        assert roc_auc_score(np.isin(both, rows[name]), p[both, m]) > 0.9, name
    flagged = evidence.mistakes.any > 0.5
    assert flagged[right].mean() < 0.01
    assert flagged[np.concatenate([rows["filled"], rows["exchanged"]])].mean() > 0.7
    assert flagged[rows["stray decimals"]].mean() > 0.9


def test_a_likely_mistake_is_named_with_the_cells_it_is_about(spoiled):
    _, rows, dataset, evidence = spoiled
    mistakes = evidence.mistakes
    p = mistakes.probability.max(axis=1)
    names, cells = mistakes.names(p), mistakes.cells(p, len(dataset.columns))
    exchanged, rescaled = (rows[name][names[rows[name]] != ""] for name in ("exchanged", "rescaled"))
    columns = [column.name for column in dataset.columns]
    pair = np.isin(columns, ["age", "hours"])
    told = names[exchanged] == "exchanged"
    assert told.mean() > 0.9 and (cells[exchanged][told] == pair).all(axis=1).mean() > 0.9
    times = names[rescaled] == "times 1000"
    assert times.mean() > 0.6 and (cells[rescaled][times] == np.isin(columns, ["hours"])).all()
    assert not cells[names == "filled"].any()
    stray = rows["stray decimals"]
    assert (names[stray] == "stray decimals").mean() > 0.9
    assert (cells[stray][names[stray] == "stray decimals"] == np.isin(columns, ["age"])).all()
    assert (mistakes.names(np.full(NUM_ROWS, np.inf)) == "").all(), "none explains half of that"


def test_a_clean_table_has_none():
    assert (mistakes_of(make_table(3)).any > 0.1).mean() < 0.005


def test_exchanged_texts_are_told_and_named():
    table = make_table(4)
    rows = np.random.default_rng(0).permutation(NUM_ROWS)[:NUM_EACH]
    table.loc[rows, ["job", "town"]] = table.loc[rows, ["town", "job"]].to_numpy()
    made = np.isin(np.arange(NUM_ROWS), rows)
    mistakes = mistakes_of(table)
    assert (mistakes.any[made] > 0.4).mean() > 0.95 and (mistakes.any[~made] > 0.2).mean() < 0.01
    assert (mistakes.names(mistakes.any)[made] == "exchanged").mean() > 0.95
    columns = TableEncoder.fit(table, "y").transform(table).columns
    pair = np.isin([column.name for column in columns], ["job", "town"])
    assert (mistakes.cells(mistakes.any, len(pair))[made] == pair).all(axis=1).mean() > 0.95


def test_texts_of_columns_that_share_them_are_not_taken_for_exchanged():
    rng = np.random.default_rng(1)
    answers = {f"q{i}": np.where(rng.random(NUM_ROWS) < share, "yes", "no") for i, share in enumerate((0.3, 0.5, 0.6))}
    rare = {"rarely": np.where(rng.random(NUM_ROWS) < 0.01, "yes", "no"), "mostly": np.full(NUM_ROWS, "yes")}
    table = make_table(6).assign(**answers, **rare)
    table.loc[:9, "mostly"] = "no"
    assert (mistakes_of(table).any > 0.2).mean() < 0.01


def test_what_no_score_can_tell_is_not_told():
    """Numbers that nothing else tells of, alike in all columns: exchanged ones look like any others."""
    rng = np.random.default_rng(0)
    rows, before, made = rng.normal(size=900), rng.normal(size=500), rng.normal(0.5, 1, size=500)
    assert Likelihood.fit(rows, before, made, (0.35, 0.5)).probability.max() == 0
    table = pd.DataFrame(rng.normal(10, 1, (800, 4)).round(2), columns=list("abcd")).assign(y=rng.integers(0, 2, 800))
    assert (mistakes_of(table).any > 0.2).mean() < 0.01


@pytest.mark.parametrize("num_categories", [1, 2])
def test_a_row_is_not_filled_since_its_only_category_is_the_commonest(num_categories):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(1_500, 4)), columns=list("abcd"))
    for name in ("city", "sort")[:num_categories]:
        table[name] = rng.choice(["x", "y", "z"], len(table))
    table["y"] = np.where(table["a"] + (table["city"] == "x") + rng.logistic(size=len(table)) > 0, "yes", "no")
    assert (mistakes_of(table).any > 0.2).mean() < 0.01


@pytest.mark.filterwarnings("error")
def test_further_rows_are_judged_like_the_tables_own(spoiled):
    _, _, dataset, evidence = spoiled
    some = np.arange(0, NUM_ROWS, 7)
    more = more_evidence(evidence, dataset.take(some), evidence.folds.fold[some]).mistakes
    assert more is not None
    for own, again in zip(evidence.mistakes, more, strict=True):
        np.testing.assert_allclose(again, own[some], atol=1e-5)
    joined = evidence.take(some[:5]).joined(evidence.take(some[5:]))
    np.testing.assert_array_equal(joined.mistakes.probability, evidence.mistakes.probability[some])


def test_equal_seeds_give_equal_mistakes_and_they_can_be_left_out(spoiled):
    _, _, dataset, evidence = spoiled
    again = gather_evidence(dataset, seed=0).mistakes
    assert again is not None
    np.testing.assert_array_equal(again.probability, evidence.mistakes.probability)
    without = gather_evidence(dataset, known_mistakes=False, seed=0)
    assert without.mistakes is None and more_evidence(without, dataset, without.folds.fold).mistakes is None


@pytest.mark.parametrize("num_rows", [30, 60])
def test_tables_of_few_rows_and_odd_columns(num_rows):
    table = make_table(5, num_rows).drop(columns=["age", "hours", "Gehalt in €", "level"])
    table.loc[::3, "town"] = None
    told = mistakes_of(table).probability
    assert told[:, 1:].max() == 0, "no numbers, nothing to exchange, rescale or misread"
    table["x"] = np.where(np.arange(num_rows) % 4 == 0, np.nan, np.arange(num_rows) * 1e300)
    table["zero"] = np.where(np.arange(num_rows) % 2 == 0, 0.0, -1e-320)
    assert np.isfinite(mistakes_of(table).probability).all()


def test_numbers_stored_as_categories_keep_their_values_and_codes():
    table = pd.DataFrame({"flag": [0, 1, 0, 0, 1, 7] * 20, "text": list("abcabc") * 20, "x": np.arange(120) * 0.5})
    table["y"] = [0, 1] * 60
    dataset = TableEncoder.fit(table, "y").transform(table)
    assert [column.kind for column in dataset.columns] == ["category", "category", "number"]
    np.testing.assert_array_equal(dataset.numbers[:, 0], table["flag"])
    of_flags, of_texts, of_x = dataset.codes_of_numbers
    assert of_flags is not None and of_texts is None and of_x is not None
    assert np.isnan(dataset.numbers[:, 1]).all()
    for q, codes_of in ((0, of_flags), (2, of_x)):
        np.testing.assert_array_equal(codes_of(dataset.numbers[:, q]), dataset.codes[:, q])
    unknown = of_flags(np.array([5.0, np.nan]))
    np.testing.assert_array_equal(unknown, [dataset.num_codes[0] - 2, dataset.num_codes[0] - 1])
    numbers = NumberFrequencies.fit(dataset)
    np.testing.assert_array_equal(numbers.columns, [0, 2])
    np.testing.assert_array_equal(numbers.many, [False, True])


def test_how_many_rows_made_a_mistake_is_found_from_those_made_on_purpose():
    rng = np.random.default_rng(0)
    levels = (0.35, 0.5, 0.65)
    made, right = rng.normal(3, 1, 500), rng.normal(-2, 1, 3_600)
    rows = np.concatenate([right, rng.normal(3, 1, 400)])
    before = rng.normal(-2, 1, 500)
    found = Likelihood.fit(rows, before, made, levels)
    p = found(rows)
    assert p.sum() == pytest.approx(400, rel=0.3)
    assert (np.diff(found(np.linspace(-5, 6, 50))) >= 0).all(), "a higher score is never less of a mistake"
    assert (p[3_600:] > 0.5).mean() > 0.9 and (p[:3_600] > 0.5).mean() < 0.01
    assert found(np.array([-100.0, 100.0])) == pytest.approx([p.min(), p.max()])
    assert Likelihood.fit(right, before, made, levels)(rows).max() == 0, "a table without it"
    one = np.append(right[:40], 5.0)
    assert Likelihood.fit(one, before, made, levels)(one).max() == 0, "one row is chance"


def test_cells_that_seem_filled_bear_each_other_out_and_those_of_a_mistake_come_first():
    nothing = np.zeros((4, 4), np.float32)
    filled = np.array([[1.2, 0.0, 1.4, 0.3], [1.2, 1.1, 1.4, 0.3], [0.9, 0.9, 0.9, 0.9], [1.2, 0, 0, 0]], np.float32)
    surprise = np.array([[0.0, 3.0, 0, 0], [0, 0, 4.0, 0.5], [0, 0, 0, 0], [0, 0, 0, 5.0]], np.float32)
    dataset = stand_in(Dataset, robust_z=nothing, misspelt=nothing, first_parts=np.arange(4))
    evidence = stand_in(RowEvidence, cells=CellEvidence(surprise, nothing, filled), mistakes=None)
    certain = np.ones((4, 3))
    doubt = cell_doubt(evidence, dataset, certain)
    np.testing.assert_allclose(doubt[[0, 2, 3]], surprise[[0, 2, 3]])
    np.testing.assert_allclose(doubt[1], [2.2, 2.1, 4.0, 0.5])
    p = np.array([[0.9, 0, 0, 0], [0, 0, 0, 0.9], [0.1, 0.8, 0, 0], [0, 0, 0.9, 0.1]], np.float32)
    pair, column, stray = np.array([[0, 1]] * 4), np.array([1] * 4), np.eye(4, dtype=bool)[[1, 3, 1, 1]]
    factor, original = np.full(4, np.flatnonzero(FACTORS == 0.1)[0]), np.full(4, -1)
    told = Mistakes(p, p.max(axis=1), pair, column, factor, stray, original)
    doubt = cell_doubt(stand_in(RowEvidence, cells=evidence.cells, mistakes=told), dataset, certain)
    np.testing.assert_allclose(doubt[0], [2.2, 3.0, 2.4, 0.0])
    np.testing.assert_allclose(doubt[1], [2.2, 2.1, 4.0, 5.0])
    np.testing.assert_allclose(doubt[2], [3.0, 3.0, 0.0, 0.0])
    np.testing.assert_allclose(doubt[3], [0.0, 6.0, 0.0, 5.0])
    assert told.names(certain[:, 1]).tolist() == ["filled", "stray decimals", "exchanged", "times 0.1"]


@pytest.mark.filterwarnings("error")
def test_a_column_has_usual_decimals_unless_its_numbers_may_have_any():
    rng = np.random.default_rng(0)
    whole = rng.integers(1, 90, 400).astype(float)
    whole[:60] += rng.normal(size=60)
    assert usual_decimals(whole) == 0
    stray = stray_decimals(whole, 0)
    assert stray[:60].mean() > 0.9 and not stray[60:].any()
    halves = np.where(np.arange(400) < 80, whole.round() + 0.5, whole.round())
    assert not stray_decimals(halves, usual_decimals(halves)).any(), "halves among whole numbers are not odd"
    prices = rng.uniform(1, 90, 400).round(2)
    assert usual_decimals(prices) == 2 and not stray_decimals(np.append(prices, 3.3333), 2)[:-1].any()
    some = np.array([3.31234, 3.3123, 3.3333333, np.nan, np.inf])
    assert stray_decimals(some, 2).tolist() == [True, False, False, False, False], "or thirds"
    assert not stray_decimals(np.array([1e300, -1e-300, 0.0]), 2).any()
    assert not stray_decimals(whole.round() + rng.integers(0, 12, 400) / 12, 0).any()
    assert usual_decimals(prices.astype(np.float32).astype(float)) == 2, "single precision"
    mostly_zero = np.where(rng.random(400) < 0.9, 0.0, rng.normal(size=400))
    for anything in (mostly_zero, rng.normal(size=400), whole[:30], np.full(100, 7.0), np.full(50, np.nan)):
        assert usual_decimals(anything) is None
