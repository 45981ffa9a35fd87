"""Preference pairs in, a diagnosis out: which pairs are swapped, damaged, or break a shortcut, and why."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from demix_jax.classifier import ErrorClassifier, load_classifier
from demix_jax.common.checks import InputError, check_seed
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.progress import Steps
from demix_jax.data.fingerprint import fingerprint
from demix_jax.diagnosis.description import describe
from demix_jax.diagnosis.pipeline import conclude, judge
from demix_jax.diagnosis.result import Diagnosis
from demix_jax.domains.preference.decoder.hidden_states import Reading, read_answers
from demix_jax.domains.preference.decoder.load import load_decoder
from demix_jax.domains.preference.decoder.tokens import TokenPair, encode_pairs
from demix_jax.domains.preference.decoder.weights import Decoder
from demix_jax.domains.preference.examples import make_examples
from demix_jax.domains.preference.files import read_pairs
from demix_jax.domains.preference.fold_models import PairFolds, TrainingOptions, train_pair_folds
from demix_jax.domains.preference.measured_table import LABEL, measured_table
from demix_jax.domains.preference.model import PreferenceModel
from demix_jax.domains.preference.objectives import BradleyTerry, Objective
from demix_jax.domains.preference.pairs import Pairs, join_pairs, notes, text_table
from demix_jax.domains.preference.sides import Order, draw_order
from demix_jax.evidence.gather import gather_evidence

if TYPE_CHECKING:
    import pandas as pd

_MIN_PAIRS = 30
_KINDS_OF_NOTE = {
    "answer is empty": "with an empty answer",
    "answers are the same": "whose answers are the same",
    "The prompt has": "whose prompt was longer than what is read",
    "answer only the first": "with an answer longer than what is read",
}
_NAMED_ROWS = 8  # rows that a note names before it says how many more there are


@dataclasses.dataclass(frozen=True)
class PairDiagnosis:
    """Which of N pairs are wrong, in which way, and why.

    Attributes:
      table: one row per pair: label_error (the preference looks swapped), feature_error (a text looks damaged),
        spurious_correlation (the pair breaks a shortcut), each 0 or 1; p_… probabilities; margin (score of the chosen
        answer minus that of the rejected one, by a model that never saw the pair); suggestion ("swap" for a label
        error, else ""); damaged ("chosen", "rejected" or both, joined by ";"); suspect_measures (what stands out
        in a feature error); note (what is wrong whatever the other pairs look like, or was left out in reading).
      pairs: the pairs. valid: trusted ones, or None.
      measured: the diagnosis of the table of measures, with influence f32[N, M] over the adapters' gradients
        (negative: raising the pair's weight lowers the validation pair's loss) and the evidence.
      order: which answer was put second.
      summary: counts, rates, settings, versions, seconds per step.
    """

    table: pd.DataFrame
    pairs: Pairs
    valid: Pairs | None
    measured: Diagnosis
    order: Order
    summary: dict[str, Any]

    def to_html(self, path: str | os.PathLike) -> None:
        """Write the report: one file that opens without a network."""
        from demix_jax.common.files import write_text
        from demix_jax.domains.preference.page import render

        write_text(path, render(self, folder=Path(path).parent))

    def save(self, directory: str | os.PathLike) -> None:
        """Write diagnosis.csv, summary.json and report.html to a folder: all of them or none."""
        from demix_jax.common.files import DIAGNOSIS_FILES, atomic_paths, json_text
        from demix_jax.domains.preference.page import render

        folder = Path(directory)
        with atomic_paths(*(folder / name for name in DIAGNOSIS_FILES)) as (table, summary, report):
            self.table.to_csv(table, index_label="row")
            summary.write_text(json_text(self.summary), encoding="utf-8")
            report.write_text(render(self, folder=folder), encoding="utf-8")


def diagnose(
    pairs: Pairs | str | os.PathLike,
    *,
    model: Decoder | str | os.PathLike,
    valid: Pairs | str | os.PathLike | None = None,
    objective: Objective = BradleyTerry(),  # noqa: B008
    num_adapted: int = 1,
    rank: int = 8,
    max_prompt: int = 512,
    max_answer: int = 512,
    training: TrainingOptions = TrainingOptions(),  # noqa: B008
    classifier: str | os.PathLike | ErrorClassifier = "default",
    seed: int = 0,
    progress: Any = None,
) -> PairDiagnosis:
    """Find swapped preferences, damaged texts and pairs that break a shortcut.

    The decoder reads every answer once. Its states feed preference models with LoRA adapters, cross-fitted, whose
    gradients give the influence; its likelihoods, with measures of the texts, make the table on which the rest of
    the evidence and the error classifier work as on any table.

    Args:
      pairs: N ≥ 30 pairs, or a path as `read_pairs` takes it.
      model: frozen decoder, or a path as `load_decoder` takes it.
      valid: trusted pairs, at least 10; None: each fold is set against pairs of the other folds.
      objective: BradleyTerry() or DPO().
      num_adapted, rank: last layers that get adapters, and the rank of these.
      max_prompt, max_answer: tokens read at most: the last ones of a prompt, the first ones of an answer.
      training: of the adapters.
      classifier: "default", a weights file, or a loaded classifier; it needs no training on pairs.
      seed: of all randomness. progress: None, or a display with stage(name, total), advance(n) and done().
    Returns:
      PairDiagnosis.
    Raises:
      InputError: pairs, model or an option cannot be used; the message says why and what to do.
    """
    check_seed(seed)
    pairs = pairs if isinstance(pairs, Pairs) else read_pairs(pairs)
    trusted = valid if valid is None or isinstance(valid, Pairs) else read_pairs(valid)
    _check_counts(pairs, trusted)
    if not isinstance(classifier, ErrorClassifier):
        classifier = load_classifier(classifier)
    decoder = model if isinstance(model, Decoder) else load_decoder(model)
    _check_options(decoder, num_adapted, rank, max_prompt, max_answer)
    network = PreferenceModel(decoder.config, objective, num_adapted, rank)
    everything = pairs if trusted is None else join_pairs(pairs, trusted)
    steps = Steps(progress)
    with steps("read the answers", 2 * len(everything)) as advance:
        encoded = encode_pairs(decoder.tokens, everything, max_prompt=max_prompt, max_answer=max_answer)
        reading = read_answers(decoder, network, encoded, on_answer=advance)
    diagnosis = diagnose_read(
        pairs, trusted, decoder, network, encoded, reading, classifier, training=training, seed=seed, steps=steps
    )
    said = _notes(pairs, encoded, max_prompt, max_answer)
    table = diagnosis.table.assign(note=said)
    told = {"notes": [*diagnosis.summary["notes"], *_counted(said)], "max_prompt": max_prompt, "max_answer": max_answer}
    return dataclasses.replace(diagnosis, table=table, summary=diagnosis.summary | told)


def diagnose_read(
    pairs: Pairs,
    valid: Pairs | None,
    decoder: Decoder,
    network: PreferenceModel,
    encoded: list[TokenPair],
    reading: Reading,
    classifier: ErrorClassifier,
    *,
    training: TrainingOptions,
    seed: int,
    steps: Steps,
) -> PairDiagnosis:
    """`diagnose` from where the decoder has read the answers, without notes.

    Args:
      pairs, valid: N pairs, and trusted ones or None; `encoded` and `reading` hold the former, then the latter.
      decoder: what read them. network: what its states are for. steps: times and shows the work.
    """
    from demix_jax.data import TableEncoder

    everything = pairs if valid is None else join_pairs(pairs, valid)
    with steps("measure the texts", 1) as advance:
        order = draw_order(np.random.default_rng([seed, 2]), len(everything))
        frame = measured_table(everything, decoder.tokens, encoded, reading, order)
        encoder = TableEncoder.fit(frame.iloc[: len(pairs)], LABEL, task="classification")
        dataset = encoder.transform(frame)
        advance(1)
    evidence = gather_evidence(dataset, num_train=len(pairs), mistakes=False, seed=seed, steps=steps)
    with steps("train preference models", len(evidence.folds.train)) as advance:
        examples = make_examples(network, encoded, reading)
        frozen, key = network.frozen(decoder.weights), jax.random.key(seed)
        models = train_pair_folds(
            key, network, frozen, examples, order, evidence.folds, options=training, on_fold=advance
        )
    tables = frame.iloc[: len(pairs)], None if valid is None else frame.iloc[len(pairs) :].reset_index(drop=True)
    description = describe(dataset, evidence, models, num_train=len(pairs), seed=seed, steps=steps)
    settings = {
        "model": decoder.name,
        "seed": seed,
        "task": "preference",
        "train": pairs.source or None,
        "fingerprint": fingerprint(text_table(pairs)),
        "objective": type(network.objective).__name__,
        "adapted_layers": network.num_adapted,
        "rank": network.rank,
        "notes": [],
    }
    verdict = judge(classifier, dataset, description, steps)
    steps.done()
    measured = conclude(*tables, encoder, dataset, description, verdict, steps, settings)
    table = _pair_table(measured, order, _margins(models, evidence.folds.fold[: len(pairs)]))
    return PairDiagnosis(table, pairs, valid, measured, order, measured.summary)


def _check_counts(pairs: Pairs, valid: Pairs | None) -> None:
    if len(pairs) < _MIN_PAIRS:
        raise InputError(f"There are {len(pairs)} pairs; a diagnosis needs at least {_MIN_PAIRS}.")
    if valid is not None and len(valid) < 10:
        raise InputError(
            f"There are {len(valid)} validation pairs; give at least 10, or none to cross-fit the training pairs."
        )


def _check_options(decoder: Decoder, num_adapted: int, rank: int, max_prompt: int, max_answer: int) -> None:
    config = decoder.config
    if not 1 <= num_adapted <= config.num_layers:
        raise InputError(f"num_adapted is {num_adapted}; {decoder.name} has {config.num_layers} layers to adapt.")
    if rank < 1:
        raise InputError(f"rank is {rank}; give at least 1.")
    if max_prompt < 1 or max_answer < 2:
        raise InputError(f"max_prompt is {max_prompt} and max_answer {max_answer}; give at least 1 and 2 tokens.")
    if max_prompt + max_answer > config.context:
        raise InputError(
            f"max_prompt {max_prompt} and max_answer {max_answer} exceed the context of {decoder.name}, "
            f"{config.context} tokens; lower one of them."
        )


def _margins(models: PairFolds, fold: np.ndarray) -> np.ndarray:
    """f32[N]: score of the chosen answer minus that of the rejected one, by a model that never saw the pair."""
    margins = np.zeros(len(fold), np.float32)
    for number in range(len(models.adapters)):
        rows = np.flatnonzero(fold == number)
        chosen, rejected = models.scores(number, rows).T
        margins[rows] = chosen - rejected
    return margins


def _pair_table(measured: Diagnosis, order: Order, margins: np.ndarray) -> pd.DataFrame:
    table = measured.table
    result = table.loc[:, [*ERROR_TYPES, *(f"p_{name}" for name in ERROR_TYPES)]].copy()
    result["margin"] = margins
    result["suggestion"] = np.where(table["label_error"] == 1, "swap", "")
    suspects = table["suspect_columns"]
    result["damaged"] = [
        ";".join(name for name in ("chosen", "rejected") if f", {order.side_name(row, name)}" in columns)
        for row, columns in enumerate(suspects)
    ]
    result["suspect_measures"] = [in_pair_words(columns, order, row) for row, columns in enumerate(suspects)]
    return result


def in_pair_words(columns: str, order: Order, row: int) -> str:
    """Columns of the measured table, joined by ";", with "chosen" and "rejected" for the sides of this pair."""
    for name in ("chosen", "rejected"):
        columns = columns.replace(f", {order.side_name(row, name)}", f" of {name}")
    return columns


def _notes(pairs: Pairs, encoded: list[TokenPair], max_prompt: int, max_answer: int) -> list[str]:
    """Of each pair what is wrong whatever the others look like, and what was not read of it; usually ""."""
    said = []
    for pair, tokens in zip(pairs.pairs, encoded, strict=False):
        found = notes(pair)
        if tokens.prompt_length > max_prompt:
            found.append(f"The prompt has {tokens.prompt_length} tokens, of which the last {max_prompt} were read.")
        found += [
            f"Of the {name} answer only the first {max_answer} tokens were read."
            for name in ("chosen", "rejected")
            if getattr(tokens, name).cut
        ]
        said.append(" ".join(found))
    return said


def _counted(said: list[str]) -> list[str]:
    """One sentence per kind of note: how many pairs have it, and which."""
    counted = []
    for text, what in _KINDS_OF_NOTE.items():
        rows = [row for row, note in enumerate(said) if text in note]
        if rows:
            named = ", ".join(map(str, rows[:_NAMED_ROWS])) + (", …" if len(rows) > _NAMED_ROWS else "")
            counted.append(f"{len(rows):,} pair{'s' if len(rows) > 1 else ''} {what}: row {named}.")
    return counted
