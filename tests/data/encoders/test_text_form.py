"""Measures of texts in several scripts, with damages that can be checked by eye, and how they are encoded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.data.encoders import text_measures
from demix_jax.data.encoders.characters import Characters, garbled
from demix_jax.data.encoders.columns import FreeTextEncoder
from demix_jax.data.encoders.text_measures import BEGINNINGS, ENDINGS, NUMBERS, SCRIPTS, UsualText
from demix_jax.data.encoding import TableEncoder
from demix_jax.data.kinds import levels

_NOUNS = "film story plot scene ending actor music camera".split()
_WORDS = "good dull bright slow warm weak fresh loud".split()


def english_texts(num: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    first, second = rng.choice(_NOUNS, (2, num))
    texts = zip(first, rng.choice(_WORDS, num), second, rng.choice(_WORDS, num), range(num), strict=True)
    return [f"The {a} was {b} but the {c} felt {d}. We saw it {i} times." for a, b, c, d, i in texts]


def usual_of(texts: list[str]) -> UsualText:
    return UsualText.fit(texts, np.ones(len(texts), np.int64))


def numbers_of(usual: UsualText, texts: list[str]) -> dict[str, np.ndarray]:
    return dict(zip(NUMBERS, usual.measure(texts).numbers.T, strict=True))


def test_words_sentences_and_scripts():
    texts = ["One two.  two ONE!", 'He said "no." Then (3.5) ok', "真的。很好！", "", "...", "one, TWO two one"]
    characters = Characters.of(texts)
    words, sentences, whole = characters.units()
    assert np.bincount(words.text, minlength=6).tolist() == [4, 7, 2, 0, 0, 4]  # "3.5" is two words
    assert words.hash[0] == words.hash[3] != words.hash[1] == words.hash[2]
    assert np.bincount(sentences.text, minlength=6).tolist() == [2, 2, 2, 0, 0, 1]
    assert sentences.size.tolist() == [6, 6, 8, 8, 2, 2, 12]
    assert sentences.hash[0] != sentences.hash[1]  # the order of words counts
    assert whole.text.tolist() == [0, 1, 2, 5] and whole.hash[0] == whole.hash[3]
    scripts = [SCRIPTS[s] for s in usual_of(texts).measure([*texts, "добрый", "مرحبا", "नमस्ते", "カメラ", "12"]).script]
    assert scripts == [
        "Latin", "Latin", "Chinese or Japanese", "no letters", "no letters", "Latin", "Cyrillic", "Arabic",
        "Devanagari", "Chinese or Japanese", "no letters",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["café", "don’t — „ja“", "«été»", "привет", "日本語", "שלום", "naïve “co-op”…", "€ 5"])
def test_utf8_read_as_windows_1252_is_garbled(text: str):
    assert not garbled(Characters.of([text])).any()
    lost = text.encode().decode("cp1252", "replace")
    assert garbled(Characters.of([lost])).any()
    assert garbled(Characters.of([text.encode().decode("latin-1")])).any()


def test_other_texts_are_not_garbled():
    texts = ["Die „Spaß“ GRÖẞE", "NÃO É NADA «à»", "tab\tand line\nend", "Ångström Ünter’s Été”", "😀 👍🏽 ½ ©®"]
    assert not garbled(Characters.of(texts)).any()
    broken = Characters.of(["a\x00b", "c\ufffd", "\ud83d alone"])
    assert np.bincount(broken.text[garbled(broken)]).tolist() == [1, 1, 1]


def test_each_damage_has_its_measure():
    texts = english_texts(300)
    usual = usual_of(texts)
    before = numbers_of(usual, texts)
    damaged = {
        "letter rarity": "Wir fanden den Schluss schwach, aber die Musik klang herrlich. Sehr schade.",
        "foreign letters": "The film was хорошо but the story felt хорошо. We saw it 3 times.",
        "garbled characters": "The filmâ€™s plot was good but thÃ© scene felt dull. We saw it 3 times.",
        "markup": "The film was <br/>good &amp; the story felt dull. We saw it 3 times.",
        "repeated words": "The film was good good good good but the plot felt dull. We saw it 3 times.",
        "capitals": "THE FILM WAS GOOD BUT THE PLOT FELT DULL. WE SAW IT 3 TIMES.",
        "punctuation": "The film!!!! was ### good ***** but !!! the plot ??? felt dull. We saw it 3 times.",
        "digits": "The film 1234567890 was good but the plot 98765 felt dull. We saw it 3 times.",
        "word length": "Thefilmwasgood butthe plotfeltdull. Wesaw it 3 times.",
        "length": " ".join(texts[:9]),
    }
    for name, text in damaged.items():
        assert numbers_of(usual, [text])[name][0] > before[name].max(), name
    assert not before["garbled characters"].any() and not before["markup"].any() and not before["repeated words"].any()
    np.testing.assert_array_equal(before["length"], [len(text) for text in texts])


def test_two_words_again_are_repeated():
    usual = usual_of(english_texts(50))
    texts = ["so good so good so good, he said it", "so good and so bad, as good as it is", "no no"]
    repeats = numbers_of(usual, texts)["repeated words"]
    np.testing.assert_allclose(repeats, [3 / (9 + 5), 0, 1 / (2 + 5)])  # five usual words are added to each text


def test_endings_and_beginnings():
    texts = english_texts(200)
    cut = ["The film was good but the plo", "The film was good but the plot", "The film was good,", "film (good)", "7"]
    measures = usual_of(texts).measure(cut)
    closing, word, unknown = ENDINGS
    assert [ENDINGS[e] for e in measures.ending] == [unknown, word, word, closing, word]
    assert [BEGINNINGS[b] for b in measures.beginning] == [BEGINNINGS[1]] * 3 + [BEGINNINGS[0], BEGINNINGS[1]]


def test_shared_sentences_and_copies_are_counted_beyond_chance():
    texts = english_texts(100)
    texts = [f"{text} Sent from my mobile device." if i < 8 else text for i, text in enumerate(texts)]
    column = pd.Series([*texts, "N/A or unknown!", "n/a OR unknown", *["N/A or unknown"] * 5])
    codes, names = levels(column)
    usual = UsualText.fit(names, np.bincount(codes))
    numbers = numbers_of(usual, [*names[:9], "N/A or unknown", "Never seen. Sent from my MOBILE device"])
    assert numbers["shared sentences"].tolist() == [5] * 8 + [0, 0, 5]  # 8 texts, 3 of them by chance
    assert numbers["copies"].tolist() == [0] * 9 + [4, 0]  # 7 rows


def test_measures_do_not_depend_on_the_other_texts_measured(monkeypatch: pytest.MonkeyPatch):
    texts = [*english_texts(40), "", "短い", "x" * 9_000, "a\ud800"]
    usual = usual_of(texts)
    all_at_once = usual.measure(texts)
    one_by_one = np.concatenate([usual.measure([text]).numbers for text in texts])
    np.testing.assert_array_equal(all_at_once.numbers, one_by_one)
    assert usual.measure([]).numbers.shape == (0, len(NUMBERS))
    monkeypatch.setattr(text_measures, "_AT_ONCE", 7)
    np.testing.assert_array_equal(usual_of(texts).measure(texts).numbers, all_at_once.numbers)


def test_a_rare_damage_stands_out_among_many_texts():
    texts = english_texts(2_000)
    for row in (5, 700, 1_900):
        texts[row] = texts[row].replace("was", "wÃ¤s")
    frame = pd.DataFrame({"review": texts, "y": [0, 1] * 1_000})
    encoder = TableEncoder.fit(frame, "y")
    data = encoder.transform(frame)
    assert {column.name for column in data.columns} == {"review"} and data.first_parts.tolist() == [0]
    (q,) = [q for q in range(len(data.columns)) if "garbled" in encoder.code_name(q, 0)]
    found = np.abs(data.robust_z[:, q]) > 6
    assert np.flatnonzero(found).tolist() == [5, 700, 1_900]
    assert encoder.code_name(q, data.codes[5, q]) in ("garbled characters of review extremely high",
                                                      "garbled characters of review = 1")  # fmt: skip
    assert encoder.code_name(0, 0) == f"length of review = {min(map(len, texts))}"


def test_missing_and_further_texts():
    column = pd.Series([*english_texts(60), None, "Ein Satz, den es hier sonst nicht gibt."])
    encoder = FreeTextEncoder.fit(column)
    encoded = encoder.encode(column)
    assert encoder.names("review")[0] == "length of review" and len(encoder.parts) == len(encoded) == len(NUMBERS) + 3
    for part, of_part in zip(encoder.parts, encoded, strict=True):
        assert part.code_name("review", of_part.codes[60]).endswith(" of review missing")
        assert of_part.robust_z[60] == 0 and np.isfinite(of_part.x).all() and np.abs(of_part.x).max() <= 3
        assert of_part.codes.max() < part.num_codes <= 32
    again = encoder.encode(column.iloc[[61, 60, 3]])
    for of_part, of_some in zip(encoded, again, strict=True):
        for name in ("codes", "robust_z"):
            np.testing.assert_array_equal(getattr(of_some, name), getattr(of_part, name)[[61, 60, 3]])
    for nothing in (pd.Series([None, None], dtype=object), pd.Series([], dtype=object)):
        assert all(len(of_part.codes) == len(nothing) for of_part in encoder.encode(nothing))


def test_texts_that_mostly_repeat_have_one_part():
    column = pd.Series(["the small house", "the old house on the hill", "a flat in the city"] * 30)
    encoder = FreeTextEncoder.fit(column)
    assert encoder.form is None and encoder.names("home") == ("home",) and len(encoder.encode(column)) == 1
