"""A table as arrays: against scikit-learn, hand-made codes and values that can be checked by eye."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import QuantileTransformer

from demix_jax.common.checks import InputError
from demix_jax.common.target import ClassTarget
from demix_jax.data.encoders.bins import Bins, QuantileNormal, number_text
from demix_jax.data.encoding import Dataset, TableEncoder
from demix_jax.data.named import adult_sample


def messy_table(n=300, seed=0):
    """Every kind of column, missing values, names and values that are not ASCII, and a class of one row."""
    rng = np.random.default_rng(seed)
    words = ["alpha", "beta", "gamma", "delta", "Straße", "東京", "naïve", "eins", "zwei", "drei"]
    frame = pd.DataFrame(
        {
            "größe": np.where(rng.random(n) < 0.1, np.nan, rng.normal(170, 10, n)),
            "Int64": pd.array([*rng.integers(0, 500, n - 1), None], dtype="Int64"),
            "zeros": np.zeros(n, dtype=int),
            "mostly zero": np.where(rng.random(n) < 0.95, 0.0, rng.exponential(100, n)),
            "code": rng.integers(1, 5, n),
            "flag": rng.random(n) < 0.5,
            "maybe": pd.array(rng.choice(np.array([True, False, None]), n), dtype="boolean"),
            "cat": pd.Categorical(rng.choice(["x", "y", "z"], n)),
            "string": pd.Series(rng.choice(np.array(["Köln", "北京", "?", None], dtype=object), n), dtype="string"),
            "mixed": rng.choice(np.array([1, 2, "a", "b", None, 2.5], dtype=object), n),
            "wide": [f"town {i}" for i in rng.integers(0, 50, n)],
            "when": pd.date_range("2021-01-01", periods=n, freq="7h").strftime("%d/%m/%Y %H:%M"),
            "stamp": pd.date_range("2021-01-01", periods=n, freq="31h").where(rng.random(n) < 0.9),
            "review": [" ".join(rng.choice(words, 9)) for _ in range(n)],
            "row id": np.arange(n) + 1000,
            7: rng.integers(0, 100, n),
        }
    )
    frame["label"] = ["rare", *rng.choice(["good", "bad"], n - 1)]
    return frame


@pytest.fixture(scope="module")
def messy():
    frame = messy_table()
    encoder = TableEncoder.fit(frame, "label")
    return frame, encoder, encoder.transform(frame)


def index_of(dataset: Dataset, name: str) -> int:
    return [c.name for c in dataset.columns].index(name)


def block(dataset: Dataset, name: str) -> np.ndarray:
    start, stop = dataset.groups[index_of(dataset, name)]
    return dataset.x[:, start:stop]


def test_shapes_types_and_ranges(messy):
    frame, encoder, data = messy
    n, q = len(frame), len(data.columns)
    assert data.x.dtype == np.float32 and data.codes.dtype == np.int32 and data.robust_z.dtype == np.float32
    assert data.y.dtype == np.int32
    assert data.x.shape[0] == len(data) == n and data.codes.shape == data.robust_z.shape == (n, q)
    assert np.isfinite(data.x).all() and np.abs(data.x).max() <= 3 and np.isfinite(data.robust_z).all()
    assert (data.codes >= 0).all() and (data.codes < np.array(data.num_codes)).all() and max(data.num_codes) <= 32
    assert (data.x.min(axis=0) < data.x.max(axis=0)).all()
    stops = [stop for _, stop in data.groups]
    assert [start for start, _ in data.groups] == [0, *stops[:-1]] and stops[-1] == data.x.shape[1]
    widest = [129 if column.kind == "text" else 32 for column in data.columns]
    assert all(1 <= stop - start <= most for (start, stop), most in zip(data.groups, widest, strict=True))
    assert [c.name for c in encoder.columns] == [str(c) for c in frame.columns if c != "label"]


def test_kinds_are_as_meant(messy):
    kinds = {c.name: c.kind for c in messy[1].columns}
    assert kinds == {
        "größe": "number", "Int64": "number", "zeros": "constant", "mostly zero": "number", "code": "category",
        "flag": "category", "maybe": "category", "cat": "category", "string": "category", "mixed": "category",
        "wide": "category", "when": "date", "stamp": "date", "review": "text", "row id": "identifier", "7": "number",
    }  # fmt: skip


def test_labels_come_back(messy):
    frame, encoder, data = messy
    assert data.target == ClassTarget(("bad", "good", "rare")) and data.num_classes == 3
    assert encoder.target.decode(data.y) == frame["label"].tolist()


@pytest.mark.parametrize(
    "target",
    [
        pd.Series([True, False] * 30),
        pd.Series([3, 1, 2] * 20),
        pd.Series([0.0, 0.5, 1.0] * 20),
        pd.Series([7, 8] * 30, dtype="Int64"),
        pd.Series(["ja", "nein"] * 30, dtype="string"),
        pd.Series(pd.Categorical(["ja", "nein"] * 30, categories=["nein", "ja", "unused"])),
        pd.Series([1, "a"] * 30, dtype=object),
    ],
    ids=lambda t: str(t.dtype),
)
def test_any_class_comes_back_as_it_was(target):
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=60), "y": target})
    encoder = TableEncoder.fit(frame, "y")
    back = encoder.target.decode(encoder.transform(frame).y)
    assert back == target.tolist() and [type(v) for v in back] == [type(v) for v in target.tolist()]


def test_regression_targets_come_back():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=500), "count": rng.integers(0, 1000, 500), "f": rng.normal(5, 2, 500)})
    for label in ("count", "f"):
        encoder = TableEncoder.fit(frame, label)
        data = encoder.transform(frame)
        assert data.task == "regression" and data.num_classes == 1
        assert data.y.dtype == np.float32
        assert abs(data.y.mean()) < 1e-5 and abs(data.y.std() - 1) < 1e-5
        back = encoder.target.decode(data.y)
        np.testing.assert_allclose(back, frame[label], rtol=1e-5, atol=1e-5)
    assert TableEncoder.fit(frame, "count").target.decode([0.0])[0].__class__ is int


def test_task_can_be_forced():
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=60), "y": [1, 2, 3] * 20})
    assert TableEncoder.fit(frame, "y").target.task == "classification"
    assert TableEncoder.fit(frame, "y", task="regression").target.task == "regression"


def test_equal_tables_give_equal_arrays_and_stay_untouched(messy):
    frame, _, data = messy
    before = frame.copy(deep=True)
    again = TableEncoder.fit(frame, "label").transform(frame)
    np.testing.assert_array_equal(again.x, data.x)
    np.testing.assert_array_equal(again.codes, data.codes)
    pd.testing.assert_frame_equal(frame, before)


def test_rows_are_encoded_one_by_one(messy):
    """A row's encoding depends on that row alone, and take() picks rows."""
    frame, encoder, data = messy
    rows = np.array([5, 250, 17, 17])
    part = encoder.transform(frame.iloc[rows].reset_index(drop=True))
    for found in (part, data.take(rows)):
        np.testing.assert_allclose(found.x, data.x[rows], atol=1e-6)
        np.testing.assert_array_equal(found.codes, data.codes[rows])
        np.testing.assert_array_equal(found.robust_z, data.robust_z[rows])
        np.testing.assert_array_equal(found.y, data.y[rows])
    assert len(data.take(np.arange(300) < 10)) == 10


