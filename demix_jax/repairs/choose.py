"""Which of the repairs asked for are carried out: those without which held-out rows are not predicted better."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demix_jax.repairs.held_out import WEIGHTS, Judges, Trial, clearly_better, find_judges
from demix_jax.repairs.operations import Problem, Relabelled, impute_features, minority_weight, relabel


class Options(NamedTuple):
    """What the caller asks for, per error type."""

    label_errors: str
    feature_errors: str
    spurious: str


class Plan(NamedTuple):
    """What is to be done.

    label_errors, feature_errors: as in Options. factor: of the weight of minority rows.
    imputed: the problem with imputed features, if that was needed for the choice. sentences: why a step was left out.
    """

    label_errors: str
    feature_errors: str
    factor: float
    imputed: Problem | None
    sentences: list[str]


def choose_plan(problem: Problem, options: Options, base: np.ndarray) -> Plan:
    """Try the repairs on held-out rows and drop those that hurt.

    Args:
      problem: N rows. options: what is asked for. base: f64[N] weights that the table came with.
    """
    labels = options.label_errors if problem.label_error.any() else "keep"
    features = options.feature_errors if problem.feature_error.any() else "keep"
    reweight = options.spurious == "reweight" and problem.minority.any()
    imputed = impute_features(problem) if features == "impute" else None
    plan = Plan(labels, features, 1.0, imputed, [])
    if labels == features == "keep" and not reweight:
        return plan
    found = find_judges(problem)
    if found is None:
        note = "Too few rows are unflagged to check on them that the repair helps; minority weights stay as they are."
        return plan._replace(sentences=[note])
    trials = _Trials(*found, problem, imputed, base)
    if labels != "keep" or features != "keep":
        plan = _without_harm(plan, trials)
    return _with_factor(plan, trials) if reweight else plan


class _Trials:
    """Judged repairs of one problem; remembers the labels that each combination needs."""

    def __init__(self, rows, judges: Judges, problem: Problem, imputed: Problem | None, base: np.ndarray):
        self.judges, self.base = judges, base[rows]
        self._problems = {"impute": imputed.take(rows) if imputed is not None else judges.problem}
        self._labels: dict[tuple[str, int], Relabelled] = {}

    def trial(self, labels: str, features: str, factor: float, fold: int) -> Trial:
        """The judges' rows as this repair leaves them for the models of `fold`."""
        problem = self._problems.get(features, self.judges.problem)
        y, weight = problem.data.y, self.base.copy()
        if labels == "relabel":
            new = self._relabelled(features, fold)
            y, weight = new.y, weight * new.weight
        elif labels == "drop":
            weight = weight * ~problem.label_error
        if features == "drop":
            weight = weight * ~problem.feature_error
        return Trial(problem.data.x, y, weight * minority_weight(problem, factor))

    def _relabelled(self, features: str, fold: int) -> Relabelled:
        features = features if features in self._problems else "keep"
        if (features, fold) not in self._labels:
            problem = self._problems.get(features, self.judges.problem)
            self._labels[features, fold] = relabel(problem, self.judges.fold != fold)
        return self._labels[features, fold]

    def outputs(self, repairs: list[tuple[str, str, float]]) -> np.ndarray:
        return self.judges.outputs([lambda fold, r=repair: self.trial(*r, fold) for repair in repairs])


def _without_harm(plan: Plan, trials: _Trials) -> Plan:
    """Both steps, or the best part of them if that is clearly better by the skill, or by the worth, of what results."""
    combinations = [(plan.label_errors, plan.feature_errors)]
    for smaller in (("keep", plan.feature_errors), (plan.label_errors, "keep"), ("keep", "keep")):
        if smaller not in combinations:
            combinations.append(smaller)
    outputs = trials.outputs([(*combination, 1.0) for combination in combinations])
    judges = trials.judges
    for measure in (judges.skills, judges.worth) if judges.problem.minority.any() else (judges.skills,):
        skills = [measure(output) for output in outputs]
        best = int(np.argmax([each.mean() for each in skills]))
        if clearly_better(skills[best], skills[0]):
            break
    else:
        return plan
    (labels, features), sentences = combinations[best], []
    for kept, asked, what in (
        (labels, plan.label_errors, "labels"),
        (features, plan.feature_errors, "features"),
    ):
        if kept != asked:
            sentences.append(
                f"Left the {what} of flagged rows as they were: on held-out rows, models trained without this repair "
                f"did better (skill {skills[best].mean():.3f} instead of {skills[0].mean():.3f})."
            )
    return plan._replace(label_errors=labels, feature_errors=features, sentences=sentences)


def _with_factor(plan: Plan, trials: _Trials) -> Plan:
    """The factor that is best on average over two worlds: the minority as rare as here, or half of all rows.

    Where a step of the repair did harm, the diagnosis is doubtful, and weight is raised only if that is clearly better.
    """
    outputs = trials.outputs([(plan.label_errors, plan.feature_errors, factor) for factor in WEIGHTS])
    worth = [trials.judges.worth(output) for output in outputs]
    best = int(np.argmax([each.mean() for each in worth]))
    if best > 0 and (not plan.sentences or clearly_better(worth[best], worth[0])):
        return plan._replace(factor=WEIGHTS[best])
    note = "Left the weight of minority rows as it was: on held-out rows, more weight made no clear improvement."
    return plan._replace(sentences=[*plan.sentences, note])
