"""Kinds of label errors against their definitions, on tables whose true boundaries are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.corruption import LABEL_KINDS, Injected, LabelErrors, inject_errors, suitable_label_kinds


def three_classes(n: int = 4_000) -> pd.DataFrame:
    """Columns a and b; class 0, 1 or 2 by a alone, cut at -0.8 and 0.8; class 0 is made the rarest."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "k": rng.choice(["u", "v"], n)})
    return frame.assign(y=np.digitize(frame["a"], [-0.8, 0.6]))


def numbers(n: int = 1_000) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame({"a": rng.normal(size=n), "y": rng.normal(200, 30, n).round(1)})


def with_wrong_labels(frame: pd.DataFrame, kind, rate: float = 0.2, seed: int = 3) -> tuple[Injected, np.ndarray]:
    made = inject_errors(
        frame, label="y", label_errors=LabelErrors(rate, kind), feature_errors=0, spurious=0, seed=seed
    )
    wrong = made.truth["label_error"].to_numpy(bool)
    np.testing.assert_array_equal(wrong, made.table["y"] != frame["y"])
    pd.testing.assert_frame_equal(made.table.drop(columns="y"), frame.drop(columns="y"))
    return made, wrong


def old_and_new(frame: pd.DataFrame, kind: str, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    made, wrong = with_wrong_labels(frame, kind, seed=seed)
    assert wrong.sum() == round(0.2 * len(frame))
    return frame["y"].to_numpy()[wrong], made.table["y"].to_numpy()[wrong]


def test_one_class_is_mostly_wrong_and_often_it_is_the_rarest():
    frame, hit = three_classes(), []
    for seed in range(12):
        _, wrong = with_wrong_labels(frame, "class_dependent", rate=0.05, seed=seed)
        rates = np.sort([wrong[frame["y"] == k].mean() for k in range(3)])
        hit.append(int(np.argmax([wrong[frame["y"] == k].mean() for k in range(3)])))
        assert rates[2] > 6 * rates[1]
    assert hit.count(int(np.bincount(frame["y"]).argmin())) >= 5 and len(set(hit)) > 1


def test_errors_at_the_boundary_lie_close_to_it_and_go_to_the_next_class():
    frame = three_classes()
    made, wrong = with_wrong_labels(frame, "boundary", rate=0.1)
    a = frame["a"].to_numpy()
    distance = np.minimum(np.abs(a + 0.8), np.abs(a - 0.6))
    assert wrong.sum() == 400
    assert np.quantile(distance[wrong], 0.9) < np.quantile(distance, 0.2)
    step = made.table["y"].to_numpy() - frame["y"].to_numpy()
    assert (np.abs(step[wrong]) == 1).all(), "class 0 and class 2 do not touch"


def test_annotators_err_where_their_lines_differ_from_the_true_one():
    frame = three_classes()
    few, many = (with_wrong_labels(frame, "annotator", rate)[1] for rate in (0.05, 0.4))
    assert few.sum() == 200 and many.sum() == 1_600
    a = frame["a"].to_numpy()
    distance = np.minimum(np.abs(a + 0.8), np.abs(a - 0.6))
    assert distance[few].mean() < 0.7 * distance[~few].mean()
    assert distance[few].mean() < distance[many].mean()


def test_the_errors_of_a_rule_fill_an_end_of_a_column_with_one_class():
    frame = three_classes().drop(columns="k")
    regions = set()
    for seed in range(12):
        made, wrong = with_wrong_labels(frame, "rule", rate=0.1, seed=seed)
        (said,) = set(made.table["y"][wrong])
        inside = np.ones(len(frame), dtype=bool)
        for name in "ab":
            for way in (1, -1):
                inside &= (way * frame[name] <= (way * frame[name])[wrong].max()).to_numpy()
        assert wrong.sum() == 400 and (made.table["y"][inside] == said).all(), "the whole region has the class"
        regions.add((said, round(inside.mean(), 2)))
    assert len(regions) > 3


def topics(n: int = 1_000) -> pd.DataFrame:
    """Titles of five words; the first says the class in four of five cases, the others nothing."""
    rng = np.random.default_rng(2)
    label = rng.integers(0, 2, n)
    said = np.where(rng.random(n) < 0.8, label, 1 - label)
    told = [f"{'sport' if k else 'stock'}{i}" for k, i in zip(said, rng.integers(0, 9, n), strict=True)]
    rest = rng.choice([f"w{i}" for i in range(60)], (n, 4))
    return pd.DataFrame({"text": [" ".join([t, *r]) for t, r in zip(told, rest, strict=True)], "y": label})


def test_a_keyword_gives_all_of_its_texts_one_class():
    frame = topics()
    made, wrong = with_wrong_labels(frame, "rule", rate=0.1)
    assert wrong.sum() == 100
    words = frame["text"].str.split()
    given = made.table["y"].to_numpy(float)
    share = {word: float(given[[word in row for row in words]].mean()) for word in set(words.explode())}
    pure = {word for word, of_ones in share.items() if abs(of_ones - 0.5) > 0.42}  # sport and stock: 0.2 or 0.8 before
    hit = np.array([bool(pure & set(row)) for row in words])
    assert 5 <= len(pure) < 30 and hit[wrong].mean() > 0.8, "the last keyword may be cut short"
    assert np.mean([word.startswith("s") for word in pure]) > 0.5, "keywords mostly tell the class"


def test_the_rarest_class_becomes_mostly_false():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=1_000), "y": np.where(np.arange(1_000) < 50, "rare", "usual")})
    made, wrong = with_wrong_labels(frame, "minority", rate=0.1)
    assert np.sum(made.table["y"] == "rare") == 150 and np.sum(wrong) == 100
    _, wrong = with_wrong_labels(frame, "minority", rate=0.99)
    assert wrong.sum() == 950, "no more rows can get the rarest class"


