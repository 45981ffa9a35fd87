"""Label sets in which people, rules or models made the errors, with known truth.

They are read from the folder `natural` of DEMIX_DATA_DIR. A learner sees the text, or the class probabilities, and the
given label; never votes, ratings or identifiers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from demix_jax import InputError

LABEL, TEXT = "label", "text"
_CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_CONFIRMED_BY = 3  # of five answers


@dataclass(frozen=True)
class LabelSet:
    """One set.

    Attributes:
      name: as in the results.
      table: N rows, the inputs and `LABEL`, the label that a learner is given.
      true_label: str[N] where the set has one class as truth, else None.
      wrong: bool[N], rows whose given label is wrong.
      test: rows with true labels, none with a text of `table`; None if there are none.
      class_names: of input columns that are class probabilities, in their order; empty for texts.
    """

    name: str
    table: pd.DataFrame
    true_label: np.ndarray | None
    wrong: np.ndarray
    test: pd.DataFrame | None
    class_names: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the input is one column of texts."""
        return TEXT in self.table.columns


@dataclass(frozen=True)
class _Source:
    """file: in the folder. read: from its table to a LabelSet. counted: whether means and checks count it."""

    file: str
    read: Callable[[str, pd.DataFrame], LabelSet]
    counted: bool = True

    @property
    def is_text(self) -> bool:
        """Whether the input is one column of texts."""
        return self.read is _texts


def load_set(name: str) -> LabelSet:
    """A label set by name.

    Raises:
      InputError: there is no set of this name, or its file is not where it should be.
    """
    if name not in SOURCES:
        raise InputError(f"There is no label set '{name}'; choose one of {', '.join(SOURCES)}.")
    path = _folder() / SOURCES[name].file
    if not path.is_file():
        raise InputError(
            f"The label set '{name}' is not at {path}; set DEMIX_DATA_DIR to the folder that holds "
            f"natural/{SOURCES[name].file}."
        )
    return SOURCES[name].read(name, pd.read_parquet(path))


def missing_sets(names: list[str]) -> dict[str, str]:
    """Sets whose file is missing, and a sentence that says so."""
    paths = {name: _folder() / SOURCES[name].file for name in names}
    return {name: f"Skipped {name}: there is no file {path}." for name, path in paths.items() if not path.is_file()}


def _folder() -> Path:
    return Path(os.environ.get("DEMIX_DATA_DIR", ".")) / "natural"


def _texts(name: str, frame: pd.DataFrame) -> LabelSet:
    """Rows of the training split that a label was given to; classes as text, so that none is taken for a number."""
    train = frame.loc[(frame["split"] == "train") & frame["label_noisy"].notna()].reset_index(drop=True)
    test = frame.loc[(frame["split"] == "test") & ~frame[TEXT].isin(train[TEXT])].reset_index(drop=True)
    given, true = (train[column].astype(str).to_numpy(str) for column in ("label_noisy", "label_true"))
    return LabelSet(
        name=name,
        table=pd.DataFrame({TEXT: train[TEXT], LABEL: given}),
        true_label=true,
        wrong=given != true,
        test=pd.DataFrame({TEXT: test[TEXT], LABEL: test["label_true"].astype(str)}),
    )


def _cifar(name: str, frame: pd.DataFrame) -> LabelSet:
    """CIFAR-10 test images by the probabilities of a network that never saw them.

    Wrong: fewer than three of five people confirm the given label, or most of about 51 people see another class.
    """
    votes = frame[[f"human{k}" for k in range(len(_CIFAR_CLASSES))]].to_numpy()
    given = frame["given_label"].to_numpy(int)
    unconfirmed = (frame["mturk_given"].fillna(5) < _CONFIRMED_BY).to_numpy(bool)
    inputs = frame[[f"p{k}" for k in range(len(_CIFAR_CLASSES))]]
    return LabelSet(
        name=name,
        table=inputs.assign(**{LABEL: np.array(_CIFAR_CLASSES)[given]}),
        true_label=None,
        wrong=unconfirmed | (votes.argmax(axis=1) != given),
        test=None,
        class_names=_CIFAR_CLASSES,
    )


def _mnist(name: str, frame: pd.DataFrame) -> LabelSet:
    """MNIST test images by their out-of-sample class probabilities; wrong: suspects that people did not confirm."""
    inputs = frame[[f"p{k}" for k in range(10)]]
    return LabelSet(
        name=name,
        table=inputs.assign(**{LABEL: "digit " + frame["label"].astype(str)}),
        true_label=None,
        wrong=frame["confirmed_error"].fillna(False).to_numpy(bool),
        test=None,
        class_names=tuple(f"digit {k}" for k in range(10)),
    )


SOURCES = {
    "SMS": _Source("sms_weak_labels.parquet", _texts),
    "Hausa": _Source("hausa_news_noisy.parquet", _texts),
    "TREC": _Source("trec_weak_labels.parquet", _texts),
    "CIFAR-10": _Source("cifar10_test_human.parquet", _cifar),
    "AG News": _Source("agnews_crowd.parquet", _texts),
    "ChemProt": _Source("chemprot_weak_labels.parquet", _texts),
    "MNIST": _Source("mnist_test_suspects.parquet", _mnist, counted=False),
}
