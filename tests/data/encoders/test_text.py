"""Texts as TF-IDF of words and character n-grams, and as latent features, in any script."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from demix_jax.common.sparse import Sparse
from demix_jax.data import TableEncoder
from demix_jax.data.encoders.ngrams import NUM_BUCKETS, Vocabulary
from demix_jax.data.encoders.text import TextFeatures

SCRIPTS = [
    "Shugaban ƙasa ya isa Kano, ƙasa ta yi shiru", "Straße und STRASSE", "今天天气很好。", "тест — ТЕСТ, ещё раз",
    "نص عربي قصير", "नमस्ते दुनिया", "😀 😀 fine", "x_1 has 12,5 % \t\n  spaces ", "a", "", "   ", "\ud800 lone",
]  # fmt: skip


def counted(texts):
    """Counts of words and of characters, without any limit on the terms."""
    vocabulary = Vocabulary.fit(texts, least=1, largest_share=1.0, most=NUM_BUCKETS)
    counts = vocabulary.counts(texts)
    return counts[:, : vocabulary.num_words], counts[:, vocabulary.num_words :]


def topics(count, words=6):
    rng = np.random.default_rng(0)
    lists = [["engine", "wheel", "brake", "motor"], ["garden", "flower", "tree", "lawn"]]
    return [f"{' '.join(rng.choice(lists[i % 2], words))} {i}" for i in range(count)]


def test_character_ngrams_are_those_of_scikit_learn():
    """By number per text and in all. Of some 300 n-grams, two may share one of 500,000 buckets."""
    characters = counted(SCRIPTS)[1]
    expected: Sparse = CountVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(SCRIPTS)
    assert expected.shape[1] - 2 <= characters.shape[1] <= expected.shape[1]
    np.testing.assert_array_equal(characters.sum(axis=1), expected.sum(axis=1))
    np.testing.assert_array_equal(np.diff(characters.indptr), np.diff(expected.indptr))


def test_words_are_letters_marks_and_digits_with_their_pairs():
    """By hand: "ab, cd ab" has ab, cd, ab; (ab, cd), (cd, ab). Marks of Hindi belong to their word."""
    words = counted(["ab, cd ab", "AB", "नमस्ते दुनिया", "", "…", "cd", "ab"])[0].toarray()
    assert words.sum(axis=1).tolist() == [5, 1, 3, 0, 0, 1, 1]
    np.testing.assert_array_equal(words[1], words[6])
    assert sorted(words[0][words[0] > 0].tolist()) == [1, 1, 1, 2] and words.shape[1] == 7
    assert not (words[0] * words[2]).any()


def test_no_pair_or_ngram_goes_over_the_end_of_a_text():
    alone = [counted([text])[half].sum() for half in (0, 1) for text in ("one two", "three", "fo ur")]
    together = [row.sum() for half in counted(["one two", "three", "fo ur"]) for row in half]
    assert alone == together


def test_terms_are_chosen_by_the_number_of_texts_that_hold_them():
    texts = ["common rare", "common other", "common twice", "common twice", "twice twice"]
    vocabulary = Vocabulary.fit(texts, least=2, largest_share=0.7, most=100)
    assert vocabulary.num_words == 2, "twice and (common, twice); common is in 4 of 5 texts"
    assert sorted(vocabulary.share[:2].tolist()) == [0.4, 0.6]
    assert Vocabulary.fit(texts, least=2, largest_share=1.0, most=1).num_words == 1


def test_tf_idf_equals_that_of_scikit_learn():
    texts = topics(60)
    features = TextFeatures.fit(texts)
    terms = features.terms(texts)
    options = {"min_df": 2, "max_df": 0.5, "sublinear_tf": True}
    for half, analyzer in ((terms[:, features.vocabulary.num_words :], "char_wb"),):
        expected = TfidfVectorizer(analyzer=analyzer, ngram_range=(2, 4), **options).fit_transform(texts)
        assert half.shape == expected.shape
        np.testing.assert_allclose((half @ half.T).toarray() * 2, (expected @ expected.T).toarray(), atol=1e-5)
    np.testing.assert_allclose(np.asarray(terms.multiply(terms).sum(axis=1)).ravel(), 1.0, rtol=1e-5)


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
