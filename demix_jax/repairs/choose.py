"""Chooses which of the requested repairs are carried out: those that do not hurt predictions for held-out rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demix_jax.repairs.held_out import WEIGHTS, Judges, Trial, clearly_better, find_judges
from demix_jax.repairs.operations import Relabelled, RepairProblem, impute_features, minority_weight, relabel


class Options(NamedTuple):
    """What the caller asks for, per error type."""

    label_errors: str
    feature_errors: str
    spurious: str


class RepairPlan(NamedTuple):
    """What is to be done.

    label_errors, feature_errors: as in Options.
    factor: by which the weight of minority rows is multiplied.
    imputed: the problem with imputed features, if the choice needed it.
    sentences: why a step was left out.
    """

    label_errors: str
    feature_errors: str
    factor: float
    imputed: RepairProblem | None
    sentences: list[str]


def choose_plan(problem: RepairProblem, options: Options, base: np.ndarray) -> RepairPlan:
    """Try the repairs on held-out rows and drop those that hurt.

    Args:
      problem: N rows. options: what is asked for. base: f64[N], weights that the table came with.
    """
    labels = options.label_errors if problem.label_error.any() else "keep"
    features = options.feature_errors if problem.feature_error.any() else "keep"
    reweight = options.spurious == "reweight" and problem.minority.any()
    imputed = impute_features(problem) if features == "impute" else None
    plan = RepairPlan(label_errors=labels, feature_errors=features, factor=1.0, imputed=imputed, sentences=[])
    if labels == features == "keep" and not reweight:
        return plan
    found = find_judges(problem)
    if found is None:
        note = "Too few rows are unflagged to check on them that the repair helps; minority weights stay as they are."
        return plan._replace(sentences=[note])
    rows, judges = found
    trials = _Trials(judges, None if imputed is None else imputed.take(rows), base[rows])
    if labels != "keep" or features != "keep":
        plan = _without_harm(plan, trials)
    return _with_factor(plan, trials) if reweight else plan


class _Trials:
    """Training rows of each combination of repairs. Labels that a combination needs are computed once."""

    def __init__(self, judges: Judges, imputed: RepairProblem | None, base: np.ndarray):
        """`imputed` is the judges' problem with imputed features; `base` f64[n] are the weights of its rows."""
        self.judges, self._base = judges, base
        self._problems = {"impute": judges.problem if imputed is None else imputed}
        self._labels: dict[tuple[str, int], Relabelled] = {}

    def trial(self, labels: str, features: str, factor: float, fold: int) -> Trial:
        """The judges' rows after this repair, as training rows for the models of `fold`."""
        problem = self._problems.get(features, self.judges.problem)
        y, weight = problem.data.y, self._base.copy()
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
        """Held-out outputs f32[len(repairs), S, n, K] of repairs (label_errors, feature_errors, factor)."""
        return self.judges.outputs([lambda fold, r=repair: self.trial(*r, fold) for repair in repairs])


def _without_harm(plan: RepairPlan, trials: _Trials) -> RepairPlan:
    """The plan, or a smaller one if models trained on it are clearly better by skill or by worth."""
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


def _with_factor(plan: RepairPlan, trials: _Trials) -> RepairPlan:
    """The plan with the best weight of minority rows.

    A weight is judged by its mean over two worlds: the minority as rare as here, and half of all rows. If a step of the
    repair did harm, the diagnosis is doubtful. Then the weight is raised only if that is clearly better.
    """
    outputs = trials.outputs([(plan.label_errors, plan.feature_errors, factor) for factor in WEIGHTS])
    worth = [trials.judges.worth(output) for output in outputs]
    best = int(np.argmax([each.mean() for each in worth]))
    if best > 0 and (not plan.sentences or clearly_better(worth[best], worth[0])):
        return plan._replace(factor=WEIGHTS[best])
    note = "Left the weight of minority rows as it was: on held-out rows, more weight made no clear improvement."
    return plan._replace(sentences=[*plan.sentences, note])
