"""Row signals: what the error classifier sees of a row besides its influence vector.

Each function returns a dict from name to array. `classifier/schema.py` lists the names in the order in which the
network was trained on them; `stack_signals` puts the arrays in that order and refuses any other set of names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import chex
import numpy as np

from demix_jax.classifier.schema import CHANNELS, NUM_RULES, NUM_WITHOUT, SIGNALS
from demix_jax.common.ranks import mean_ranks
from demix_jax.common.target import ResidualScale
from demix_jax.evidence.column_model import standing_out
from demix_jax.evidence.column_statistics import Usual
from demix_jax.evidence.out_of_fold import OutOfFold, log_floored, margin
from demix_jax.evidence.row_evidence import RowEvidence
from demix_jax.evidence.rules import TargetScale, chance_of_following, rule_evidence

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_NUM_NEIGHBOURS = 10  # most similar validation samples
_WEAK_RULE = 0.005  # strength up to which a rule counts as no rule


class Norms(NamedTuple):
    """Reference values for the signals, taken from all rows of a table or a sample; R rows, Q columns, L labels.

    label_share: f64[L], share of the rows that have each label.
    tree_log_p, trusted_log_p, network_log_p: f64[L], mean log probability of each label over the rows that have it.
    surprise: f32[R, Q], each column in ascending order. usual: statistics of each column.
    support: f64[R], mean support of each rule.
    tree_scale, without_scale: scales of a regression target for the predictions from all columns, and from all but
      those of each likely shortcut; None for classes.
    network_residuals: residual scale of the task model; None for classes.
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


def stack_signals(signals: Mapping[str, np.ndarray]) -> np.ndarray:
    """Stacks signals in the order in which the error classifier takes them.

    Args:
      signals: f[N] by name, exactly the names of `SIGNALS` in any order.
    Returns:
      f32[N, F] in the order of `SIGNALS`.
    Raises:
      AssertionError: a name is missing or unknown, or the arrays differ in shape.
    """
    missing, unknown = set(SIGNALS) - set(signals), set(signals) - set(SIGNALS)
    assert not missing, f"missing signals: {', '.join(sorted(missing))}"
    assert not unknown, f"signals that classifier/schema.py does not name: {', '.join(sorted(unknown))}"
    ordered = [signals[name] for name in SIGNALS]
    chex.assert_rank(ordered, 1)
    chex.assert_equal_shape(ordered)
    return np.stack(ordered, axis=1, dtype=np.float32, casting="same_kind")


def label_signals(
    dataset: Dataset, evidence: RowEvidence, network: OutOfFold, gradient_norm: np.ndarray, norms: Norms
) -> dict[str, np.ndarray]:
    """Signals about the label: how well out-of-fold predictions agree with it.

    Args:
      dataset: N rows. evidence: about them.
      network: out-of-fold predictions of the task model. gradient_norm: f32[N], norm of the per-example gradient.
      norms: of the table.
    Returns:
      f[N] by name, log probabilities and entropies in nats.
    Source: the relative log probabilities follow confident learning, Northcutt, Jiang & Chuang 2021.
    """
    y, labels, target = dataset.y, evidence.labels, dataset.target
    trees, trusted = evidence.trees, evidence.trusted
    tree_log_p, trusted_log_p, network_log_p = (log_floored(known.p_given) for known in (trees, trusted, network))
    return {
        "tree_log_p": tree_log_p,
        "tree_margin": margin(trees, y, target),
        "tree_entropy": target.entropy(trees.prediction),
        "tree_relative_log_p": tree_log_p - norms.tree_log_p[labels],
        "trusted_log_p": trusted_log_p,
        "trusted_margin": margin(trusted, y, target),
        "trusted_relative_log_p": trusted_log_p - norms.trusted_log_p[labels],
        "trusted_entropy": target.entropy(trusted.prediction),
        "network_log_p": network_log_p,
        "network_margin": margin(network, y, target),
        "network_relative_log_p": network_log_p - norms.network_log_p[labels],
        "model_disagreement": target.disagreement(trees.prediction, network.prediction),
        "label_prior": norms.label_share[labels],
        "gradient_norm": np.log(gradient_norm + 1e-6),
    }


def feature_signals(dataset: Dataset, evidence: RowEvidence, norms: Norms) -> dict[str, np.ndarray]:
    """Signals about the cells: how well each fits its column and the rest of its row, summarised per row.

    Args:
      dataset: N rows. evidence: about them. norms: of the table.
    Returns:
      f[N] by name.
    """
    codes, robust_z, misspelt = dataset.codes, dataset.robust_z, dataset.misspelt
    surprise, filled, screened = evidence.cells.surprise, evidence.cells.filled, evidence.screened
    usual = norms.usual
    ranked = _largest(surprise, 5)
    tail = -np.log1p(-mean_ranks(surprise, norms.surprise) / (len(norms.surprise) + 1))  # high where rare in its column
    tail_ranked = _largest(tail, 3)
    z = np.log1p(np.abs(robust_z))
    z_ranked = _largest(z, 2)
    outstanding = standing_out(surprise, robust_z, misspelt)
    outstanding_ranked = _largest(outstanding, 2)
    gaps, rarities, repeats = usual.gaps(robust_z), usual.rarities(codes), usual.repeats(codes, robust_z)
    return {
        "surprise_1st": ranked[:, 0],
        "surprise_2nd": ranked[:, 1],
        "surprise_3rd": ranked[:, 2],
        "surprise_5th": ranked[:, 4],
        "surprise_mean": surprise.mean(axis=1),
        "surprise_positive_mean": np.maximum(surprise, 0).mean(axis=1),
        "surprise_share_over_2": (surprise > 2).mean(axis=1),
        "surprise_share_over_4": (surprise > 4).mean(axis=1),
        "surprise_tail_1st": tail_ranked[:, 0],
        "surprise_tail_2nd": tail_ranked[:, 1],
        "surprise_tail_3rd": tail_ranked[:, 2],
        "surprise_tail_mean": tail.mean(axis=1),
        "robust_z_1st": z_ranked[:, 0],
        "robust_z_2nd": z_ranked[:, 1],
        "robust_z_mean": z.mean(axis=1),
        "standing_out_1st": outstanding_ranked[:, 0],
        "standing_out_2nd": outstanding_ranked[:, 1],
        "standing_out_mean": outstanding.mean(axis=1),
        "gap_1st": gaps.max(axis=1),
        "gap_share": (gaps > 0).mean(axis=1),
        "rarity_1st": rarities.max(axis=1),
        "rarity_mean": rarities.mean(axis=1),
        "repeated_1st": repeats.max(axis=1),
        "repeated_mean": repeats.mean(axis=1),
        "missing_share": usual.missing(codes).mean(axis=1),
        "misspelt_1st": misspelt.max(axis=1),
        "misspelt_mean": misspelt.mean(axis=1),
        "screened_1st": screened.max(axis=1),
        "screened_positive_mean": np.maximum(screened, 0).mean(axis=1),
        "filled_mean": filled.mean(axis=1),
        "common_share": (filled > 0).mean(axis=1),
    }


