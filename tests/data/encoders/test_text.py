"""Texts as TF-IDF of words and character n-grams, and as latent features, in any script."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.data import TableEncoder
from demix_jax.data.encoders.text import TextFeatures

SCRIPTS = [
    "Shugaban ƙasa ya isa Kano, ƙasa ta yi shiru", "Straße und STRASSE", "今天天气很好。", "тест — ТЕСТ, ещё раз",
    "نص عربي قصير", "नमस्ते दुनिया", "😀 😀 fine", "x_1 has 12,5 % \t\n  spaces ", "a", "", "   ", "\ud800 lone",
]  # fmt: skip


def topics(count, words=6):
    rng = np.random.default_rng(0)
    lists = [["engine", "wheel", "brake", "motor"], ["garden", "flower", "tree", "lawn"]]
    return [f"{' '.join(rng.choice(lists[i % 2], words))} {i}" for i in range(count)]


def test_terms_are_words_pairs_of_words_and_characters():
    """By hand: "ab cd" has two words and a pair; of characters " a", "ab", "b ", " ab", "ab ", " ab " and so on."""
    features = TextFeatures.fit(["ab cd", "ef"])
    words, characters = features.vectorizers
    assert set(words.vocabulary_) == {"ab", "cd", "ab cd", "ef"}
    assert {" a", "ab", "b ", " ab", "ab ", " ab "} <= set(
        characters.vocabulary_
    ) and "b c" not in characters.vocabulary_
    squares = np.square(features.terms(["ab cd", "ef", "…"]).toarray())
    np.testing.assert_allclose(squares[:, : len(words.vocabulary_)].sum(axis=1), [0.5, 0.5, 0], rtol=1e-5)
    np.testing.assert_allclose(squares[:, len(words.vocabulary_) :].sum(axis=1), [0.5, 0.5, 0], rtol=1e-5)


def test_terms_of_most_texts_or_of_a_single_one_do_not_count():
    words = TextFeatures.fit([f"every text has{i} {'some' if i % 3 == 0 else 'other'} words" for i in range(60)])
    assert set(words.vectorizers[0].vocabulary_) == {"some", "some words"}


def test_texts_of_any_script_have_finite_features():
    texts = [f"{text} {i}" for i, text in enumerate(SCRIPTS * 5)]
    features = TextFeatures.fit(texts)
    terms = features.terms([*SCRIPTS, "never seen ≠"])
    x = features.latent(terms)
    assert terms.dtype == x.dtype == np.float32 and len(x) == len(SCRIPTS) + 1
    assert np.isfinite(x).all() and np.abs(x).max() <= 3 and np.isfinite(terms.data).all()
    for first in (0, 2, 3, 4, 5, 6):
        assert terms[first].nnz > 3, SCRIPTS[first]


def test_similar_texts_have_similar_features():
    texts = topics(200)
    features = TextFeatures.fit(texts)
    x = features.latent(features.terms(texts))
    assert x.shape[1] == 16
    centre = np.stack([x[0::2].mean(axis=0), x[1::2].mean(axis=0)])
    nearest = ((x[:, None] - centre) ** 2).sum(axis=-1).argmin(axis=1)
    assert (nearest == np.arange(200) % 2).mean() > 0.97
    np.testing.assert_allclose(features.latent(features.terms(texts[3:4])), x[3:4], atol=1e-5)
    assert features.latent(features.terms([])).shape == (0, x.shape[1])
    again = TextFeatures.fit(texts)
    np.testing.assert_array_equal(again.latent(again.terms(texts)), x)


def test_long_texts_are_cut_and_components_grow_with_their_number():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice([f"w{i}" for i in range(500)], 30)) for _ in range(1_200)]
    features = TextFeatures.fit(texts)
    assert features.latent(features.terms(texts[:2])).shape == (2, 1_200 // 48)
    long = texts[0] + " " * features.cut
    cut, whole = features.terms([long + texts[1]]), features.terms([long])
    np.testing.assert_array_equal(cut.toarray(), whole.toarray())


@pytest.mark.parametrize("texts", [[], [""], ["same"], ["", " ", "…"]])
def test_few_or_empty_texts(texts):
    features = TextFeatures.fit(texts)
    assert np.isfinite(features.latent(features.terms([*texts, "new"]))).all()


def text_table():
    texts = topics(120)
    rng = np.random.default_rng(1)
    notes = [f"note {' '.join(rng.choice(['red', 'blue', 'green', 'grey'], 5))} {i}" for i in range(120)]
    frame = pd.DataFrame({"size": rng.normal(size=120), "title": texts, "note": notes, "y": np.arange(120) % 2})
    frame.loc[[3, 50], "title"] = None
    return frame


def test_a_dataset_holds_the_terms_of_all_text_columns():
    frame = text_table()
    encoder = TableEncoder.fit(frame, "y")
    data = encoder.transform(frame)
    names = [data.columns[q].name for q in data.term_columns]
    assert data.terms.shape == (120, len(names)) and set(names) == {"title", "note"}
    of_title = data.terms[:, np.array(names) == "title"]
    assert np.diff(of_title.indptr)[[3, 50]].tolist() == [0, 0], "missing texts have no terms"
    assert np.diff(of_title.indptr).min() == 0 and of_title[0].nnz > 0
    np.testing.assert_array_equal(encoder.transform(frame).terms.toarray(), data.terms.toarray())
    further = encoder.transform(frame.iloc[[7, 3]])
    np.testing.assert_array_equal(further.terms.toarray(), data.terms[[7, 3]].toarray())


def test_terms_follow_their_rows():
    frame = text_table()
    data = TableEncoder.fit(frame, "y").transform(frame)
    dense, chosen = data.terms.toarray(), np.arange(120) % 7 == 0
    for rows in (np.array([5, 0, 5]), chosen, slice(10)):
        np.testing.assert_array_equal(data.take(rows).terms.toarray(), dense[rows])
    both = data.take(chosen).joined(data.take(slice(3)))
    np.testing.assert_array_equal(both.terms.toarray(), np.concatenate([dense[chosen], dense[:3]]))
    assert both.terms.format == "csr" and both.terms.dtype == np.float32


def test_a_table_without_texts_has_no_terms():
    frame = pd.DataFrame({"size": np.random.default_rng(0).normal(size=40), "y": [0, 1] * 20})
    data = TableEncoder.fit(frame, "y").transform(frame)
    assert data.terms.shape == (40, 0) and data.term_columns.shape == (0,)
    assert data.joined(data.take(np.array([1, 2]))).terms.shape == (42, 0)
