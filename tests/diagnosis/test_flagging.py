"""Flags by hand, and labels that cannot be judged."""

from __future__ import annotations

import numpy as np

from demix_jax.common.bands import bands_of
from demix_jax.diagnosis.flagging import Flagging
from demix_jax.diagnosis.table import Tally

THRESHOLD = np.array([0.3, 0.4, 0.5])
P = np.array([[0.9, 0.4, 0.5], [0.3, 0.39, 0.49], [0.29, 0.6, 0.0], [1.0, 0.0, 0.8]], np.float32)
RESPELT = np.array([False, False, True, False])


def test_flags_by_hand():
    flags, p = Flagging.of(THRESHOLD, labels_judged=True)(P, RESPELT)
    assert flags.astype(int).tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 1]], "0.3 as f32 is above 0.3"
    assert p[2, 0] == 1 and np.array_equal(np.delete(p.ravel(), 6), np.delete(P.ravel(), 6))


def test_where_labels_cannot_be_judged_no_label_is_likely_wrong_but_by_its_spelling():
    judged, p_judged = Flagging.of(THRESHOLD, labels_judged=True)(P, RESPELT)
    flagging = Flagging.of(THRESHOLD, labels_judged=False)
    flags, p = flagging(P, RESPELT)
    np.testing.assert_array_equal(flags, judged)
    np.testing.assert_array_equal(p[:, 1:], p_judged[:, 1:])
    likely = bands_of(flags, p).likely
    assert likely[:, 0].tolist() == [False, False, True, False]
    assert np.argsort(p[[0, 1, 3], 0]).tolist() == [1, 0, 2], "their order stays"
    assert flagging.threshold.tolist() == [0.15, 0.4, 0.5]


def test_tally_counts_both_bands():
    flags = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    p = np.array([[0.9, 0.4, 0], [0.3, 0, 0.7], [0, 0.5, 0], [0, 0, 0.2], [0, 0, 0]])
    tally = Tally()
    tally.add(flags[:2], p[:2])
    tally.add(flags[2:], p[2:])
    got = tally.counted()
    assert (got.rows, got.wrong_rows, got.look_rows) == (5, 2, 1)
    assert list(got.likely.values()) == [1, 1, 1] and list(got.look.values()) == [1, 1, 1]
    assert list(got.rates.values()) == [0.2] * 3 and list(got.mean_probability.values()) == [0.9, 0.5, 0.7]