def shortcut_signals(dataset: Dataset, evidence: RowEvidence, norms: Norms) -> dict[str, np.ndarray]:
    """Signals about spurious correlations: whether the row follows or breaks the rules of the likeliest shortcuts.

    Args:
      dataset: N rows. evidence: about them. norms: of the table.
    Returns:
      f[N] by name. A table with fewer rules than the network reads repeats its last one.
    """
    rules, labels = evidence.rules, evidence.sides
    codes, support = evidence.rule_codes(dataset.codes), evidence.rule_support()
    of_rules = [rule_evidence(rule, codes[:, r], labels) for r, rule in enumerate(rules)]
    strength = np.array([rule.strength for rule in rules])
    log_ratio = np.stack([of_rule.log_ratio for of_rule in of_rules], axis=1)
    signals = {
        "rules_weighted_log_ratio": log_ratio @ (strength / (strength.sum() + 1e-9)),
        "rules_lowest_log_ratio": (log_ratio * (strength > _WEAK_RULE)).min(axis=1),
        "support_sum": evidence.cells.support.sum(axis=1),
        "support_lowest": evidence.cells.support.min(axis=1),
    }
    likeliest = [evidence.order[min(i, len(rules) - 1)] for i in range(NUM_RULES)]
    for i, r in enumerate(likeliest):
        rule, of_rule = rules[r], of_rules[r]
        follow_p = chance_of_following(rule, of_rule.in_group, evidence.trees.prediction, norms.tree_scale)
        signals |= {
            f"rule{i}_{name}": np.broadcast_to(value, len(labels))
            for name, value in {
                "log_ratio": of_rule.log_ratio,
                "broken": (of_rule.in_group != of_rule.on_side).astype(float),
                "strength": rule.strength,
                "two_way": rule.two_way,
                "added": norms.support[r],
                "support": support[:, r],
                "minority": rule.minority,
                "step": rule.step,
                "label_step": rule.label_step,
                "p_side": of_rule.p_side,
                "follow_p": follow_p,
            }.items()
        }
    each = zip(likeliest[:NUM_WITHOUT], evidence.without, norms.without_scale, strict=True)
    for i, (r, ablated, scale) in enumerate(each):
        signals |= {
            f"without{i}_log_p": log_floored(ablated.p_given),
            f"without{i}_margin": margin(ablated, dataset.y, dataset.target),
            f"without{i}_follow_p": chance_of_following(rules[r], of_rules[r].in_group, ablated.prediction, scale),
            f"without{i}_contribution": log_floored(evidence.trusted.p_given) - log_floored(ablated.p_given),
        }
    return signals


def vector_signals(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Summaries of influence vectors.

    Args:
      vectors: f[n, S, C], n rows, S validation samples, channels in the order of `CHANNELS`.
    Returns:
      f[n] by name.
    """
    channel = {name: vectors[..., c] for c, name in enumerate(CHANNELS)}
    influence, similarity = channel["influence"], channel["feature_similarity"]
    same = channel["label_similarity"]
    other = 1 - same
    nearest = np.argsort(-similarity, axis=1)[:, :_NUM_NEIGHBOURS]

    def mean_of_nearest(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, nearest, axis=1).mean(axis=1)

    return {
        "influence_mean": influence.mean(axis=1),
        "influence_same_label": (influence * same).sum(axis=1) / (same.sum(axis=1) + 1e-3),
        "influence_other_label": (influence * other).sum(axis=1) / (other.sum(axis=1) + 1e-3),
        "influence_spread": influence.std(axis=1),
        "influence_on_similar": mean_of_nearest(influence),
        "neighbour_similarity": mean_of_nearest(similarity),
        "neighbour_label_agreement": mean_of_nearest(same),
        "neighbour_fit": mean_of_nearest(channel["validation_fit"]),
    }


def mean_by_label(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """f64[L]: mean of values f[N] over the rows of each label i32[N]; 0 for a label that no row has."""
    return np.bincount(labels, weights=values) / np.maximum(np.bincount(labels), 1)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """f[N, count]: the largest values of each row f[N, Q] in descending order; short rows repeat their smallest."""
    ranked = -np.sort(-values, axis=1)[:, :count]
    return np.pad(ranked, ((0, 0), (0, max(0, count - ranked.shape[1]))), mode="edge")
