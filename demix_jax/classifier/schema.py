"""Input schema of the error classifier: names of the signals of a row and of the channels of an influence vector.

Weights hold these names in this order, and weights with others are refused. A new signal is computed under its name in
`evidence/signals.py` and named here; a classifier has to be trained with it.
"""

from __future__ import annotations

LABEL_SIGNALS = (
    "tree_log_p",
    "tree_margin",
    "tree_entropy",
    "tree_relative_log_p",
    "trusted_log_p",
    "trusted_margin",
    "trusted_relative_log_p",
    "trusted_entropy",
    "network_log_p",
    "network_margin",
    "network_relative_log_p",
    "model_disagreement",
    "label_prior",
    "gradient_norm",
)

FEATURE_SIGNALS = (
    "surprise_1st",
    "surprise_2nd",
    "surprise_3rd",
    "surprise_5th",
    "surprise_mean",
    "surprise_positive_mean",
    "surprise_share_over_2",
    "surprise_share_over_4",
    "surprise_tail_1st",
    "surprise_tail_2nd",
    "surprise_tail_3rd",
    "surprise_tail_mean",
    "robust_z_1st",
    "robust_z_2nd",
    "robust_z_mean",
    "standing_out_1st",
    "standing_out_2nd",
    "standing_out_mean",
    "gap_1st",
    "gap_share",
    "rarity_1st",
    "rarity_mean",
    "repeated_1st",
    "repeated_mean",
    "missing_share",
    "misspelt_1st",
    "misspelt_mean",
    "screened_1st",
    "screened_positive_mean",
    "filled_mean",
    "common_share",
)

RULE_SIGNALS = (
    "log_ratio",
    "broken",
    "strength",
    "two_way",
    "added",
    "support",
    "minority",
    "step",
    "label_step",
    "p_side",
    "follow_p",
)

NUM_RULES = 4  # likeliest shortcuts that are described
NUM_WITHOUT = 2  # ablated rules: the label is also predicted without the rule's columns

WITHOUT_SIGNALS = ("log_p", "margin", "follow_p", "contribution")

SHORTCUT_SIGNALS = (
    *(f"rule{i}_{name}" for i in range(NUM_RULES) for name in RULE_SIGNALS),
    "rules_weighted_log_ratio",
    "rules_lowest_log_ratio",
    "support_sum",
    "support_lowest",
    *(f"without{i}_{name}" for i in range(NUM_WITHOUT) for name in WITHOUT_SIGNALS),
)

VECTOR_SIGNALS = (
    "influence_mean",
    "influence_same_label",
    "influence_other_label",
    "influence_spread",
    "influence_on_similar",
    "neighbour_similarity",
    "neighbour_label_agreement",
    "neighbour_fit",
)

SIGNALS = LABEL_SIGNALS + FEATURE_SIGNALS + SHORTCUT_SIGNALS + VECTOR_SIGNALS

CHANNELS = (
    "influence",  # −cosine of the two gradients; negative: raising the sample's weight lowers that loss
    "feature_similarity",  # cosine of the encoded features
    "prediction_similarity",  # probability that labels drawn from the two out-of-fold predictions agree
    "label_similarity",  # 1 for equal labels, 0 for different ones; between for regression
    "validation_fit",  # out-of-fold probability of the validation sample's own label
    "rule_similarity",  # whether both are in the group of the likeliest shortcut, or both outside it
    "validation_rule_ratio",  # how clearly the validation sample follows (+) or breaks (−) that shortcut
)
