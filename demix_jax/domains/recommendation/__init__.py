"""Interaction logs in, click samples out: who saw which item, after which clicks, and whether it was clicked."""

from demix_jax.domains.recommendation.log import RecommendationData, read_recommendation_data
from demix_jax.domains.recommendation.named import RECOMMENDATION_NAMES, load_recommendation
from demix_jax.domains.recommendation.samples import IDENTIFIERS, LABEL, SPLITS, InteractionSamples, make_samples

__all__ = [
    "IDENTIFIERS",
    "LABEL",
    "RECOMMENDATION_NAMES",
    "SPLITS",
    "InteractionSamples",
    "RecommendationData",
    "load_recommendation",
    "make_samples",
    "read_recommendation_data",
]