def test_a_csv_copy_encodes_alike(messy, tmp_path):
    from demix_jax.data.read import read_table

    frame, encoder, data = messy
    plain = frame.rename(columns={7: "7"})
    plain.to_csv(tmp_path / "t.csv", index=False)
    encoder = TableEncoder.fit(plain, "label")
    copy = encoder.transform(read_table(tmp_path / "t.csv"))
    np.testing.assert_array_equal(copy.codes, data.codes)
    np.testing.assert_allclose(copy.x, data.x, atol=1e-5)


def test_unseen_values_and_missing_columns(messy):
    frame, encoder, data = messy
    odd = frame.iloc[:5].assign(**{"cat": "new", "größe": [1e30, -1e30, np.inf, np.nan, 170], "when": "gibberish"})
    found = encoder.transform(odd)
    q = index_of(data, "größe")
    names = [encoder.code_name(q, c) for c in found.codes[:, q]]
    assert names[:4] == ["größe extremely high", "größe extremely low", "größe missing", "größe missing"]
    assert np.isfinite(found.robust_z).all() and found.robust_z[0, q] > 1e6
    q = index_of(data, "cat")
    assert encoder.code_name(q, found.codes[0, q]) == "cat = another value"
    assert (block(found, "cat") == 0).all()
    q = index_of(data, "when")
    assert encoder.code_name(q, found.codes[0, q]) == "when missing"
    encoder.transform(frame.drop(columns=["row id", "zeros"]))
    with pytest.raises(InputError, match="lacks 'cat'"):
        encoder.transform(frame.drop(columns="cat"))
    with pytest.raises(InputError, match=r"the training table lacks: 'better'"):
        encoder.transform(frame.assign(label="better"))
    with pytest.raises(InputError, match="is missing in 1 of 300 rows"):
        encoder.transform(frame.assign(label=[None, *frame["label"][1:]]))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"label": "none"}, "no column 'none'"),
        ({"label": "label", "task": "ranking"}, "auto, classification or regression"),
        ({"label": "label", "task": "regression"}, "regression needs numbers"),
        ({"label": "zeros", "task": "regression"}, "varies too little"),
        ({"label": "größe"}, "missing"),
    ],
)
def test_unfit_labels(messy, kwargs, message):
    with pytest.raises(InputError, match=message):
        TableEncoder.fit(messy[0], **kwargs)


