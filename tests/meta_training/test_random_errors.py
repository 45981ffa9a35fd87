"""Random errors of worlds: types, kinds and rates are spread as they are said to be, whatever the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.corruption import (
    FEATURE_KINDS,
    ErrorOptions,
    FeatureErrors,
    Injected,
    LabelErrors,
    SpuriousCorrelation,
    suitable_label_kinds,
)
from demix_jax.meta_training import LABEL, synthetic_table, synthetic_texts
from demix_jax.meta_training import random_errors as module
from demix_jax.meta_training.random_errors import Possible, inject_at_random, possible_errors, random_injection

ANY = Possible(suitable_label_kinds(classes=True), FEATURE_KINDS)


def rates_of(options: ErrorOptions) -> tuple[float, float, float]:
    return options.label_errors.rate, options.feature_errors.rate, options.spurious.minority_share


@pytest.fixture(scope="module")
def drawn() -> list[ErrorOptions]:
    rng = np.random.default_rng(0)
    return [random_injection(rng, ANY) for _ in range(2_000)]


def test_a_sixth_is_clean_a_third_has_one_type_and_all_types_are_alone_equally_often(drawn):
    has = np.array([rates_of(options) for options in drawn]) > 0
    count = np.bincount(has.sum(axis=1), minlength=4) / len(drawn)
    np.testing.assert_allclose(count, [1 / 6, 1 / 3, 1 / 6, 1 / 3], atol=0.04)
    alone = has[has.sum(axis=1) == 1].mean(axis=0)
    np.testing.assert_allclose(alone, 1 / 3, atol=0.06)


def test_rates_are_spread_evenly_over_their_logarithm(drawn):
    rates = np.array([rates_of(options) for options in drawn])
    for of_type, limits in zip(rates.T, ((0.005, 0.6), (0.005, 0.5), (0.02, 0.4)), strict=True):
        place = np.log(of_type[of_type > 0] / limits[0]) / np.log(limits[1] / limits[0])
        assert place.min() >= 0 and place.max() <= 1 + 1e-9
        np.testing.assert_allclose(np.quantile(place, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.06)
    assert (rates[:, 0] + rates[:, 1] <= 0.9 + 1e-9).all()


def test_every_kind_is_about_equally_likely(drawn):
    kinds = [kind for options in drawn for kind in options.label_errors.kinds]
    counts = [kinds.count(kind) for kind in ANY.label_kinds]
    assert min(counts) > 0.7 * np.mean(counts) and max(counts) < 1.3 * np.mean(counts)
    assert {kind for options in drawn for kind in options.feature_errors.kinds} == set(FEATURE_KINDS)
    assert 0.4 < np.mean([len(options.feature_errors.kinds) == 1 for options in drawn]) < 0.6
    assert {options.spurious.kind for options in drawn} == {"one-sided", "two-sided"}


def test_a_table_has_only_errors_that_suit_it():
    rng = np.random.default_rng(0)
    texts = possible_errors(synthetic_texts(0, 300), LABEL, rng)
    assert "rule" in texts.label_kinds and "sign" not in texts.label_kinds and not texts.shortcuts
    assert "cut" in texts.feature_kinds and "outlier" not in texts.feature_kinds
    made = [random_injection(np.random.default_rng(seed), texts) for seed in range(200)]
    assert {options.spurious.minority_share for options in made} == {0.0}
    assert max(len([rate for rate in rates_of(options) if rate]) for options in made) == 2
    amounts = pd.DataFrame({"a": rng.normal(size=300), "y": rng.normal(size=300)})
    numbers = possible_errors(amounts, "y", rng)
    assert numbers.label_kinds == suitable_label_kinds(classes=False) and "cut" not in numbers.feature_kinds
    assert numbers.shortcuts


def test_what_is_drawn_can_be_injected_at_about_its_rate():
    tables = [synthetic_table(seed, 250) for seed in range(6)] + [synthetic_texts(seed, 250) for seed in range(4)]
    off = []
    for seed in range(30):
        table = tables[seed % len(tables)]
        made = inject_at_random(table, LABEL, seed=seed)
        rng = np.random.default_rng(seed)
        wanted = random_injection(rng, possible_errors(table, LABEL, rng)).label_errors.rate
        got = np.mean(made.truth["label_error"])
        assert got <= wanted + 0.01
        off.append(wanted - got > 0.02)
        differs = made.table[LABEL].to_numpy() != made.truth["clean_label"].to_numpy()
        np.testing.assert_array_equal(made.truth["label_error"], differs)
    assert np.mean(off) < 0.15, "few kinds cannot reach a high rate"


def test_where_no_shortcut_can_be_made_there_is_none(monkeypatch):
    asked = []

    def refuse_shortcuts(table, *, label, seed, **options):
        asked.append(options["spurious"].minority_share)
        if asked[-1] > 0:
            raise InputError("no rule")
        return Injected(table, pd.DataFrame(), None)

    monkeypatch.setattr(module, "inject_errors", refuse_shortcuts)
    options = ErrorOptions(LabelErrors(), FeatureErrors(), SpuriousCorrelation(0.2))
    monkeypatch.setattr(module, "random_injection", lambda rng, possible: options)
    inject_at_random(pd.DataFrame({"a": [1, 2], "y": [0, 1]}), "y", seed=0)
    assert asked == [0.2] * 4 + [0.0]


def test_a_table_that_allows_no_error_is_refused(monkeypatch):
    def refuse(*args, **options):
        raise InputError("no")

    monkeypatch.setattr(module, "inject_errors", refuse)
    with pytest.raises(InputError, match="No errors can be injected"):
        inject_at_random(pd.DataFrame({"a": [1, 2], "y": [0, 1]}), "y", seed=0)
