"""Copies: rows that hold what another row holds, but for a few cells; not rows that are alike by nature."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.data import Dataset, TableEncoder
from demix_jax.evidence.gather import gather_evidence, more_evidence
from demix_jax.evidence.mistakes.duplicates import Copies
from demix_jax.evidence.mistakes.model import MISTAKES, Mistakes

NUM_ROWS, NUM_COPIES = 1_500, 90


def patients(seed: int = 0) -> pd.DataFrame:
    """Two hidden numbers, which four measured ones, two texts, a date and the label follow."""
    rng = np.random.default_rng(seed)
    size, age = rng.normal(size=(2, NUM_ROWS))
    noise = 0.3 * rng.normal(size=(5, NUM_ROWS))
    frame = pd.DataFrame(
        {
            "weight": (70 + 12 * (size + noise[0])).round(1),
            "height": (170 + 10 * (size + noise[1])).round(1),
            "pressure": (120 + 15 * (age + noise[2])).round(1),
            "age": (50 + 14 * (age + noise[3])).round().astype(int),
            "ward": np.where(age + noise[4] > 0, "B", "A"),
            "stature": np.where(size > 0.7, "tall", np.where(size < -0.7, "short", "medium")),
            "admitted": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 300, NUM_ROWS), "D"),
        }
    )
    return frame.assign(label=np.where(size + age + 0.3 * rng.normal(size=NUM_ROWS) > 0, "ill", "well"))


def with_copies(frame: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Rows overwritten with those of others but for one or two cells and the label; which, and by whose."""
    rng = np.random.default_rng(1)
    rows, others = rng.permutation(len(frame))[: 2 * NUM_COPIES].reshape(2, -1)
    result = frame.copy()
    for row, other in zip(rows, others, strict=True):
        for name in rng.permutation(frame.columns[:-1])[int(rng.integers(1, 3)) :]:
            result.loc[row, name] = frame.loc[other, name]
    return result, rows, others


def mistakes_of(dataset: Dataset) -> Mistakes:
    mistakes = gather_evidence(dataset).mistakes
    assert mistakes is not None
    return mistakes


@pytest.fixture(scope="module")
def copied():
    frame, rows, others = with_copies(patients())
    dataset = TableEncoder.fit(frame, "label").transform(frame)
    return frame, rows, others, dataset, gather_evidence(dataset)


def test_copies_are_told_from_their_originals_and_from_other_rows(copied):
    _, rows, others, _, evidence = copied
    p = evidence.mistakes.probability[:, MISTAKES.index("copied")]
    rest = np.setdiff1d(np.arange(NUM_ROWS), np.concatenate([rows, others]))
    assert (p[rows] > 0.4).mean() > 0.5
    assert (p[others] > 0.4).mean() < 0.2
    assert (p[rest] > 0.1).mean() < 0.01
    likely = rows[p[rows] > 0.4]
    assert (evidence.mistakes.names(p)[likely] == "copied").mean() > 0.9
    original = dict(zip(rows, others, strict=True))
    assert np.mean([evidence.mistakes.original[row] == original[row] for row in likely]) > 0.95
    assert (evidence.mistakes.any >= p - 1e-6).all()


def test_a_clean_table_has_none():
    dataset = TableEncoder.fit(patients(), "label").transform(patients())
    mistakes = mistakes_of(dataset)
    assert mistakes.probability[:, MISTAKES.index("copied")].max() == 0
    assert (mistakes.original == -1).all()


def test_rows_that_are_alike_by_nature_are_not_copies():
    """Each patient is seen twice: all is the same but the pressure and the day."""
    once, rng = patients().iloc[: NUM_ROWS // 2], np.random.default_rng(2)
    again = once.assign(pressure=once["pressure"].sample(frac=1, random_state=0).to_numpy())
    again["admitted"] += pd.to_timedelta(rng.integers(1, 9, len(once)), "D")
    twice = pd.concat([once, again], ignore_index=True)
    dataset = TableEncoder.fit(twice, "label").transform(twice)
    p = mistakes_of(dataset).probability[:, MISTAKES.index("copied")]
    assert p[: len(once)].max() < 0.9
    exact = pd.concat([once, once], ignore_index=True)
    dataset = TableEncoder.fit(exact, "label").transform(exact)
    p = mistakes_of(dataset).probability[:, MISTAKES.index("copied")]
    assert p.max() == 0, "rows that repeat in full are no stale copies"


def test_rows_of_the_table_given_again_do_not_count_as_copies_of_themselves(copied):
    _, _, _, dataset, evidence = copied
    some = np.sort(np.random.default_rng(3).permutation(NUM_ROWS)[:300])
    again = more_evidence(evidence, dataset.take(some), evidence.folds.fold[some]).mistakes
    assert again is not None
    for own, of_more in zip(evidence.mistakes, again, strict=True):
        np.testing.assert_allclose(of_more, own[some], rtol=1e-4, atol=1e-5)


def test_exact_copies_hide_no_stale_one():
    frame, rows, others = with_copies(patients())
    thrice = pd.concat([frame] * 3, ignore_index=True)
    dataset = TableEncoder.fit(thrice, "label").transform(thrice)
    doubt = np.zeros(len(thrice), np.float32)
    doubt[np.concatenate([rows + k * NUM_ROWS for k in range(3)])] = 5.0
    clear = doubt == 0
    right = np.flatnonzero(clear)[::9]
    model = Copies.fit(dataset, doubt, clear, right, np.random.default_rng(0))
    p, original = model.probability(dataset, doubt, np.arange(len(thrice)))
    assert (p[rows] > 0.4).mean() > 0.5
    likely = rows[p[rows] > 0.4]
    assert (
        np.mean([original[row] % NUM_ROWS == other for row, other in zip(rows, others, strict=True) if row in likely])
        > 0.95
    )
    rest = np.setdiff1d(np.arange(NUM_ROWS), np.concatenate([rows, others]))
    assert (p[rest] > 0.1).mean() < 0.01
