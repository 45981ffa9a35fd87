"""Error injection into vectors and sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.corruption import FEATURE_KINDS, FeatureErrors, inject_errors
from demix_jax.corruption.vectors import VECTOR_KINDS, suitable_vector_kinds
from demix_jax.data.kinds import column_of
from demix_jax.data.lists import as_sets, as_vectors


def table(n=200):
    rng = np.random.default_rng(0)
    vectors = [None if i % 20 == 0 else v for i, v in enumerate(rng.normal(size=(n, 6)).astype(np.float32))]
    tags = [sorted(rng.choice(list("abcde"), 2)) for _ in range(n)]
    return pd.DataFrame({"embedding": vectors, "tags": tags, "label": rng.choice(["x", "y"], n)})


@pytest.mark.parametrize("kind", VECTOR_KINDS)
def test_the_truth_names_exactly_the_vectors_that_changed(kind):
    frame = table()
    errors = FeatureErrors(rate=0.3, kinds=(kind,), columns=("embedding",), cell_share=1.0)
    result = inject_errors(frame, label="label", label_errors=0.0, feature_errors=errors, spurious=0.0, seed=1)
    before, after = as_vectors(column_of(frame, "embedding")), as_vectors(column_of(result.table, "embedding"), 6)
    changed = ~((before == after) | (np.isnan(before) & np.isnan(after))).all(axis=1)
    np.testing.assert_array_equal(changed, result.truth["feature_error"] == 1)
    assert changed.sum() == 60
    if kind == "constant":
        assert (after[changed] == 0).all()
    if kind == "missing":
        assert all(cell is None for cell in column_of(result.table, "embedding").to_numpy(dtype=object)[changed])


def test_vectors_that_look_right_are_made_only_if_asked_for():
    assert suitable_vector_kinds(FEATURE_KINDS) == ["scale", "noise", "constant", "missing"]
    assert suitable_vector_kinds(("permute", "typo", "stale")) == ["permute", "stale"]


def test_sets_change_like_categories():
    frame = table()
    errors = FeatureErrors(rate=0.3, kinds=FEATURE_KINDS, columns=("tags",), cell_share=1.0)
    result = inject_errors(frame, label="label", label_errors=0.2, feature_errors=errors, spurious=0.0, seed=1)
    changed = np.array(
        [
            one != other
            for one, other in zip(
                as_sets(column_of(frame, "tags")), as_sets(column_of(result.table, "tags")), strict=True
            )
        ]
    )
    np.testing.assert_array_equal(changed, result.truth["feature_error"] == 1)


def test_no_shortcut_is_made_of_lists():
    frame = table().assign(size=np.arange(200) % 9)
    result = inject_errors(frame, label="label", label_errors=0.1, feature_errors=0.1, spurious=0.1, seed=2)
    assert result.shortcut is not None and "size" in result.shortcut.text
