"""Click samples in, a diagnosis out: `diagnose` for recommendation, with DIN or DIEN as the task model."""

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
from demix_jax.data.folds import Folds
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

_MAX_EPOCHS, _PATIENCE = 12, 2  # embeddings are learnt in few passes over the samples, and learnt by heart in more


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

    A sample is a table row (side features of its user and item, and what its history says of the item), so rows are
    described as those of any table; their influence is that of a network which sees user, item and history themselves.
    Side features are also held against those of the same user's or item's other samples. The likeliest shortcut is
    sought among them, one by one and a user's with an item's. Rows are cross-fitted, as `demix_jax.diagnose` does it.

    Args:
      samples: N ≥ 30 samples, see `demix_jax.recommendation.make_samples`.
      model: task model: "din" or "dien".
      classifier: "default", a weights file, or a loaded classifier.
      select: parameters of the network that count in the influence, as in `influence_matrix`; None: all of them.
      source: path that the summary names as the diagnosed file.
      seed: of all randomness; the same seed gives the same diagnosis.
      progress: None, or a display with stage(name, total), advance(n) and done().
    Returns:
      Diagnosis whose `train` is samples.table and whose `table` starts with each row's user, item and timestamp.
    Raises:
      InputError: an unknown model or classifier, or samples that cannot be used.
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

    table: the samples without the columns that name them, inspected. The others: arguments of `diagnose_interactions`.
    """

    samples: InteractionSamples
    table: Table
    model: str = "din"
    select: str | None = None
    source: str | None = None

    @property
    def known_mistakes(self) -> bool:
        """See `Domain`: logs are written by machines."""
        return False

    def rows(self, steps: StepTimer) -> Rows:
        """See `Domain`."""
        from demix_jax.data import table_notes
        from demix_jax.data.fingerprint import fingerprint

        del steps
        samples = self.samples
        of_table = table_notes(self.table, task="classification")
        return Rows(
            table=self.table,
            task="classification",
            fingerprint=fingerprint(samples.table),
            model=self.model,
            named=samples.table,
            identifiers=IDENTIFIERS,
            # What the history says of an item, such as its popularity, tells clicks from sampled items by how these are
            # drawn: where it came first among the shortcuts, it hid those that were made.
            roles=(tuple(samples.features_of("user")), tuple(samples.features_of("item"))),
            notes=(*samples.notes, *of_table),
            source=self.source,
        )

    def check(self, dataset: Dataset) -> None:
        """See `Domain`; the built-in networks suit all samples."""
        del dataset

    def refine(self, evidence: RowEvidence, dataset: Dataset, *, seed: int, steps: StepTimer) -> RowEvidence:
        """See `Domain`: how surprising side features are to models that never saw the user or item."""
        with steps("compare side features", len(self.samples)) as advance:
            surprise = evidence.cells.surprise.copy()
            for number, (role, entity) in enumerate((("user", self.samples.user), ("item", self.samples.item))):
                names = set(self.samples.features_of(role))
                places = [q for q, column in enumerate(dataset.columns) if column.name in names]
                num_codes = tuple(dataset.num_codes[q] for q in places)
                key = jax.random.fold_in(training_key(seed), number)
                by_entity = side_surprise(key, dataset.codes[:, places], num_codes, entity, seed=seed)
                if by_entity is not None:
                    surprise[:, places] = by_entity
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

    def altered(self, encode: Encode, evidence: RowEvidence, *, seed: int) -> AlteredRows | None:
        """See `Domain`: a changed row would need a changed history, so the classifier does without."""
        del encode, evidence, seed

    def presentation(self, models: FoldModels, evidence: RowEvidence) -> RowPresentation:
        """See `Domain`."""
        del models, evidence
        return RowPresentation(identifiers=IDENTIFIERS)


def _renumbered(x: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int, int]:
    """The inputs with users and items that occur in them numbered from 1, and how many of either there are.

    The embedding tables of the network then hold nothing that no sample looks up, however long the catalogue is.
    """
    counts = []
    for names in (("user",), ("item", "history")):
        known = np.unique(np.concatenate([[0], *(x[name].ravel() for name in names)]))
        x = x | {name: np.searchsorted(known, x[name]).astype(np.int32) for name in names}
        counts.append(len(known) - 1)
    return x, counts[0], counts[1]
