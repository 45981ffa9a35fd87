"""Find out what is wrong with training data, and why: influence vectors and error types, on JAX."""

from demix_jax.checks import InputError
from demix_jax.classifier import ErrorClassifier, Interventions, NetworkConfig, TrainingOptions, load_classifier
from demix_jax.corruption import Injected, InjectedInteractions, inject_errors, inject_interaction_errors
from demix_jax.curvature import CG, EKFAC, KFAC, Arnoldi, EmpiricalFisher, GaussNewton, Hessian, Identity, LiSSA
from demix_jax.diagnose import Diagnosis, diagnose
from demix_jax.diagnose_interactions import diagnose_interactions
from demix_jax.error_types import ERROR_TYPES
from demix_jax.gradients import factored_gradients, per_example_gradients
from demix_jax.influence import (
    InfluencePlan,
    StoredInfluence,
    TopInfluences,
    influence_blocks,
    influence_matrix,
    influence_plan,
    position_influence,
    read_influence,
    self_influence,
    top_influences,
    tracin,
    write_influence,
)
from demix_jax.out_of_core import LargeDiagnosis, diagnose_out_of_core
from demix_jax.repair import Repaired, repair
from demix_jax.train_classifier import train_classifier

__all__ = [
    "CG",
    "EKFAC",
    "ERROR_TYPES",
    "KFAC",
    "Arnoldi",
    "Diagnosis",
    "EmpiricalFisher",
    "ErrorClassifier",
    "GaussNewton",
    "Hessian",
    "Identity",
    "InfluencePlan",
    "Injected",
    "InjectedInteractions",
    "InputError",
    "Interventions",
    "LargeDiagnosis",
    "LiSSA",
    "NetworkConfig",
    "Repaired",
    "StoredInfluence",
    "TopInfluences",
    "TrainingOptions",
    "diagnose",
    "diagnose_interactions",
    "diagnose_out_of_core",
    "factored_gradients",
    "influence_blocks",
    "influence_matrix",
    "influence_plan",
    "inject_errors",
    "inject_interaction_errors",
    "load_classifier",
    "per_example_gradients",
    "position_influence",
    "read_influence",
    "repair",
    "self_influence",
    "top_influences",
    "tracin",
    "train_classifier",
    "write_influence",
]
