"""Row signals: everything but the influence vector that the error classifier sees of a row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demix_jax.classifier.schema import NUM_RULES, NUM_WITHOUT, mean_ranks
from demix_jax.evidence.column_model import CellEvidence, standing_out
from demix_jax.evidence.column_statistics import Usual
from demix_jax.evidence.out_of_fold import OutOfFold, ResidualScale, log_floored, margin
from demix_jax.evidence.rules import ColumnRule, TargetScale, chance_of_following, rule_evidence


class Norms(NamedTuple):
    """What a row's signals are measured against: the rows of its table, or a sample of them; R rows, Q columns.

    label_share, tree_log_p, trusted_log_p, network_log_p: f64[L], by label: its share, and the mean log p of
      rows that have it.
    surprise: f32[R, Q], each column ascending. usual: what each column holds. support: f64[R], mean of each rule's.
    tree_scale, without_scale: where the predictions with all columns, and without each of the likeliest shortcuts',
      stand to a regression target; None for classes.
    network_residuals: of a regression target; None for classes.
    """

    label_share: np.ndarray
    tree_log_p: np.ndarray
    trusted_log_p: np.ndarray
    network_log_p: np.ndarray
    surprise: np.ndarray
    usual: Usual
    support: np.ndarray
    tree_scale: TargetScale | None
    without_scale: list[TargetScale | None]
    network_residuals: ResidualScale | None


def label_signals(
    y, labels, trees: OutOfFold, trusted: OutOfFold, network: OutOfFold, gradient_norm, norms: Norms, *, task: str
) -> np.ndarray:
    """f32[N, 14] signals in the order of LABEL_SIGNALS.

    Args:
      y: [N] class index or standardised target. labels: i32[N], y as classes or target bins.
      trees, trusted, network: out-of-fold predictions; the second are of trees trained without suspects.
      gradient_norm: f32[N], norm of the per-example gradient.
      norms: of the table. task: "classification" or "regression".
    """
    tree_log_p, network_log_p = log_floored(trees.p_given), log_floored(network.p_given)
    trusted_log_p = log_floored(trusted.p_given)
    if task == "classification":
        disagreement = 0.5 * np.abs(trees.prediction - network.prediction).sum(axis=1)
    else:
        disagreement = np.abs(trees.prediction - network.prediction)[:, 0]
    return _stack(
        tree_log_p,
        margin(trees, y, task),
        _entropy(trees, task),
        tree_log_p - norms.tree_log_p[labels],  # as confident learning does (Northcutt 2021)
        trusted_log_p,
        margin(trusted, y, task),
        trusted_log_p - norms.trusted_log_p[labels],
        _entropy(trusted, task),
        network_log_p,
        margin(network, y, task),
        network_log_p - norms.network_log_p[labels],
        disagreement,
        norms.label_share[labels],
        np.log(gradient_norm + 1e-6),
    )


def feature_signals(
    codes: np.ndarray,
    cells: CellEvidence,
    screened: np.ndarray,
    robust_z: np.ndarray,
    misspelt: np.ndarray,
    norms: Norms,
) -> np.ndarray:
    """f32[N, 31] signals in the order of FEATURE_SIGNALS.

    Args:
      codes: i32[N, Q], screened, robust_z, misspelt: f32[N, Q] of each cell. cells: what a column model says of these.
      norms: of the table.
    """
    surprise, filled = cells.surprise, cells.filled
    among, usual = norms.surprise, norms.usual
    ranked = _largest(surprise, 5)
    tail = -np.log1p(-mean_ranks(surprise, among) / (len(among) + 1))  # high where the cell is rare for its column
    tail_ranked = _largest(tail, 3)
    z = np.log1p(np.abs(robust_z))
    z_ranked = _largest(z, 2)
    outstanding = standing_out(surprise, robust_z, misspelt)
    outstanding_ranked = _largest(outstanding, 2)
    gaps, rarities, repeats = usual.gaps(robust_z), usual.rarities(codes), usual.repeats(codes, robust_z)
    return _stack(
        ranked[:, 0],
        ranked[:, 1],
        ranked[:, 2],
        ranked[:, 4],
        surprise.mean(axis=1),
        np.maximum(surprise, 0).mean(axis=1),
        (surprise > 2).mean(axis=1),
        (surprise > 4).mean(axis=1),
        tail_ranked[:, 0],
        tail_ranked[:, 1],
        tail_ranked[:, 2],
        tail.mean(axis=1),
        z_ranked[:, 0],
        z_ranked[:, 1],
        z.mean(axis=1),
        outstanding_ranked[:, 0],
        outstanding_ranked[:, 1],
        outstanding.mean(axis=1),
        gaps.max(axis=1),
        (gaps > 0).mean(axis=1),
        rarities.max(axis=1),
        rarities.mean(axis=1),
        repeats.max(axis=1),
        repeats.mean(axis=1),
        usual.missing(codes).mean(axis=1),
        misspelt.max(axis=1),
        misspelt.mean(axis=1),
        screened.max(axis=1),
        np.maximum(screened, 0).mean(axis=1),
        filled.mean(axis=1),
        (filled > 0).mean(axis=1),
    )


def shortcut_signals(
    rules: list[ColumnRule],
    order: np.ndarray,
    codes: np.ndarray,
    support: np.ndarray,
    cell_support: np.ndarray,
    trees: OutOfFold,
    trusted: OutOfFold,
    without: list[OutOfFold],
    y: np.ndarray,
    labels: np.ndarray,
    norms: Norms,
    *,
    task: str,
) -> np.ndarray:
    """f32[N, 56] signals in the order of SHORTCUT_SIGNALS.

    Args:
      rules: R of them. order: i[R], likeliest shortcut first. codes: i32[N, R], of what each rule speaks of.
      support, cell_support: f32[N, R] and f32[N, Q], what the cells of each rule, and of each column, add in favour of
        the label.
      trees, trusted, without: out-of-fold predictions with every column, the same of trees trained without suspects,
        and of such trees without the columns of each of the likeliest shortcuts.
      y: [N] class index or standardised target. labels: i32[N], y as classes or target bins.
      norms: of the table. task: "classification" or "regression".
    """
    evidence = [rule_evidence(rule, codes[:, q], labels) for q, rule in enumerate(rules)]
    strength = np.array([rule.strength for rule in rules])
    log_ratio = np.stack([e.log_ratio for e in evidence], axis=1)
    same = np.ones(len(y))
    ranked = [order[min(i, len(rules) - 1)] for i in range(NUM_RULES)]
    signals = []
    for q in ranked:
        e, rule = evidence[q], rules[q]
        signals += [
            e.log_ratio,
            (e.in_group != e.on_side).astype(float),
            same * rule.strength,
            same * rule.two_way,
            same * norms.support[q],
            support[:, q],
            same * rule.minority,
            same * rule.step,
            same * rule.label_step,
            e.p_side,
            chance_of_following(rule, e.in_group, trees.prediction, norms.tree_scale),
        ]
    signals += [
        log_ratio @ (strength / (strength.sum() + 1e-9)),
        (log_ratio * (strength > 0.005)).min(axis=1),
        cell_support.sum(axis=1),
        cell_support.min(axis=1),
    ]
    for q, predictions, scale in zip(ranked[:NUM_WITHOUT], without, norms.without_scale, strict=True):
        signals += [
            log_floored(predictions.p_given),
            margin(predictions, y, task),
            chance_of_following(rules[q], evidence[q].in_group, predictions.prediction, scale),
            log_floored(trusted.p_given) - log_floored(predictions.p_given),
        ]
    return _stack(*signals)


def vector_signals(vectors: np.ndarray) -> np.ndarray:
    """f32[n, 8] summaries of influence vectors f32[n, S, C], in the order of VECTOR_SIGNALS."""
    influence, similarity, fit = vectors[..., 0], vectors[..., 1], vectors[..., 4]
    same = vectors[..., 3]
    other = 1 - same
    nearest = np.argsort(-similarity, axis=1)[:, :10]
    take = np.take_along_axis
    return _stack(
        influence.mean(axis=1),
        (influence * same).sum(axis=1) / (same.sum(axis=1) + 1e-3),
        (influence * other).sum(axis=1) / (other.sum(axis=1) + 1e-3),
        influence.std(axis=1),
        take(influence, nearest, axis=1).mean(axis=1),
        take(similarity, nearest, axis=1).mean(axis=1),
        take(same, nearest, axis=1).mean(axis=1),
        take(fit, nearest, axis=1).mean(axis=1),
    )


def _entropy(out_of_fold: OutOfFold, task: str) -> np.ndarray:
    """f[N] in nats, of class probabilities; 0 for a predicted number."""
    if task != "classification":
        return np.zeros(len(out_of_fold.prediction))
    return -np.sum(out_of_fold.prediction * np.log(out_of_fold.prediction + 1e-9), axis=1)


def mean_by_label(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """f64[L]: mean of values f[N] among the rows of each label i32[N]; 0 for a label without any."""
    return np.bincount(labels, weights=values) / np.maximum(np.bincount(labels), 1)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """The `count` largest values of each row f[N, Q], descending; short rows repeat their smallest."""
    ranked = -np.sort(-values, axis=1)[:, :count]
    return np.pad(ranked, ((0, 0), (0, max(0, count - ranked.shape[1]))), mode="edge")


def _stack(*signals: np.ndarray) -> np.ndarray:
    return np.stack(signals, axis=1).astype(np.float32)
