"""Click samples in, a diagnosis out: `diagnose` for recommendation, with DIN or DIEN as the task model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from demix_jax.classifier import ErrorClassifier
from demix_jax.common.checks import InputError
from demix_jax.common.keys import training_key
from demix_jax.common.progress import Steps
from demix_jax.diagnosis.description import describe
from demix_jax.diagnosis.fold_models import train_fold_models
from demix_jax.diagnosis.pipeline import check_options, conclude, judge
from demix_jax.diagnosis.result import Diagnosis
from demix_jax.domains.recommendation.entities import side_surprise
from demix_jax.domains.recommendation.networks import CLICK_MODELS, make_click_model
from demix_jax.evidence.gather import RowEvidence, gather_evidence
from demix_jax.models import ranking_error

if TYPE_CHECKING:
    from demix_jax.data import Dataset
    from demix_jax.domains.recommendation import InteractionSamples

_MAX_EPOCHS, _PATIENCE = 12, 2  # embeddings are learnt in few passes over the samples, and learnt by heart in more


def diagnose_interactions(
    samples: InteractionSamples,
    *,
    model: str = "din",
    classifier: str | ErrorClassifier = "default",
    select: str | None = None,
    seed: int = 0,
    progress: Any = None,
) -> Diagnosis:
    """Find the label errors, feature errors and spurious correlations of click samples.

    A sample is a table row (side features of its user and item, and what its history says of the item), so rows are
    described as those of any table; their influence is that of a network which sees user, item and history themselves.
    Side features are also held against those of the same user's or item's other samples. The likeliest shortcut is
    sought among them, one by one and a user's with an item's. Rows are cross-fitted, as `demix_jax.diagnose` does it.

    Args:
      samples: N ≥ 30 samples, see `demix_jax.domains.recommendation.make_samples`.
      model: task model: "din" or "dien".
      classifier: "default", a weights file, or a loaded classifier.
      select: parameters of the network that count in the influence, as in `influence_matrix`; None: all of them.
      seed: of all randomness; the same seed gives the same diagnosis.
      progress: None, or a display with stage(name, total), advance(n) and done().
    Returns:
      Diagnosis whose `train` is samples.table and whose `table` starts with each row's user, item and timestamp.
    Raises:
      InputError: an unknown model or classifier, or samples that cannot be used.
    """
    from demix_jax.data import TableEncoder, check_table, table_notes
    from demix_jax.domains.recommendation import IDENTIFIERS, LABEL, InteractionSamples

    if not isinstance(samples, InteractionSamples):
        raise InputError(
            f"The samples are a {type(samples).__name__}; make them of an interaction log with make_samples."
        )
    classifier = check_options(model, classifier, seed, CLICK_MODELS)
    rows = samples.table.drop(columns=list(IDENTIFIERS))
    check_table(rows, LABEL, task="classification")
    steps = Steps(progress)
    with steps("encode the samples", 1) as advance:
        encoder = TableEncoder.fit(rows, LABEL, task="classification")
        dataset = encoder.transform(rows)
        advance(1)
    evidence = gather_evidence(dataset, roles=_roles(dataset, samples), mistakes=False, seed=seed, steps=steps)
    with steps("compare side features", len(samples)) as advance:
        evidence = _with_entities(evidence, dataset, samples, seed)
        advance(len(samples))
    folds = evidence.folds
    with steps("train task models", len(folds.train)) as advance:
        x, num_users, num_items = _renumbered(samples.inputs(dataset.x))
        network = make_click_model(model, num_users, num_items, samples.features.num_categories)
        options = {"stop_by": ranking_error, "max_epochs": _MAX_EPOCHS, "patience": _PATIENCE}
        models = train_fold_models(training_key(seed), network, x, dataset.y, folds, **options)
        models = dataclasses.replace(models, select=select)
        advance(len(folds.train))
    description = describe(dataset, evidence, models, seed=seed, steps=steps)
    notes = [*samples.notes, *table_notes(rows, LABEL, task="classification")]
    settings = {"model": model, "seed": seed, "train": None, "notes": notes, "identifiers": list(IDENTIFIERS)}
    verdict = judge(classifier, dataset, description, steps)
    steps.done()
    diagnosis = conclude(samples.table, None, encoder, dataset, description, verdict, steps, settings)
    for place, name in enumerate(IDENTIFIERS):
        diagnosis.table.insert(place, name, samples.table[name])
    return diagnosis


def _renumbered(x: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int, int]:
    """The inputs with users and items that occur in them numbered from 1, and how many of either there are.

    The tables of the network then hold nothing that no sample looks up, however long the catalogue is.
    """
    counts = []
    for names in (("user",), ("item", "history")):
        known = np.unique(np.concatenate([[0], *(x[name].ravel() for name in names)]))
        x = x | {name: np.searchsorted(known, x[name]).astype(np.int32) for name in names}
        counts.append(len(known) - 1)
    return x, counts[0], counts[1]


def _roles(dataset: Dataset, samples: InteractionSamples) -> tuple[list[int], list[int]]:
    """Numbers of the encoded columns that are side features of users and of items.

    What the history says of an item, such as its popularity, tells clicks from sampled items by how these are drawn:
    where it came first among the shortcuts, it hid those that were made.
    """
    users, items = (set(samples.features_of(role)) for role in ("user", "item"))
    numbers = [[q for q, column in enumerate(dataset.columns) if column.name in role] for role in (users, items)]
    return numbers[0], numbers[1]


def _with_entities(evidence: RowEvidence, dataset: Dataset, samples: InteractionSamples, seed: int) -> RowEvidence:
    """Evidence in which side features are as surprising as models make them that never saw the user or item."""
    surprise = evidence.cells.surprise.copy()
    for number, (role, entity) in enumerate((("user", samples.user), ("item", samples.item))):
        names = set(samples.features_of(role))
        places = [q for q, column in enumerate(dataset.columns) if column.name in names]
        num_codes = tuple(dataset.num_codes[q] for q in places)
        key = jax.random.fold_in(training_key(seed), number)
        by_entity = side_surprise(key, dataset.codes[:, places], num_codes, entity, seed=seed)
        if by_entity is not None:
            surprise[:, places] = by_entity
    return evidence._replace(cells=evidence.cells._replace(surprise=surprise))
