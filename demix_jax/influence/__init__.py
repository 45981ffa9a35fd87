"""Influence of training samples on validation samples, whole, by position, at its strongest or over checkpoints."""

from demix_jax.influence.matrix import influence_matrix, self_influence
from demix_jax.influence.positions import PositionInfluence, position_influence
from demix_jax.influence.top import TopInfluences, top_influences
from demix_jax.influence.tracin import tracin

__all__ = [
    "PositionInfluence",
    "TopInfluences",
    "influence_matrix",
    "position_influence",
    "self_influence",
    "top_influences",
    "tracin",
]
