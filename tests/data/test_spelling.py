"""Misspelt texts: what counts as a slip, and how surely it is one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.data.encoding import TableEncoder
from demix_jax.data.spelling import Spelling, is_misspelling


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("manaegment", "management"),
        ("Privvate", "Private"),
        ("Pivate", "Private"),
        ("Prxvate", "Private"),
        ("manage", "management"),
        ("mALE", "Male"),
        ("New  York", "NewYork"),
        ("noo", "no"),
        ("on", "no"),
        ("Köl", "Köln"),
        ("zone a1r", "zone ar1"),
    ],
)
def test_slips(text, value):
    assert is_misspelling(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Male", "Male"),
        ("", "no"),
        ("male", "female"),
        ("1st", "2nd"),
        ("zone 1", "zone 12"),
        ("zone 12", "zone 21"),
        ("10th", "11th"),
        ("F", "M"),
        ("ye", "yes"),
        ("m", "management"),
        ("east", "west"),
    ],
)
def test_other_values(text, value):
    assert not is_misspelling(text, value)


def test_only_a_much_commoner_value_is_what_was_meant():
    names = ["Private", "Pirvate", "State", "Sate", "Other"]
    spelling = Spelling.fit(np.repeat(np.arange(5), [500, 2, 30, 20, 40]), names)
    odds = spelling.misspelt([*names, "Othre"])
    np.testing.assert_allclose(odds[1], np.log(501 / 3), rtol=1e-6)
    np.testing.assert_allclose(odds[5], np.log(41), rtol=1e-6, err_msg="never seen")
    np.testing.assert_array_equal(odds[[0, 2, 3, 4]], 0, err_msg="Sate is nearly as common as State")


def test_misspelt_cells_of_a_table():
    job = np.repeat(["teacher", "farmer", "clerk"], [60, 50, 40]).astype(object)
    job[[3, 70]] = ["techer", "famrer"]
    frame = pd.DataFrame({"job": job, "age": np.arange(150.0), "y": np.tile(["a", "b"], 75)})
    found = TableEncoder.fit(frame, "y").transform(frame)
    np.testing.assert_array_equal(np.argwhere(found.misspelt > 0), [[3, 0], [70, 0]])
    np.testing.assert_array_equal(found.take(slice(50, 80)).misspelt, found.misspelt[50:80])
