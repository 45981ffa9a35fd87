"""Errors in free text, and drifts over a stretch of rows, against their definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.corruption import FeatureErrors, inject_errors
from demix_jax.corruption.columns import is_identifier
from demix_jax.corruption.features import suitable_feature_kinds
from demix_jax.corruption.words import is_free_text, words_of


@pytest.fixture(scope="module")
def texts() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    words = np.array(["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "Straße"])
    drawn = [" ".join(rng.choice(words, rng.integers(5, 12))) + f" {i}" for i in range(400)]
    return pd.DataFrame({"text": drawn, "y": np.arange(400) % 2})


def changed_texts(frame: pd.DataFrame, kind: str) -> tuple[list[str], list[str]]:
    errors = FeatureErrors(0.5, (kind,))
    made = inject_errors(frame, label="y", label_errors=0, feature_errors=errors, spurious=0, seed=1)
    hit = made.truth["feature_error"].to_numpy(bool)
    np.testing.assert_array_equal(hit, made.table["text"] != frame["text"])
    assert hit.sum() == 200
    return frame["text"][hit].tolist(), made.table["text"][hit].tolist()


def test_texts_are_cut_short(texts):
    for old, new in zip(*changed_texts(texts, "cut"), strict=True):
        assert old.startswith(new) and 0 < len(new) <= 0.6 * len(old)


def test_mojibake_is_what_latin_1_makes_of_utf_8(texts):
    for old, new in zip(*changed_texts(texts, "mojibake"), strict=True):
        assert new == (old.replace("ß", "Ã\u0178") if "ß" in old else old.replace(" ", "Â\u00a0"))


def test_other_rows_texts_and_standard_sentences(texts):
    _, new = changed_texts(texts, "other_text")
    assert set(new) <= set(texts["text"])
    old, new = changed_texts(texts, "boilerplate")
    rest = {after.replace(before, "").strip() for before, after in zip(old, new, strict=True)}
    assert len(rest) == 1 and rest.pop().endswith(".")


def test_kinds_for_texts_suit_only_texts(texts):
    of_text = {"cut", "mojibake", "other_text", "boilerplate", "typo", "missing"}
    assert set(suitable_feature_kinds(texts, ["text"])) >= of_text
    towns = texts.assign(town=np.where(texts["y"], "Ulm", "Trier"), amount=np.arange(400.0) ** 2)
    assert not {"cut", "boilerplate", "other_text"} & set(suitable_feature_kinds(towns, ["town"]))
    assert "drift" in suitable_feature_kinds(towns, ["amount"])
    assert suitable_feature_kinds(towns.assign(same=1), ["same"]) == ()


def test_what_free_text_is(texts):
    assert is_free_text(texts["text"]) and not is_identifier(texts["text"])
    names = pd.Series([f"person {i}" for i in range(100)])
    assert not is_free_text(names) and is_identifier(names)
    assert is_free_text(pd.Series([f"今日は天気がいい{i}" for i in range(20)])) and words_of("今日A1") == [
        "今",
        "日",
        "a1",
    ]
    assert not is_free_text(pd.Series(np.arange(50.0))) and not is_free_text(pd.Series([{"a": 1}] * 20))


def test_a_drift_grows_over_consecutive_rows():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=500), "y": np.arange(500) % 2})
    errors = FeatureErrors(0.2, ("drift",))
    made = inject_errors(frame, label="y", label_errors=0, feature_errors=errors, spurious=0, seed=5)
    hit = made.truth["feature_error"].to_numpy(bool)
    assert hit.sum() == 100 and np.sum(np.diff(np.r_[hit[-1], hit].astype(int)) == 1) == 1, "one stretch, in a circle"
    offset = np.abs(made.table["a"].to_numpy() - frame["a"].to_numpy())[hit]
    assert (np.diff(np.sort(offset)) > 0).all() and offset.max() > 3 * offset.min()
    assert np.sum(np.diff(offset) < 0) <= 1, "it falls at most once, where the rows begin again"
