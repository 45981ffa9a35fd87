"""A table of far more columns than rows: the cost grows with the number of columns, not with its square."""

from __future__ import annotations

import resource
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

import demix_jax
from demix_jax.corruption import FeatureErrors, inject_errors


def wide(num_columns, num_informative=40):
    rng = np.random.default_rng(0)
    right, x = rng.integers(0, 2, 200), rng.normal(size=(200, num_columns))
    x[:, :num_informative] += 0.4 * (2 * right - 1)[:, None]
    wrong = rng.random(200) < 0.1
    frame = pd.DataFrame(x.round(4), columns=[f"c{q}" for q in range(num_columns)])
    return frame.assign(label=np.where(right ^ wrong, "yes", "no")), wrong


def seconds_to_exchange(frame):
    errors = FeatureErrors(rate=0.4, kinds=("swap_columns",), cell_share=0.3)
    before = time.process_time()
    injected = inject_errors(frame, label="label", label_errors=0.0, feature_errors=errors, spurious=0.0, seed=0)
    assert np.sum(injected.truth["feature_error"]) == 80
    return time.process_time() - before


@pytest.mark.slow
def test_exchanging_cells_costs_four_times_as_much_for_four_times_the_columns():
    seconds_to_exchange(wide(100)[0])
    few, many = (seconds_to_exchange(wide(num)[0]) for num in (400, 1_600))
    assert many < 8 * few, "with the square of the columns it would be 16 times"


@pytest.mark.slow
def test_two_thousand_columns_of_two_hundred_rows_take_a_minute():
    table, wrong = wide(2_000)
    before = time.process_time()
    diagnosis = demix_jax.diagnose(table, label="label")
    assert time.process_time() - before < 120, "about 35 s on two idle cores"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 3 << 20, "kB, all tests before it included"
    assert average_precision_score(wrong, diagnosis.table["p_label_error"]) > 0.5
