"""Diagnosis of a table larger than memory: fit on a sample of its rows, then judge every row."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from demix_jax.classifier import ErrorClassifier, Verdict
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import DIAGNOSIS_FILES, atomic_paths, check_writable, json_text
from demix_jax.common.progress import ProgressLike, StepTimer
from demix_jax.common.read_options import ReadOptions
from demix_jax.common.row_names import ROW
from demix_jax.data.fingerprint import TableFingerprint, row_fingerprints
from demix_jax.diagnosis.description import describe_more
from demix_jax.diagnosis.explanation import cell_doubt, expected_labels, named_mistakes, respelled_labels
from demix_jax.diagnosis.flagging import Flagging
from demix_jax.diagnosis.fold_models import NetworkFolds
from demix_jax.diagnosis.pipeline import FittedTable, conclude, fit_samples, judge, label_predictability
from demix_jax.diagnosis.result import Diagnosis
from demix_jax.diagnosis.row_order import in_given_order
from demix_jax.diagnosis.table import Tally, row_table, suspect_columns, with_fingerprints
from demix_jax.domains.tables.domain import TableDomain, check_options, read_valid
from demix_jax.domains.tables.judged_notes import with_judged_notes
from demix_jax.evidence.gather import more_evidence
from demix_jax.models import TaskModelLike

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.data import Table
    from demix_jax.data.folds.finder import FoldFinder

_CHUNK_ROWS = 16_384
_MIN_FIT_ROWS = 1_000


@dataclasses.dataclass(frozen=True)
class LargeDiagnosis:
    """A diagnosis on disk.

    path: diagnosis.csv, with a line per row of the table, in its order, and the columns of `Diagnosis.table`.
    sample: full diagnosis of the rows that the models were fitted on. The index of its tables is the row number in the
      file. Its summary counts all rows of the file.
    """

    path: Path
    sample: Diagnosis


def diagnose_out_of_core(
    train: str | os.PathLike,
    *,
    label: str,
    out: str | os.PathLike,
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
    fit_rows: int = 50_000,
    progress: ProgressLike | None = None,
) -> LargeDiagnosis:
    """Find the errors of a table larger than memory; only its label column is held in memory as a whole.

    Trees, column models, task models, rules and reference statistics of the signals are fitted on a random sample of
    rows, which is diagnosed as in `diagnose`. Then the table is read again, and every row is judged out of fold. The
    probabilities of a row depend neither on the rows read with it nor on how many are read at once.

    Args:
      train: path of a file or folder with N ≥ 30 rows, as in `diagnose`.
      label, valid, task, model, classifier, kinds, ignore, id, groups, time, missing, encoding, sheet, seed, progress:
        as in `diagnose`. Kinds are recognised by the sample.
      out: folder for diagnosis.csv, summary.json and report.html; either all of them are written or none.
      fit_rows: number of rows to fit on, at least 1,000, or all rows of a smaller table; memory grows with it.
    Returns:
      LargeDiagnosis.
    Raises:
      InputError: as in `diagnose`, or `fit_rows` is too small.
    """
    from demix_jax.data.folds.finder import FoldFinder
    from demix_jax.data.sources.boundary import printable
    from demix_jax.data.sources.open import open_source
    from demix_jax.data.survey import survey_table, written_chunks
    from demix_jax.data.table_checks import check_table

    classifier = check_options(model, classifier, seed)
    if fit_rows < _MIN_FIT_ROWS:
        raise InputError(f"fit_rows is {fit_rows}; give at least {_MIN_FIT_ROWS:,} rows to fit the models on.")
    options = ReadOptions.of(
        kinds=kinds, ignore=ignore, id=id, groups=groups, time=time, missing=missing, encoding=encoding, sheet=sheet
    )
    source, folder = open_source(train, encoding=encoding, sheet=sheet), Path(out)
    check_writable(folder, folder=True)
    steps = StepTimer(progress)
    with steps("read the table", 0) as advance:
        survey = survey_table(
            source,
            label,
            options,
            task=task,
            sample_rows=fit_rows,
            chunk_rows=_CHUNK_ROWS,
            seed=seed,
            on_rows=advance,
        )
    num_rows, sample = survey.num_rows, survey.sample
    check_table(sample, task=survey.task)
    trusted = None if valid is None else read_valid(valid, sample)
    given = TableDomain(table=sample, task=survey.task, valid=trusted, model=model, source=printable(train))
    domain, order = given.in_canonical_order()
    table = domain.table
    rows = domain.rows(steps)
    fitted = fit_samples(domain, rows, seed=seed, steps=steps)
    verdict = judge(classifier, fitted, steps)
    sample_diagnosis = conclude(domain, rows, fitted, verdict, seed=seed, steps=steps)
    sample_diagnosis = in_given_order(sample_diagnosis, order, sample.written)
    sample_diagnosis = with_judged_notes(sample_diagnosis, table)
    own_folds = fitted.gathered.evidence.folds.fold[: len(table)]
    finder = FoldFinder.of(table, own_folds)
    judge_rows, tally = _RowJudge(table, fitted, verdict, finder), Tally()
    digest = TableFingerprint(list(table.written.columns))
    with atomic_paths(*(folder / name for name in DIAGNOSIS_FILES)) as (table_path, summary_path, report_path):
        chunk_rows = -(-num_rows // -(-num_rows // _CHUNK_ROWS))  # chunks of similar size share compiled programs
        with table_path.open("w", encoding="utf-8", newline="") as file, steps("judge all rows", num_rows) as advance:
            for chunk in written_chunks(source, chunk_rows):
                fingerprints = row_fingerprints(chunk)
                digest.update(fingerprints)
                judged = with_fingerprints(judge_rows(chunk, tally), fingerprints)
                judged.to_csv(file, index_label=ROW, header=file.tell() == 0)
                advance(len(chunk))
        steps.done()
        shown = f"The report shows rows among {len(table):,} drawn at random, on which the models were fitted; "
        summary = dataclasses.replace(
            sample_diagnosis.summary,
            **tally.counted()._asdict(),
            drawn_from=num_rows,
            fitted_rows=len(table),
            fingerprint=digest.hexdigest(),
            seconds=steps.rounded(),
            notes=(f"{shown}{DIAGNOSIS_FILES[0]} has all {num_rows:,}.", *sample_diagnosis.summary.notes),
        )
        sample_diagnosis = dataclasses.replace(sample_diagnosis, summary=summary)
        summary_path.write_text(json_text(summary.as_dict()), encoding="utf-8")
        page = sample_diagnosis.presentation.page(sample_diagnosis, folder)
        report_path.write_text(page, encoding="utf-8")
    return LargeDiagnosis(folder / DIAGNOSIS_FILES[0], sample_diagnosis)


class _RowJudge:
    """Judges any rows of a table with the models that were fitted on a sample of its rows.

    Args:
      sample: the inspected sample; the index holds its row numbers in the table.
      fitted, verdict: models and verdict of the sample.
      finder: finds the folds of rows outside the sample.
    """

    def __init__(self, sample: Table, fitted: FittedTable, verdict: Verdict, finder: FoldFinder):
        self._sample, self._fitted, self._verdict, self._finder = sample, fitted, verdict, finder
        numbers = sample.frame.index.to_numpy()
        self._flagging = Flagging.of(verdict.threshold, labels_judged=label_predictability(fitted).labels_judged)
        self._order = np.argsort(numbers)
        self._numbers = numbers[self._order]

    def __call__(self, chunk: pd.DataFrame, tally: Tally) -> pd.DataFrame:
        """`Diagnosis.table` of rows as written, whose index is their row number in the table; adds them to `tally`."""
        gathered = self._fitted.gathered
        parsed = self._sample.parser(chunk)
        rows = gathered.encoder.transform(parsed)
        respelt = self._sample.respelt(chunk)
        evidence = more_evidence(gathered.evidence, rows, self._folds(parsed))
        models, of_sample = self._fitted.models, self._fitted.description
        assert isinstance(models, NetworkFolds)
        description = describe_more(rows, evidence, gathered.dataset, models, of_sample, of=gathered.evidence)
        evidence = description.evidence
        probability = self._verdict.of_more(description.vectors, description.signals, evidence.mistaken)
        flags, probability = self._flagging(probability, respelt)
        tally.add(flags, probability)
        feature_error = ERROR_TYPES.index("feature_error")
        doubt, names = cell_doubt(evidence, rows, probability), [rows.columns[q].name for q in rows.first_parts]
        table = row_table(
            chunk.index,
            flags,
            probability,
            expected_label=respelled_labels(
                gathered.encoder, rows.y, expected_labels(gathered.encoder, evidence), respelt
            ),
            suspects=suspect_columns(flags[:, feature_error], doubt, names),
            mistakes=named_mistakes(evidence, flags[:, feature_error], probability[:, feature_error]),
        )
        name = self._sample.options.id
        if name is not None:
            table.insert(0, name, chunk[name])
        return table

    def _folds(self, chunk: pd.DataFrame) -> np.ndarray:
        """i32[n]: fold whose models describe each row; rows of the sample keep their own fold."""
        own, numbers = self._fitted.gathered.evidence.folds, chunk.index.to_numpy()
        place = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
        in_sample = self._numbers[place] == numbers
        return np.where(in_sample, own.fold[self._order[place]], self._finder.find(chunk)).astype(np.int32)
