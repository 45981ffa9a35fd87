"""Diagnosis of a table: `diagnose`, and the domain behind it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from demix_jax.classifier import ErrorClassifier, load_classifier
from demix_jax.common.checks import InputError, check_seed
from demix_jax.common.keys import training_key
from demix_jax.common.progress import ProgressLike, StepTimer
from demix_jax.common.read_options import ReadOptions
from demix_jax.common.shared_sizes import power_of_two
from demix_jax.data.folds.plan import Folds
from demix_jax.diagnosis.domain import Encode, Rows
from demix_jax.diagnosis.fold_models import FoldModels, NetworkFolds, train_fold_models
from demix_jax.diagnosis.memory import refuse_too_wide
from demix_jax.diagnosis.pipeline import diagnose_samples
from demix_jax.diagnosis.probes import AlteredRows, alter_rows
from demix_jax.diagnosis.result import Diagnosis
from demix_jax.diagnosis.row_order import canonical_order, in_given_order
from demix_jax.domains.tables.judged_notes import with_judged_notes
from demix_jax.evidence.gather import choose_num_folds
from demix_jax.evidence.row_evidence import RowEvidence
from demix_jax.models import TaskModelLike, check_model_name, check_task_model, make_task_model
from demix_jax.report.row_page import RowPresentation

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from demix_jax.data import Dataset, Table

_MIN_VALID_ROWS = 10
_SHARED_TOKEN = 8  # features; divides every shared width


def diagnose(
    train: Any,
    *,
    label: str,
    valid: Any = None,
    task: str = "auto",
    model: str | TaskModelLike = "mlp",
    classifier: str | os.PathLike | ErrorClassifier = "default",
    kinds: Mapping[str, str] | None = None,
    ignore: Sequence[str] | None = None,
    id: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    missing: Sequence[str] | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    seed: int = 0,
    progress: ProgressLike | None = None,
) -> Diagnosis:
    """Find the label errors, feature errors and spurious correlations of a table.

    Every row is described out of fold: its models and validation samples exclude it, and copies of it. The order of the
    rows plays no part.

    Args:
      train: table of N ≥ 30 rows: a pandas or polars DataFrame, a pyarrow Table, a Hugging Face Dataset, a dict of
        arrays, a NumPy array; or the path of a CSV, Parquet, Feather, JSON, JSON lines, Excel or ODS file, or of a
        folder of such.
      label: name of the label column.
      valid: at least 10 trusted rows with the same columns; None: each fold is compared with rows of the other folds.
      task: "classification", "regression", or "auto" to decide by the label.
      model: task model: "mlp", "mlp-small" or "ft-transformer"; or an object with init(key, example), apply(params, x)
        and loss(params, example), see `demix_jax.models.TaskModelLike`. An example is {"x": f32[D], "y": class index or
        standardised target}.
      classifier: "default", a weights file, or a loaded classifier.
      kinds: column -> "number", "category", "text", "date", "identifier" or "vector", where it is not recognised.
      ignore: columns that are not used.
      id: a column that names the rows; it comes first in `Diagnosis.table`.
      groups: a column whose equal values mark rows that belong together (visits of a person); they share a fold.
      time: a column of times; each block in time is judged by models of the blocks before it.
      missing: further texts that mean missing.
      encoding, sheet: of a text file, of a workbook; None: recognised, and the first sheet with content.
      seed: of all randomness; the same seed gives the same diagnosis.
      progress: None, or a display with stage(name, total), advance(n) and done().
    Returns:
      Diagnosis.
    Raises:
      InputError: the table, a name, a file or the model cannot be used; the message tells why and what to do.
    """
    classifier = check_options(model, classifier, seed)
    options = ReadOptions.of(
        kinds=kinds,
        ignore=ignore,
        id=id,
        groups=groups,
        time=time,
        missing=missing,
        encoding=encoding,
        sheet=sheet,
    )
    domain = TableDomain.of(train, label, valid=valid, task=task, model=model, options=options)
    reordered, order = domain.in_canonical_order()
    diagnosis = diagnose_samples(reordered, classifier=classifier, seed=seed, progress=progress)
    return with_judged_notes(in_given_order(diagnosis, order, domain.table.written), domain.table)


def check_options(
    model: str | TaskModelLike, classifier: str | os.PathLike | ErrorClassifier, seed: int
) -> ErrorClassifier:
    """Load the classifier if it is a name or path; InputError if classifier, task model or seed cannot be used."""
    check_seed(seed)
    if isinstance(model, str):
        check_model_name(model)
    else:
        check_task_model(model)
    return classifier if isinstance(classifier, ErrorClassifier) else load_classifier(classifier)


@dataclasses.dataclass(frozen=True)
class TableDomain:
    """The rows of a table, see `Domain`.

    Attributes:
      table: N rows, inspected; its options tell groups and times.
      task: "classification" or "regression".
      valid: trusted rows, parsed as `table`, or None.
      model: task model, by name or as an object.
      source: path of the file, or None.
      known_mistakes: whether to look for known mistakes.
      every_kind: whether probes have every kind of feature error, see `alter_rows`.
      max_epochs: largest number of training epochs of the task models.
      share_programs: pad features and classes to few sizes, and give the FT-Transformer tokens of eight features
        instead of one per column, so that many tables in one process share compiled programs.
      fingerprints: u64[N], of the rows; None: not known yet.
    """

    table: Table
    task: str
    valid: pd.DataFrame | None = None
    model: str | TaskModelLike = "mlp"
    source: str | None = None
    known_mistakes: bool = True
    every_kind: bool = True
    max_epochs: int = 40
    share_programs: bool = False
    fingerprints: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        train: Any,
        label: str,
        *,
        valid: Any = None,
        task: str = "auto",
        model: str | TaskModelLike = "mlp",
        options: ReadOptions | None = None,
    ) -> TableDomain:
        """Read and check tables or paths; arguments as in `diagnose`."""
        from demix_jax.data.read import read_written
        from demix_jax.data.sources.boundary import printable
        from demix_jax.data.table_checks import check_table, settle_task

        source = printable(train) if isinstance(train, (str, os.PathLike)) else None
        given = read_written(train, options)
        refuse_too_wide(len(given.frame), given.frame.shape[1] - 1)
        table = given.inspected(label, options)
        check_table(table, task=task)
        trusted = None if valid is None else read_valid(valid, table)
        settled = settle_task(table.target, task)
        return cls(table=table, task=settled, valid=trusted, model=model, source=source)

    def in_canonical_order(self) -> tuple[TableDomain, np.ndarray]:
        """The same rows in `canonical_order` i64[N], and this order."""
        from demix_jax.data.fingerprint import row_fingerprints

        fingerprints = row_fingerprints(self.table.written)
        order = canonical_order(fingerprints)
        return dataclasses.replace(self, table=self.table.take(order), fingerprints=fingerprints[order]), order

    def rows(self, steps: StepTimer) -> Rows:
        """See `Domain`."""
        from demix_jax.data.fingerprint import row_fingerprints, table_fingerprint
        from demix_jax.data.folds.belonging_rows import belonging_rows
        from demix_jax.data.notes import table_notes

        table, options = self.table, self.table.options
        with steps("read the rows", 1) as advance:
            fingerprints = row_fingerprints(table.written) if self.fingerprints is None else self.fingerprints
            belonging = belonging_rows(table, num_folds=choose_num_folds(len(table)))
            told = table_notes(table, task=self.task)
            advance(1)
        return Rows(
            table=table,
            task=self.task,
            fingerprint=table_fingerprint(list(table.written.columns), fingerprints),
            row_fingerprints=fingerprints,
            model=self.model if isinstance(self.model, str) else type(self.model).__name__,
            valid=self.valid,
            shared_width=self.share_programs,
            groups=belonging.groups,
            times=belonging.times,
            notes=(*table.notes, *told.sentences, *belonging.notes),
            label_doubt=told.label_doubt,
            source=self.source,
            settings={"options": options.as_dict()} if options.as_dict() else {},
        )

    def check(self, dataset: Dataset) -> None:
        """See `Domain`."""
        if not isinstance(self.model, str):
            check_task_model(self.model, {"x": dataset.x[0], "y": dataset.y[0]}, num_outputs=dataset.num_classes)

    def refine(self, evidence: RowEvidence, dataset: Dataset, *, seed: int, steps: StepTimer) -> RowEvidence:
        """See `Domain`; tables have no evidence beyond their rows."""
        del dataset, seed, steps
        return evidence

    def task_models(self, dataset: Dataset, folds: Folds, *, seed: int, on_fold: Callable[[int], None]) -> NetworkFolds:
        """See `Domain`."""
        model = self.model
        if isinstance(model, str):
            model = make_task_model(model, SharedShape.of(dataset) if self.share_programs else dataset)
        models = train_fold_models(training_key(seed), model, dataset.x, dataset.y, folds, max_epochs=self.max_epochs)
        on_fold(len(folds.train))
        return dataclasses.replace(models, num_outputs=dataset.num_classes)

    def altered(self, encode: Encode, evidence: RowEvidence, *, seed: int, steps: StepTimer) -> AlteredRows | None:
        """See `Domain`."""
        with steps("put known errors in", 1) as advance:
            altered = alter_rows(self.table, encode, evidence, task=self.task, every_kind=self.every_kind, seed=seed)
            advance(1)
        return altered

    def presentation(self, models: FoldModels, evidence: RowEvidence) -> RowPresentation:
        """See `Domain`."""
        del models, evidence
        name = self.table.options.id
        return RowPresentation(identifiers=() if name is None else (name,))


class SharedShape(NamedTuple):
    """What a task model needs to know of an encoded table, in sizes that tables share; see `EncodedTable`."""

    task: str
    num_classes: int
    groups: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, dataset: Dataset) -> SharedShape:
        """Classes rounded up to a power of two, and groups of eight features."""
        starts = range(0, dataset.x.shape[1], _SHARED_TOKEN)
        groups = tuple((start, start + _SHARED_TOKEN) for start in starts)
        return cls(dataset.task, power_of_two(dataset.num_classes), groups)


def read_valid(valid: Any, table: Table) -> pd.DataFrame:
    """Trusted rows, parsed as the training table was.

    Raises:
      InputError: they lack columns, have infinite values, or are too few.
    """
    from demix_jax.data.kinds import column_of
    from demix_jax.data.read import read_written
    from demix_jax.data.table_checks import count_infinite

    written = read_written(valid, table.options, "The validation table").frame
    given = {str(name) for name in written.columns}
    missing = [str(name) for name in table.frame.columns if str(name) not in given]
    if missing:
        raise InputError(
            f"The validation table lacks the column(s) {', '.join(missing[:8])} of the training table; give a table "
            "with the same columns."
        )
    if len(written) < _MIN_VALID_ROWS:
        raise InputError(
            f"The validation table has {len(written)} rows; give at least {_MIN_VALID_ROWS}, or leave it out to "
            "cross-fit the training table."
        )
    parsed = table.parser(written)
    infinite = [str(name) for name in parsed.columns if count_infinite(column_of(parsed, name))]
    if infinite:
        raise InputError(
            f"The validation table has infinite values in {', '.join(infinite[:8])}; replace them by numbers or leave "
            "them empty."
        )
    return parsed
