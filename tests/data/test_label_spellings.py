"""Which classes are one class, and which are not."""

import pandas as pd
import pytest

from demix_jax.data.label_spellings import label_spellings, spelling_note


def labels(counts: dict[str, int]) -> pd.Series:
    return pd.Series([text for text, count in counts.items() for _ in range(count)])


ONE_CLASS = [
    ({"yes": 90, "YES": 3, "Yes": 2, "no": 80}, {"YES": "yes", "Yes": "yes"}),
    ({"yes": 90, " yes": 3, "no": 80, "no ": 2}, {" yes": "yes", "no ": "no"}),
    ({"yes": 90, "yes.": 3, "no": 80, "'no'": 1}, {"yes.": "yes", "'no'": "no"}),
    ({"<=50K": 700, ">50K": 200, "<=50K.": 50, ">50K.": 20}, {"<=50K.": "<=50K", ">50K.": ">50K"}),
    ({"1": 50, "1.0": 20, "2": 50, "+2": 1}, {"1.0": "1", "+2": "2"}),
    ({"yes": 450, "y": 9, "no": 400, "n": 8}, {"y": "yes", "n": "no"}),
    ({"Male": 400, "Female": 390, "M": 4, "f": 3}, {"M": "Male", "f": "Female"}),
    ({"positive": 300, "negative": 400, "pos": 4, "NEG": 3}, {"pos": "positive", "NEG": "negative"}),
    ({"positive": 300, "negative": 400, "neg.": 3}, {"neg.": "negative"}),
    ({"not spam": 90, "not  spam": 2, "Not-Spam": 3, "spam": 80}, {"not  spam": "not spam", "Not-Spam": "not spam"}),
    ({"U.S.": 4, "US": 100, "UK": 90}, {"U.S.": "US"}),
    ({"ｙｅｓ": 3, "yes": 100, "no": 90}, {"ｙｅｓ": "yes"}),
    ({"Yes": 500, "yes": 480, "no": 400}, {"yes": "Yes"}),
    ({"m": 80, "M": 3, "f": 90}, {"M": "m"}),
    ({"setosa": 300, "setossa": 1, "virginica": 300}, {"setossa": "setosa"}),
    ({"yes": 900, "Y": 3, "Y.": 2, "no": 800}, {"Y": "yes", "Y.": "yes"}),
]
APART = [
    {"A": 60, "A+": 50, "A-": 40, "A*": 3},
    {"C": 3, "C++": 400, "C#": 30},
    {"<=50K": 700, ">50K": 200},
    {"1st": 100, "2nd": 50, "3rd": 1},
    {"not spam": 400, "spam": 3},
    {"m": 50, "M": 45},
    {"1": 50, "2": 50, "-1": 1, "10": 2, "1.5": 1},
    {"01": 50, "1": 3},
    {"cat": 900, "cut": 1, "cats": 1},
    {"class1": 900, "class2": 1},
    {"cargo": 900, "car": 2},
    {"none": 900, "no": 2},
    {"AB": 500, "A": 3, "O": 4, "B": 40},
    {"ii": 300, "i": 3},
    {"typical": 900, "atypical": 1},
    {"18-25": 100, "1825": 3},
    {"v1.2": 100, "v12": 4},
    {"café": 100, "cafe": 3},
    {"positive": 300, "negative": 400, "p": 100, "n": 90},
]


@pytest.mark.parametrize(("counts", "want"), ONE_CLASS, ids=lambda value: str(list(value)[:2]))
def test_one_class(counts, want):
    assert label_spellings(labels(counts)) == want


@pytest.mark.parametrize("counts", APART, ids=lambda value: str(list(value)[:2]))
def test_classes_apart(counts):
    assert label_spellings(labels(counts)) == {}


@pytest.mark.parametrize(
    "target", [pd.Series([1, 1.0, 2]), pd.Series([True, False]), pd.Series([3, 4], dtype="category")]
)
def test_only_texts_are_compared(target):
    assert label_spellings(target) == {}


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_neither_order_nor_storage_matters(dtype):
    target = labels(ONE_CLASS[0][0] | {"n": 2, "y": 2, "unsure": 1}).astype(dtype)
    found = label_spellings(target)
    assert found == {"YES": "yes", "Yes": "yes", "n": "no", "y": "yes"}
    assert label_spellings(target.iloc[::-1]) == found


def test_the_note_counts_rows():
    target = labels({"yes": 90, "YES": 3, "y": 2, "no": 80, "No": 1})
    assert spelling_note(target, label_spellings(target)) == (
        "The label is spelled in several ways: 'no' also as 'No' (1 row); 'yes' also as 'YES', 'y' (5 rows). These "
        "rows are proposed as label errors, with the commonest spelling as the suggestion."
    )
    assert spelling_note(target, {}) is None
