"""Worlds with known errors, made from real and synthetic tables, to train the error classifier on."""

from demix_jax.meta_training.planned import PlannedWorld, load_synthetic
from demix_jax.meta_training.synthetic import LABEL, synthetic_panel, synthetic_plain, synthetic_table
from demix_jax.meta_training.world import (
    USUAL,
    Variety,
    inject_at_random,
    load_world,
    make_world,
    random_injection,
    save_world,
    world_seeds,
)

__all__ = [
    "LABEL",
    "USUAL",
    "PlannedWorld",
    "Variety",
    "inject_at_random",
    "load_synthetic",
    "load_world",
    "make_world",
    "random_injection",
    "save_world",
    "synthetic_panel",
    "synthetic_plain",
    "synthetic_table",
    "world_seeds",
]
