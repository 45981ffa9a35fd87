"""Wide tables that do not fit are refused in one sentence, before any work."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import demix_jax
from demix_jax.common.checks import InputError
from demix_jax.diagnosis.memory import diagnosis_bytes, refuse_too_wide


@pytest.mark.parametrize(
    ("num_rows", "num_columns"), [(200, 2_000), (200, 10_000), (1_000, 10_000), (200_000, 50), (1_000_000, 900)]
)
def test_tables_that_fit_and_long_ones_are_taken(num_rows, num_columns):
    refuse_too_wide(num_rows, num_columns)


def test_a_table_that_does_not_fit_is_refused_with_what_would_fit():
    with pytest.raises(InputError, match=r"100,000 columns and 200 rows.* 4 GB.*Leave out columns"):
        refuse_too_wide(200, 100_000)
    with pytest.raises(InputError, match="sample of the rows"):
        refuse_too_wide(5_000, 10_000)


def test_the_columns_that_the_sentence_allows_are_taken():
    with pytest.raises(InputError) as refused:
        refuse_too_wide(2_000, 50_000)
    allowed = int(str(refused.value).split("enough for about ")[1].split(" ")[0].replace(",", ""))
    refuse_too_wide(2_000, allowed)
    assert diagnosis_bytes(2_000, allowed + 1) > 4 << 30


def test_diagnose_refuses_it_before_it_looks_at_any_column(monkeypatch):
    monkeypatch.setattr("demix_jax.data.inspect_table", lambda *of: pytest.fail("it was inspected"))
    wide = pd.DataFrame(np.zeros((40, 60_000), np.int8)).rename(columns=str).assign(label=[0, 1] * 20)
    with pytest.raises(InputError, match="60,000 columns"):
        demix_jax.diagnose(wide, label="label")