def test_numbers_agree_with_scikit_learn():
    """On a continuous variable the middle rank and scikit-learn's ranks differ by less than half a rank."""
    values = np.random.default_rng(0).gamma(2.0, size=5000)
    ours = QuantileNormal.fit(values)(values)
    theirs = QuantileTransformer(n_quantiles=1000, output_distribution="normal", subsample=len(values)).fit_transform(
        values[:, None]
    )[:, 0]
    inner = np.abs(theirs) < 2.5
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=0.03)


def test_ties_share_their_middle_rank():
    from scipy.stats import norm

    values = np.array([0.0] * 90 + list(range(1, 11)))
    found = QuantileNormal.fit(values)(np.array([0.0, 5.0, 1000.0, np.nan]))
    np.testing.assert_allclose(found, [*norm.ppf([0.45, 0.945, 0.995]), 0], atol=1e-6)


def test_quantile_bins_hold_equal_shares():
    values = np.random.default_rng(0).normal(size=16_000)
    bins = Bins.fit(values)
    counts = np.bincount(bins.codes(values), minlength=bins.num_codes)
    assert bins.num_codes == 19 and abs(counts[:16] - 1000).max() <= 3 and counts[16:].sum() <= 6


def test_fences_by_hand():
    """Quartiles 25 and 75, so the far fences lie at −125 and 225."""
    values = np.arange(101.0)
    bins = Bins.fit(values)
    assert (bins.low, bins.high) == (-125, 225)
    codes = bins.codes(np.array([-126, -125, 225, 226, np.nan]))
    assert codes.tolist() == [16, 0, 15, 17, 18]
    np.testing.assert_allclose(bins.robust_z(np.array([50, 75, np.nan])), [0, 25 / (50 / 1.349), 0], rtol=1e-6)


def test_few_integers_and_common_values_have_their_own_code():
    few = Bins.fit(np.repeat([-2.0, 0, 1, 5], 10))
    assert few.codes(np.array([-2.0, 0, 1, 5])).tolist() == [0, 1, 2, 3]
    hours = np.concatenate([np.full(500, 40), np.random.default_rng(0).integers(1, 99, 500)]).astype(float)
    bins = Bins.fit(hours)
    code = bins.codes(np.array([40.0]))[0]
    assert (bins.codes(hours) == code).sum() == (hours == 40).sum()
    assert bins.code_name("hours", code, number_text) == "hours = 40"


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(100),
        np.array([5.0]),
        np.array([1e308, -1e308] * 50),
        np.r_[np.zeros(999), 1e300],
        np.r_[np.full(999, 7.0), 1.0],
        np.array([1e-320, 2e-320] * 20),
        np.arange(40) * 1e-12 + 1e6,
    ],
)
def test_extreme_numbers_stay_finite(values):
    bins = Bins.fit(values)
    codes = bins.codes(np.r_[values, np.nan, 1e308, -1e308])
    assert codes.min() >= 0 and codes.max() < bins.num_codes <= 32
    assert np.isfinite(bins.robust_z(values)).all()
    assert np.isfinite(QuantileNormal.fit(values)(values)).all()
    assert all(bins.code_name("v", c, number_text) for c in range(bins.num_codes))


def test_code_names_describe_the_rows_that_have_them():
    """Each name is parsed back and must hold for the row's own value."""
    frame, label = adult_sample()
    encoder = TableEncoder.fit(frame, label)
    data = encoder.transform(frame)
    for name in ("age", "hours-per-week", "capital-gain", "education-num"):
        q = index_of(data, name)
        for code in np.unique(data.codes[:, q]):
            values = frame[name][data.codes[:, q] == code]
            words = encoder.code_name(q, code).replace(name, "v").replace("≤", "<=").replace(" = ", " == ")
            if "extremely" not in words:
                assert all(eval(words, {"v": v}) for v in values), words
    q = index_of(data, "sex")
    names = [encoder.code_name(q, c) for c in data.codes[:50, q]]
    assert names == [f"sex = {v}" for v in frame["sex"][:50]]
    assert encoder.code_name(q, data.num_codes[q] - 1) == "sex missing"


