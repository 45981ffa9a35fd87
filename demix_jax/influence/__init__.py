"""Influence of training samples on validation samples, whole, by position, at its strongest or over checkpoints."""

from demix_jax.influence.checkpoints import tracin
from demix_jax.influence.matrix import influence_blocks, influence_matrix, self_influence
from demix_jax.influence.planning import InfluencePlan, influence_plan
from demix_jax.influence.positions import PositionInfluence, position_influence
from demix_jax.influence.store import StoredInfluence, read_influence
from demix_jax.influence.top import TopInfluences, top_influences
from demix_jax.influence.write import write_influence

__all__ = [
    "InfluencePlan",
    "PositionInfluence",
    "StoredInfluence",
    "TopInfluences",
    "influence_blocks",
    "influence_matrix",
    "influence_plan",
    "position_influence",
    "read_influence",
    "self_influence",
    "top_influences",
    "tracin",
    "write_influence",
]
