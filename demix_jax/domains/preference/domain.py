"""Diagnosis of preference pairs: `diagnose`, and the domain behind it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import numpy as np

from demix_jax.classifier import ErrorClassifier, load_classifier
from demix_jax.common.checks import InputError, check_seed
from demix_jax.common.progress import ProgressLike, StepTimer
from demix_jax.data.fingerprint import row_fingerprints, table_fingerprint
from demix_jax.data.folds.plan import Folds
from demix_jax.diagnosis.domain import Encode, Rows
from demix_jax.diagnosis.fold_models import FoldModels
from demix_jax.diagnosis.pipeline import diagnose_samples
from demix_jax.diagnosis.probes import AlteredRows
from demix_jax.diagnosis.result import Diagnosis
from demix_jax.domains.preference.decoder.hidden_states import Reading, read_answers
from demix_jax.domains.preference.decoder.load import load_decoder
from demix_jax.domains.preference.decoder.tokens import TokenPair, encode_pairs
from demix_jax.domains.preference.decoder.weights import Decoder
from demix_jax.domains.preference.examples import make_examples
from demix_jax.domains.preference.files import read_pairs
from demix_jax.domains.preference.fold_models import AdapterTraining, PairFolds, train_pair_folds
from demix_jax.domains.preference.measured_table import LABEL, measured_table
from demix_jax.domains.preference.model import PreferenceModel
from demix_jax.domains.preference.objectives import BradleyTerry, Objective
from demix_jax.domains.preference.page import PairPresentation
from demix_jax.domains.preference.pairs import Pairs, join_pairs, notes, text_table
from demix_jax.domains.preference.sides import Order, draw_order
from demix_jax.evidence.row_evidence import RowEvidence

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_MIN_PAIRS = 30
_NOTE_KINDS = {  # part of a note on a pair -> its wording in the summary
    "answer is empty": "with an empty answer",
    "answers are the same": "whose answers are the same",
    "The prompt has": "whose prompt was longer than what is read",
    "answer only the first": "with an answer longer than what is read",
}
_NAMED_ROWS = 8  # rows that a note lists at most


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
    training: AdapterTraining = AdapterTraining(),  # noqa: B008
    classifier: str | os.PathLike | ErrorClassifier = "default",
    seed: int = 0,
    progress: ProgressLike | None = None,
) -> Diagnosis:
    """Find swapped preferences, damaged texts and pairs that break a shortcut.

    The decoder reads every answer once. Its hidden states feed cross-fitted preference models with LoRA adapters, whose
    gradients give the influence. Its log-likelihoods and measures of the texts form a table. The other evidence and the
    error classifier work on this table as on any other.

    Args:
      pairs: N ≥ 30 pairs, or a path for `read_pairs`.
      model: frozen decoder, or a path for `load_decoder`.
      valid: at least 10 trusted pairs, or their path; None: each fold is compared with pairs of the other folds.
      objective: BradleyTerry() or DPO().
      num_adapted, rank: number of last layers with adapters, and rank of the adapters.
      max_prompt, max_answer: number of tokens that are read at most, from the end of a prompt and from the start of an
        answer.
      training: options of adapter training.
      classifier: "default", a weights file, or a loaded classifier; it needs no training on pairs.
      seed: of all randomness; the same seed gives the same diagnosis.
      progress: None, or a display with stage(name, total), advance(n) and done().
    Returns:
      Diagnosis. Its `table` has a row per pair, see `PairPresentation.table`; its `train` holds the measures of the
      pairs.
    Raises:
      InputError: the pairs, the model or an option cannot be used; the message tells why and what to do.
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
    steps = StepTimer(progress)
    with steps("read the answers", 2 * len(everything)) as advance:
        encoded = encode_pairs(decoder.tokens, everything, max_prompt=max_prompt, max_answer=max_answer)
        reading = read_answers(decoder, network, encoded, on_answer=advance)
    domain = PairDomain(
        pairs=pairs,
        valid=trusted,
        decoder=decoder,
        network=network,
        encoded=encoded,
        reading=reading,
        order=draw_order(np.random.default_rng([seed, 2]), len(everything)),
        training=training,
        max_prompt=max_prompt,
        max_answer=max_answer,
    )
    return diagnose_samples(domain, classifier=classifier, seed=seed, progress=steps)