def test_one_hot_is_the_code(messy):
    _, _, data = messy
    assert block(data, "flag").shape[1] == 1
    q = index_of(data, "string")
    x = block(data, "string")
    assert (x.sum(axis=1) == 1).all()
    assert len(np.unique(np.c_[x.argmax(axis=1), data.codes[:, q]], axis=0)) == x.shape[1]


def test_dates_turn_with_the_calendar(messy):
    frame, encoder, data = messy
    hours = pd.date_range("2021-01-01", periods=len(frame), freq="7h").hour.to_numpy()
    x = block(data, "when")
    angles = 2 * np.pi * hours / 24
    for wave in (np.sin(angles), np.cos(angles)):
        assert np.abs(x - wave[:, None]).max(axis=0).min() < 1e-6
    q = index_of(data, "when")
    assert "2021-0" in encoder.code_name(q, 3) and (np.diff(data.codes[:, q]) >= 0).all()


def test_text_codes_are_frequent_values_or_lengths():
    rng = np.random.default_rng(0)
    common = [f"title {i}" for i in range(20)]
    titles = [*rng.choice(common, 900), *(f"rare title {i}" for i in range(100))]
    notes = ["x" * int(k) + f" some words here {i}" for i, k in enumerate(rng.integers(0, 200, 1000))]
    frame = pd.DataFrame({"title": titles, "note": notes, "y": rng.integers(0, 2, 1000)})
    encoder = TableEncoder.fit(frame, "y")
    data = encoder.transform(frame)
    assert {c.kind for c in data.columns} == {"text"} and data.first_parts.tolist() == [0, 1]
    assert encoder.code_name(0, data.codes[0, 0]) == f"title = {titles[0]}"
    assert "length of note" in encoder.code_name(1, data.codes[0, 1])


def test_an_outlier_in_a_binary_column_does_not_hide():
    """Codes 0 and 1, with 3 % of values far outside: the column becomes a number and each outlier stands alone."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, 1000).astype(float)
    values[:30] = rng.normal(0, 6, 30)
    data = TableEncoder.fit(pd.DataFrame({"v": values, "y": [0, 1] * 500}), "y")
    codes = data.transform(pd.DataFrame({"v": values, "y": [0, 1] * 500})).codes[:, 0]
    shared = np.isin(codes[:30], codes[30:])
    assert shared.mean() < 0.4  # those that fall between 0 and 1 share a code with one of them


def test_adult_is_quick():
    """As many rows as the whole table; processor time, since the machine may be busy. Measured: 0.3 s."""
    frame, label = adult_sample()
    whole = pd.concat([frame] * 5, ignore_index=True)
    start = time.process_time()
    TableEncoder.fit(whole, label).transform(whole)
    assert time.process_time() - start < 1.5


def wide_table(rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    numbers = {f"n{i}": rng.normal(size=rows).astype(np.float32) for i in range(columns - 12)}
    levels = {f"c{i}": rng.choice([f"v{j}" for j in range(5 + 4 * i)], rows) for i in range(8)}
    dates = {f"d{i}": pd.date_range("2000", periods=rows, freq="min").strftime("%Y-%m-%d %H:%M") for i in range(2)}
    texts = {f"t{i}": [f"some words about {k} and {k % 977}" for k in rng.integers(0, rows, rows)] for i in range(2)}
    return pd.DataFrame({**numbers, **levels, **dates, **texts, "y": rng.integers(0, 3, rows)})


@pytest.mark.slow
def test_200_000_rows_by_50_columns():
    import tracemalloc

    frame = wide_table(200_000, 50)
    start = time.process_time()
    TableEncoder.fit(frame, "y").transform(frame)
    assert time.process_time() - start < 25

    tracemalloc.start()
    encoder = TableEncoder.fit(frame, "y")
    data = encoder.transform(frame)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    parts = (data.x, data.codes, data.robust_z, data.misspelt, data.numbers, data.texts, data.y)
    terms = (data.terms.data, data.terms.indices, data.terms.indptr, data.term_columns)
    arrays = sum(part.nbytes for part in (*parts, *terms))
    # The encoder holds vocabularies; latent features of a text column are built before they are joined with others.
    assert held < arrays + 40e6 and peak < arrays + 500e6, (held / 1e6, peak / 1e6, arrays / 1e6)
