"""Worlds with known errors, made from real and synthetic tables, to train the error classifier on."""

from demix_jax.meta_training.planned import VARIETIES, PlannedWorld, load_synthetic
from demix_jax.meta_training.probability_tables import synthetic_probabilities
from demix_jax.meta_training.random_errors import Possible, inject_at_random, possible_errors, random_injection
from demix_jax.meta_training.synthetic import LABEL, synthetic_panel, synthetic_plain, synthetic_table
from demix_jax.meta_training.text_tables import synthetic_texts
from demix_jax.meta_training.world import (
    USUAL,
    Variety,
    load_world,
    make_world,
    save_world,
    world_seeds,
)

__all__ = [
    "LABEL",
    "USUAL",
    "VARIETIES",
    "PlannedWorld",
    "Possible",
    "Variety",
    "inject_at_random",
    "load_synthetic",
    "load_world",
    "make_world",
    "possible_errors",
    "random_injection",
    "save_world",
    "synthetic_panel",
    "synthetic_plain",
    "synthetic_probabilities",
    "synthetic_table",
    "synthetic_texts",
    "world_seeds",
]
