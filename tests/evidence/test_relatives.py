"""Related columns are found, and the codes of a category get the order that the other columns suggest."""

from __future__ import annotations

import numpy as np

from demix_jax.evidence.relatives import code_places, most_related, standard_scores


def test_the_partner_of_each_column_is_found_among_many():
    rng = np.random.default_rng(0)
    half = rng.integers(0, 8, (300, 400))
    codes = np.concatenate([half, 7 - half], axis=1)  # column q + 400 falls as column q rises
    related, is_close = most_related(codes, np.full(800, 9), 3)
    assert related.shape == (800, 3)
    assert all((q + 400) % 800 in of_column for q, of_column in enumerate(related.tolist()))
    assert 800 <= is_close.sum() < 880, "the partners, and few by chance"
    assert not any(q in of_column for q, of_column in enumerate(related.tolist()))


def test_few_columns_have_all_others_as_relatives():
    codes = np.random.default_rng(0).integers(0, 3, (50, 4))
    assert most_related(codes, np.full(4, 4), 12)[0].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_scores_are_centred_and_missing_cells_are_zero():
    codes = np.array([[0, 2], [1, 2], [2, 2], [3, 2]])
    scores = standard_scores(codes, np.array([4, 3]))  # the last codes, 3 and 2, mean missing
    np.testing.assert_allclose(scores[:, 0], [-(0.5**0.5), 0, 0.5**0.5, 0], atol=1e-6)
    assert not scores[:, 1].any()


def test_extremely_low_comes_first_and_missing_last():
    codes = np.zeros((5, 2), np.int32)
    places = code_places(
        codes, np.array([6, 4]), np.array([True, True])
    )  # three ranges and one, then low, high, missing
    assert places.tolist() == [[1, 2, 3, 0, 4, 5], [1, 0, 2, 3, 4, 5]]


def test_categories_are_ordered_by_what_the_other_columns_say():
    rng = np.random.default_rng(1)
    rank = rng.integers(0, 5, 400)
    name = np.array([3, 0, 4, 1, 2])[rank]  # the code of each rank says nothing of the order
    others = np.clip(rank[:, None] * 2 + rng.integers(-2, 3, (400, 6)), 0, 9)
    codes = np.column_stack([name, others])
    places = code_places(codes, np.array([6, *[13] * 6]), np.array([False, *[True] * 6]))[0]
    order = places[[3, 0, 4, 1, 2]].tolist()
    assert order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0])
    assert places[5] == 5
