"""Bands by hand."""

from __future__ import annotations

import numpy as np

from demix_jax.common.bands import BAND_COLUMNS, LIKELY, bands_of


def test_bands_by_hand():
    flags = np.array([[True, True, False], [True, False, True]])
    p = np.array([[0.5, np.nextafter(np.float32(0.5), np.float32(0)), 0.9], [np.nan, 0.0, 0.2]], np.float32)
    likely, look = bands_of(flags, p)
    assert likely.tolist() == [[True, False, False], [True, False, False]]
    assert look.tolist() == [[False, True, False], [False, False, True]]
    assert bands_of(flags, p).named().tolist() == [["likely", "look", ""], ["likely", "", "look"]]


def test_names_and_the_one_limit():
    assert LIKELY == 0.5
    assert BAND_COLUMNS == ("band_label_error", "band_feature_error", "band_spurious_correlation")
