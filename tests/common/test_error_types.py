"""The records of the error types and the names derived from them."""

from __future__ import annotations

import dataclasses

import pytest

import demix_jax
from demix_jax.common import error_types as e


def test_public_names_keep_their_order():
    assert demix_jax.ERROR_TYPES is e.ERROR_TYPES
    assert e.ERROR_TYPES == ("label_error", "feature_error", "spurious_correlation")


def test_a_column_is_the_position_of_the_name():
    assert [error_type.column for error_type in e.ALL_TYPES] == [0, 1, 2]
    assert [e.ERROR_TYPES[error_type.column] for error_type in e.ALL_TYPES] == [t.name for t in e.ALL_TYPES]


def test_errors_that_can_be_injected_without_changing_other_rows_are_probed():
    assert e.PROBED_TYPES == (e.LABEL_ERROR, e.FEATURE_ERROR)


def test_records_are_frozen():
    for error_type in e.ALL_TYPES:
        with pytest.raises(dataclasses.FrozenInstanceError):
            error_type.probed = False  # pyright: ignore[reportAttributeAccessIssue]