@dataclasses.dataclass(frozen=True)
class PairDomain:
    """N preference pairs that a decoder has read, see `Domain`.

    Attributes:
      pairs, valid: N pairs, and trusted pairs or None.
      decoder: the frozen decoder. network: the preference model on its hidden states.
      encoded, reading: tokens of the pairs and output of the decoder; first the N pairs, then the trusted pairs.
      order: of the two answers of each pair.
      training: options of adapter training.
      max_prompt, max_answer: number of tokens that were read at most.
    """

    pairs: Pairs
    valid: Pairs | None
    decoder: Decoder
    network: PreferenceModel
    encoded: list[TokenPair]
    reading: Reading
    order: Order
    training: AdapterTraining = AdapterTraining()  # noqa: RUF009
    max_prompt: int = 512
    max_answer: int = 512

    @property
    def known_mistakes(self) -> bool:
        """See `Domain`; measures are computed, not entered by people."""
        return False

    def rows(self, steps: StepTimer) -> Rows:
        """See `Domain`; one row of measures per pair."""
        from demix_jax.data import inspect_table

        count, network = len(self.pairs), self.network
        with steps("measure the texts", 1) as advance:
            everything = self.pairs if self.valid is None else join_pairs(self.pairs, self.valid)
            frame = measured_table(everything, self.decoder.tokens, self.encoded, self.reading, self.order)
            advance(1)
        texts = text_table(self.pairs)
        fingerprints = row_fingerprints(texts)
        return Rows(
            table=inspect_table(frame.iloc[:count], LABEL),
            task="classification",
            fingerprint=table_fingerprint(list(texts.columns), fingerprints),
            row_fingerprints=fingerprints,
            model=self.decoder.name,
            valid=None if self.valid is None else frame.iloc[count:].reset_index(drop=True),
            notes=tuple(_count_notes(self.notes())),
            source=self.pairs.source or None,
            task_name="preference",
            settings={
                "objective": type(network.objective).__name__,
                "adapted_layers": network.num_adapted,
                "rank": network.rank,
                "max_prompt": self.max_prompt,
                "max_answer": self.max_answer,
            },
        )

    def check(self, dataset: Dataset) -> None:
        """See `Domain`; preference models suit any pairs."""
        del dataset

    def refine(self, evidence: RowEvidence, dataset: Dataset, *, seed: int, steps: StepTimer) -> RowEvidence:
        """See `Domain`; pairs have no evidence beyond their measures."""
        del dataset, seed, steps
        return evidence

    def task_models(self, dataset: Dataset, folds: Folds, *, seed: int, on_fold: Callable[[int], None]) -> PairFolds:
        """See `Domain`."""
        del dataset
        examples = make_examples(self.network, self.encoded, self.reading)
        return train_pair_folds(
            jax.random.key(seed),
            self.network,
            self.network.frozen(self.decoder.weights),
            examples,
            order=self.order,
            folds=folds,
            options=self.training,
            on_fold=on_fold,
        )

    def altered(self, encode: Encode, evidence: RowEvidence, *, seed: int, steps: StepTimer) -> AlteredRows | None:
        """See `Domain`; no probes, since the decoder would have to read altered texts again."""
        del encode, evidence, seed, steps

    def presentation(self, models: FoldModels, evidence: RowEvidence) -> PairPresentation:
        """See `Domain`."""
        assert isinstance(models, PairFolds)
        margin = _margins(models, evidence.folds.fold[: len(self.pairs)])
        return PairPresentation(
            pairs=self.pairs, valid=self.valid, order=self.order, margin=margin, notes=tuple(self.notes())
        )

    def notes(self) -> list[str]:
        """For each pair, faults that show without a model and parts that were not read; usually ""."""
        notes_of_pairs = []
        for pair, tokens in zip(self.pairs.pairs, self.encoded, strict=False):
            found = notes(pair)
            if tokens.prompt_length > self.max_prompt:
                found.append(
                    f"The prompt has {tokens.prompt_length} tokens, of which the last {self.max_prompt} were read."
                )
            found += [
                f"Of the {name} answer only the first {self.max_answer} tokens were read."
                for name in ("chosen", "rejected")
                if getattr(tokens, name).cut
            ]
            notes_of_pairs.append(" ".join(found))
        return notes_of_pairs


def _check_counts(pairs: Pairs, valid: Pairs | None) -> None:
    """InputError if there are too few pairs."""
    if len(pairs) < _MIN_PAIRS:
        raise InputError(f"There are {len(pairs)} pairs; a diagnosis needs at least {_MIN_PAIRS}.")
    if valid is not None and len(valid) < 10:
        raise InputError(
            f"There are {len(valid)} validation pairs; give at least 10, or none to cross-fit the training pairs."
        )


def _check_options(decoder: Decoder, num_adapted: int, rank: int, max_prompt: int, max_answer: int) -> None:
    """InputError if the decoder has too few layers or too short a context, or a number is too small."""
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
    """f32[N]: out-of-fold score of the chosen answer minus that of the rejected answer."""
    margins = np.zeros(len(fold), np.float32)
    for number in range(len(models.adapters)):
        rows = np.flatnonzero(fold == number)
        chosen, rejected = models.scores(number, rows).T
        margins[rows] = chosen - rejected
    return margins


def _count_notes(notes_of_pairs: list[str]) -> list[str]:
    """One sentence per kind of note: how many pairs have it, and which."""
    sentences = []
    for text, what in _NOTE_KINDS.items():
        rows = [row for row, note in enumerate(notes_of_pairs) if text in note]
        if rows:
            named = ", ".join(map(str, rows[:_NAMED_ROWS])) + (", …" if len(rows) > _NAMED_ROWS else "")
            sentences.append(f"{len(rows):,} pair{'s' if len(rows) > 1 else ''} {what}: row {named}.")
    return sentences
