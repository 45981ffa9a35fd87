"""Diagnosis of click samples: `diagnose_interactions`, and the domain behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import numpy as np

from demix_jax.classifier import ErrorClassifier, load_classifier
from demix_jax.common.checks import InputError, check_seed
from demix_jax.common.keys import training_key
from demix_jax.common.progress import ProgressLike, StepTimer
from demix_jax.data.folds.plan import Folds
from demix_jax.diagnosis.domain import Encode, Rows
from demix_jax.diagnosis.fold_models import FoldModels, NetworkFolds, train_fold_models
from demix_jax.diagnosis.pipeline import diagnose_samples
from demix_jax.diagnosis.probes import AlteredRows
from demix_jax.diagnosis.result import Diagnosis
from demix_jax.domains.recommendation.entities import side_surprise
from demix_jax.domains.recommendation.networks import CLICK_MODELS, make_click_model
from demix_jax.domains.recommendation.samples import IDENTIFIERS, LABEL, InteractionSamples
from demix_jax.evidence.row_evidence import RowEvidence
from demix_jax.models import check_model_name, ranking_error
from demix_jax.report.row_page import RowPresentation

if TYPE_CHECKING:
    from demix_jax.data import Dataset, Table

_MAX_EPOCHS, _PATIENCE = 12, 2  # embeddings are learnt in a few epochs and overfit after that


def diagnose_interactions(
    samples: InteractionSamples,
    *,
    model: str = "din",
    classifier: str | ErrorClassifier = "default",
    select: str | None = None,
    source: str | None = None,
    seed: int = 0,
    progress: ProgressLike | None = None,
) -> Diagnosis:
    """Find the label errors, feature errors and spurious correlations of click samples.

    Each sample is a table row: side features of its user and item, and measures of the item against the history. The
    evidence is gathered as for any table. The influence is that of a network which sees user, item and history. Side
    features are also compared with the other samples of the same user or item. The likeliest shortcut is sought among
    single side features and pairs of a user feature and an item feature. Rows are cross-fitted, as in
    `demix_jax.diagnose`.

    Args:
      samples: N ≥ 30 samples, see `demix_jax.recommendation.make_samples`.
      model: task model, "din" or "dien".
      classifier: "default", a weights file, or a loaded classifier.
      select: network parameters to compute the influence with, as in `influence_matrix`; None: all of them.
      source: path to give as the diagnosed file in the summary.
      seed: of all randomness; the same seed gives the same diagnosis.
      progress: None, or a display with stage(name, total), advance(n) and done().
    Returns:
      Diagnosis. Its `train` is samples.table; its `table` starts with the columns user, item and timestamp.
    Raises:
      InputError: the model or classifier is unknown, or the samples cannot be used.
    """
    from demix_jax.data import check_table, inspect_table

    if not isinstance(samples, InteractionSamples):
        raise InputError(
            f"The samples are a {type(samples).__name__}; make them of an interaction log with make_samples."
        )
    check_seed(seed)
    check_model_name(model, CLICK_MODELS)
    classifier = classifier if isinstance(classifier, ErrorClassifier) else load_classifier(classifier)
    table = inspect_table(samples.table.drop(columns=list(IDENTIFIERS)), LABEL)
    check_table(table, task="classification")
    domain = ClickDomain(samples=samples, table=table, model=model, select=select, source=source)
    return diagnose_samples(domain, classifier=classifier, seed=seed, progress=progress)


@dataclasses.dataclass(frozen=True)
class ClickDomain:
    """Click samples, see `Domain`.

    Attributes:
      samples, model, select, source: as in `diagnose_interactions`.
      table: the samples without identifier columns, inspected.
    """

    samples: InteractionSamples
    table: Table
    model: str = "din"
    select: str | None = None
    source: str | None = None

    @property
    def known_mistakes(self) -> bool:
        """See `Domain`; logs are written by machines, not by people."""
        return False

    def rows(self, steps: StepTimer) -> Rows:
        """See `Domain`."""
        from demix_jax.data.fingerprint import row_fingerprints, table_fingerprint
        from demix_jax.data.notes import column_notes, label_notes

        del steps
        samples = self.samples
        fingerprints = row_fingerprints(samples.table)
        return Rows(
            table=self.table,
            task="classification",
            fingerprint=table_fingerprint(list(samples.table.columns), fingerprints),
            row_fingerprints=fingerprints,
            model=self.model,
            named=samples.table,
            identifiers=IDENTIFIERS,
            # Measures of an item against its history, such as its popularity, separate clicks from sampled items by
            # the way these are sampled. Ranked among the shortcuts, they came first and hid the injected ones.
            roles=(tuple(samples.features_of("user")), tuple(samples.features_of("item"))),
            notes=(*samples.notes, *label_notes(self.table, task="classification"), *column_notes(self.table)),
            source=self.source,
        )

    def check(self, dataset: Dataset) -> None:
        """See `Domain`; the built-in networks suit any samples."""
        del dataset

    def refine(self, evidence: RowEvidence, dataset: Dataset, *, seed: int, steps: StepTimer) -> RowEvidence:
        """See `Domain`; adds the surprise of side features to models trained without the same user or item."""
        with steps("compare side features", len(self.samples)) as advance:
            surprise = evidence.cells.surprise.copy()
            for number, (role, entity) in enumerate((("user", self.samples.user), ("item", self.samples.item))):
                names = set(self.samples.features_of(role))
                columns = [q for q, column in enumerate(dataset.columns) if column.name in names]
                num_codes = tuple(dataset.num_codes[q] for q in columns)
                key = jax.random.fold_in(training_key(seed), number)
                by_entity = side_surprise(key, dataset.codes[:, columns], num_codes, entity, seed=seed)
                if by_entity is not None:
                    surprise[:, columns] = by_entity
            advance(len(self.samples))
        return evidence._replace(cells=evidence.cells._replace(surprise=surprise))

    def task_models(self, dataset: Dataset, folds: Folds, *, seed: int, on_fold: Callable[[int], None]) -> NetworkFolds:
        """See `Domain`."""
        x, num_users, num_items = _renumbered(self.samples.inputs(dataset.x))
        network = make_click_model(self.model, num_users, num_items, self.samples.features.num_categories)
        options = {"stop_by": ranking_error, "max_epochs": _MAX_EPOCHS, "patience": _PATIENCE}
        models = train_fold_models(training_key(seed), network, x, dataset.y, folds, **options)
        on_fold(len(folds.train))
        return dataclasses.replace(models, select=self.select)

    def altered(self, encode: Encode, evidence: RowEvidence, *, seed: int, steps: StepTimer) -> AlteredRows | None:
        """See `Domain`; no probes, since an altered row would need an altered history."""
        del encode, evidence, seed, steps

    def presentation(self, models: FoldModels, evidence: RowEvidence) -> RowPresentation:
        """See `Domain`."""
        del models, evidence
        return RowPresentation(identifiers=IDENTIFIERS)


def _renumbered(x: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int, int]:
    """Number the users and items that occur in the inputs from 1; also returns the two counts.

    The network then has no embeddings that no sample looks up, however large the catalogue is.
    """
    counts = []
    for names in (("user",), ("item", "history")):
        occurring = np.unique(np.concatenate([[0], *(x[name].ravel() for name in names)]))
        x = x | {name: np.searchsorted(occurring, x[name]).astype(np.int32) for name in names}
        counts.append(len(occurring) - 1)
    return x, counts[0], counts[1]
