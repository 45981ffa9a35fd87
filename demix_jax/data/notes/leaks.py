"""Columns that were probably made from the label, or that are known only after it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from demix_jax.common.wording import listed, percent, shortened
from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import as_numbers, levels
from demix_jax.data.notes.even_sample import EvenSample, even_sample
from demix_jax.data.notes.formulas import Formula, find_formula
from demix_jax.data.notes.giveaways import share_determined, share_given_away
from demix_jax.data.notes.near_giveaways import near_giveaway
from demix_jax.data.notes.one_column import Feature, amount_skill, bins_of, class_skill, feature
from demix_jax.data.notes.repeats import Repeated

_SCREENED, _SCREENED_AMOUNTS = 0.8, 0.7  # a column with a less skilled histogram cannot give the label away
_MOST_NAMED = 8
_LEVELS_PER_CLASS = 3  # a column with more distinct texts than this is more likely the name of a group of rows
_FEWEST_ROWS = 30


class Leaks(NamedTuple):
    """What gives the label away, as sentences.

    certain: columns that give the label in nearly every row, so that wrong labels cannot be seen.
    possible: a column that may be known only after the label.
    """

    certain: tuple[str, ...] = ()
    possible: tuple[str, ...] = ()


class _Given(NamedTuple):
    """A column that gives the label away. share: of the rows. num_levels: distinct texts, 0 for numbers."""

    name: str
    share: float
    num_levels: int


class _Problem(NamedTuple):
    """The label and the used columns of n rows, sorted by name; y: classes i64[n] or amounts f64[n]."""

    features: list[Feature]
    y: np.ndarray
    sample: EvenSample

    @property
    def is_classes(self) -> bool:
        return bool(np.issubdtype(self.y.dtype, np.integer))


def find_leaks(table: Table, repeated: Sequence[Repeated] = (), *, task: str) -> Leaks:
    """Look for columns that give the label away, on at most 5,000 rows.

    Args:
      table: N rows that passed `check_table`.
      repeated: from `repeated_columns`; a column and its copies count as one.
      task: "classification" or "regression".
    """
    if len(table) < _FEWEST_ROWS:
        return Leaks()
    problem = _problem(table, even_sample(table), task)
    if not problem.features or len(np.unique(problem.y)) < 2 or len(np.unique(problem.sample.fold)) < 2:
        return Leaks()
    skills = _skills(problem)
    given = _given_away(table, problem, skills, task)
    names = {one.name for one in given}
    rest = [q for q, one in enumerate(problem.features) if one.name not in names]
    formula = None if problem.is_classes else find_formula([problem.features[q] for q in rest], problem.y)
    names |= set(formula.names) if formula is not None else set()
    rest = [q for q in rest if problem.features[q].name not in names]
    near = None
    if not any(column.kind in ("vector", "set") for column in table.columns):
        copies = {name for group in repeated for name in group.names[1:]}
        near = near_giveaway([problem.features[q] for q in rest], skills[rest], problem.y, problem.sample.fold, copies)
    return Leaks(_certain(given, formula, problem, str(table.label)), _possible(near, str(table.label)))


def _problem(table: Table, sample: EvenSample, task: str) -> _Problem:
    found = [feature(column, values.iloc[sample.rows]) for _, column, values in table.features()]
    features = sorted((one for one in found if one is not None), key=lambda one: one.name)
    return _Problem(features, _label(table, task)[sample.rows], sample)


def _label(table: Table, task: str) -> np.ndarray:
    """Amounts f64[N], or classes i64[N] in alphabetical order, with spellings of one class united."""
    if task == "regression":
        return as_numbers(table.target)
    codes, names = levels(table.target)
    place = {name: q for q, name in enumerate(sorted(names))}
    return np.array([place[name] for name in names])[codes]


def _skills(problem: _Problem) -> np.ndarray:
    """f64[Q]: how well each column alone predicts the label."""
    skill = class_skill if problem.is_classes else amount_skill
    return np.array([skill(bins_of(one), problem.y, problem.sample.fold) for one in problem.features])


def _given_away(table: Table, problem: _Problem, skills: np.ndarray, task: str) -> list[_Given]:
    """The columns that alone give the label away in the sample, and in how many of all rows they do."""
    found = []
    values = {column.name: (column, values) for _, column, values in table.features()}
    everywhere = _label(table, task)
    for one, skill in zip(problem.features, skills, strict=True):
        if skill < (_SCREENED if problem.is_classes else _SCREENED_AMOUNTS):
            continue
        if problem.is_classes and share_given_away(one, problem.y, problem.sample.fold) is None:
            continue
        whole = feature(*values[one.name])
        assert whole is not None
        share = share_given_away(whole, everywhere, None) if problem.is_classes else share_determined(whole, everywhere)
        if share is not None:
            found.append(_Given(one.name, share, 0 if whole.codes is None else int(whole.codes.max()) + 1))
    return found


def _certain(given: Sequence[_Given], formula: Formula | None, problem: _Problem, label: str) -> tuple[str, ...]:
    num_classes = int(problem.y.max()) + 1 if problem.is_classes else _LEVELS_PER_CLASS
    grouped = [one for one in given if one.num_levels > _LEVELS_PER_CLASS * num_classes]
    made = [one for one in given if one not in grouped]
    sentences = []
    if made:
        each = "each of them " if len(made) > 1 else ""
        was = "they were probably made from it" if len(made) > 1 else "it was probably made from it"
        names = [one.name for one in made]
        sentences.append(
            f"{_listed(names)} alone {'predict' if each else 'predicts'} the label {_in_rows(made)}: {was}, so wrong "
            f"labels cannot be seen; run again with {_ignore(names)}."
        )
    for one in grouped[:_MOST_NAMED]:
        sentences.append(
            f"Rows of one {one.name!r} have one label {_in_rows([one])}, so wrong labels cannot be seen: if these rows "
            f"belong together, run again with --groups {shlex.quote(one.name)}, else with {_ignore([one.name])}."
        )
    if formula is not None:
        rows = "every row" if formula.share == 1 else f"{percent(formula.share)} of the rows"
        sentences.append(
            f"{label} = {formula.text} in {rows}: one was probably computed from the other, so wrong labels cannot be "
            f"seen; run again with {_ignore(formula.names)}."
        )
    return tuple(sentences)


def _possible(near: Feature | None, label: str) -> tuple[str, ...]:
    if near is None:
        return ()
    return (
        f"Most of what the columns tell about the label is told by {near.name!r} alone, and without it the label is "
        f"predicted far worse: if its value is only known after {label!r}, run again with {_ignore([near.name])}.",
    )


def _in_rows(given: Sequence[_Given]) -> str:
    share = min(one.share for one in given)
    return "in every row" if share == 1 else f"in {percent(share)} of the rows"


def _listed(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMED:
        return shortened(list(names), _MOST_NAMED)
    return listed([repr(name) for name in names])


def _ignore(names: Sequence[str]) -> str:
    """The options that leave out these columns."""
    options = " ".join(f"--ignore {shlex.quote(name)}" for name in names[:_MOST_NAMED])
    return options if len(names) <= _MOST_NAMED else f"{options} and so on"
