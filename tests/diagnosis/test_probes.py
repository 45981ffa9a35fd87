"""Probes: which rows are altered, and that models never saw what they describe."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.corruption import FEATURE_KINDS
from demix_jax.data import TableEncoder, inspect_table
from demix_jax.diagnosis import probes as module
from demix_jax.diagnosis.probes import alter_rows
from demix_jax.diagnosis.probes import inject_errors as inject
from demix_jax.evidence.gather import gather_evidence


def known_table(num_rows=300):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_rows, 3))
    y = np.where(x[:, 0] + 0.2 * rng.normal(size=num_rows) > 0, "yes", "no")
    return pd.DataFrame(x, columns=list("abc")).assign(town=rng.choice(["Köln", "Trier"], num_rows), y=y)


@pytest.fixture(scope="module")
def gathered():
    table = known_table()
    encoder = TableEncoder.fit(table, "y")
    return table, encoder, gather_evidence(encoder.transform(table), seed=0)


def altered_by(gathered, seed):
    table, encoder, evidence = gathered
    altered = alter_rows(inspect_table(table, "y"), encoder.transform, evidence, task="classification", seed=seed)
    assert altered is not None
    return altered


def test_half_of_the_probes_have_a_wrong_label_and_half_a_wrong_cell(gathered):
    altered = altered_by(gathered, 1)
    label, feature, shortcut = altered.truth.sum(axis=0)
    assert label == feature > 50 and shortcut == 0 and (altered.truth.sum(axis=1) == 1).all()
    assert len(altered.dataset.y) == len(altered.evidence.trees.p_given) == len(altered.truth)
    p_given = altered.evidence.trees.p_given
    assert np.median(p_given[altered.truth[:, 0]]) < 0.2 < 0.8 < np.median(p_given[altered.truth[:, 1]])


def test_the_same_seed_alters_the_same_rows(gathered):
    first, again, other = (altered_by(gathered, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.dataset.codes, again.dataset.codes)
    assert first.dataset.codes.shape != other.dataset.codes.shape or (first.dataset.codes != other.dataset.codes).any()


def test_probes_have_every_kind_of_feature_error_in_one_cell_or_many_unless_only_some_are_asked_for(
    gathered, monkeypatch
):
    table, encoder, evidence = gathered
    made = []

    def recorded(*args, **options):
        made.append((options["feature_errors"].kinds, inject(*args, **options).truth))
        return inject(*args, **options)

    monkeypatch.setattr(module, "inject_errors", recorded)
    for every_kind in (True, False):
        alter_rows(
            inspect_table(table, "y"), encoder.transform, evidence, task="classification", every_kind=every_kind, seed=0
        )
    (every, truth), (some, _) = made
    assert every == FEATURE_KINDS and set(some) < set(every)
    num_cells = truth["corrupted_columns"][truth["feature_error"] == 1].str.count(";") + 1
    assert {1, 2, 3} <= set(num_cells)


def test_a_table_whose_clear_rows_have_one_label_has_no_probes(gathered):
    table, encoder, evidence = gathered
    only = evidence.models._replace(clear=(table["y"] == "yes").to_numpy())
    evidence = evidence._replace(models=only)
    assert alter_rows(inspect_table(table, "y"), encoder.transform, evidence, task="classification", seed=0) is None