def test_a_constant_is_the_same_for_all():
    for seed in range(6):
        old, new = old_and_new(numbers(), "constant", seed)
        offsets, factors = new - old, new / old
        assert np.ptp(offsets) < 0.11 or np.ptp(factors) < 0.01


def test_signs_units_and_other_rows_targets():
    frame = numbers()
    old, new = old_and_new(frame, "sign")
    np.testing.assert_array_equal(new, -old)
    slopes = set()
    for seed in range(8):
        old, new = old_and_new(frame, "unit", seed)
        slope, offset = np.polyfit(old, new, 1)
        np.testing.assert_allclose(slope * old + offset, new, atol=0.01)
        slopes.add(round(slope, 3))
    assert len(slopes) > 4 and not slopes & {1.0}
    _, new = old_and_new(frame, "swapped")
    assert np.isin(new, frame["y"]).all()


def test_digits_differ_by_one_key():
    old, new = old_and_new(pd.DataFrame({"a": np.arange(2_000) % 7, "y": np.arange(3_141, 5_141)}), "digit")
    lengths, mistyped = set(), 0
    for before, after in zip(map(str, old), map(str, new), strict=True):
        lengths.add(len(after) - len(before))
        mistyped += len(before) == len(after) and sum(b != a for b, a in zip(before, after, strict=True)) == 1
    assert {-1, 0, 1} <= lengths <= {-3, -2, -1, 0, 1}, "zeros at the start are lost"
    assert mistyped > 0.15 * len(old)


def test_whole_numbers_stay_in_the_range_of_their_type():
    frame = numbers().assign(y=np.arange(1_000).astype(np.int16) * 30)
    for kind in suitable_label_kinds(classes=False):
        made, wrong = with_wrong_labels(frame, kind)
        assert made.table["y"].dtype == np.int16 and wrong.sum() <= 200


def test_several_kinds_share_the_rows():
    frame = three_classes()
    made, wrong = with_wrong_labels(frame, ("uniform", "minority"), rate=0.3)
    rarest = np.bincount(frame["y"]).argmin()
    to_rarest = float(np.mean(made.table["y"].to_numpy()[wrong] == rarest))
    assert np.sum(wrong) == 1_200 and 0.55 < to_rarest < 0.95


def test_kinds_suit_classes_numbers_or_both():
    of_classes, of_numbers = suitable_label_kinds(classes=True), suitable_label_kinds(classes=False)
    assert set(of_classes) | set(of_numbers) == set(LABEL_KINDS)
    assert set(of_classes) - set(of_numbers) == {"class_dependent", "boundary", "annotator", "rule", "minority"}
    assert set(of_numbers) - set(of_classes) == {"constant", "sign", "digit", "unit", "swapped"}
    with pytest.raises(InputError, match='"boundary" suits classes, but the label column "y" holds numbers; choose'):
        with_wrong_labels(numbers(), "boundary")
    with pytest.raises(InputError, match='"sign" suits numbers, but the label column "y" holds classes; choose'):
        with_wrong_labels(three_classes(), ("uniform", "sign"))


def test_a_rule_needs_a_column():
    frame = pd.DataFrame({"a": [[str(i % 7)] for i in range(100)], "y": np.arange(100) % 2})
    for kind in ("rule", "subgroup"):
        with pytest.raises(InputError, match=f'"{kind}" found no .*; choose another kind'):
            with_wrong_labels(frame, kind)


def test_the_same_seed_gives_the_same_labels():
    frame = topics()
    for kind in suitable_label_kinds(classes=True):
        if kind == "subgroup":
            continue
        first, again = (with_wrong_labels(frame, kind)[0].table for _ in range(2))
        pd.testing.assert_frame_equal(first, again)
