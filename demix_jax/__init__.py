"""Find out what is wrong with training data, and why: influence vectors and error types, on JAX."""

from demix_jax.checks import InputError
from demix_jax.classifier import ErrorClassifier, load_classifier
from demix_jax.corruption import Injected, inject_errors
from demix_jax.diagnose import Diagnosis, diagnose
from demix_jax.error_types import ERROR_TYPES
from demix_jax.influence import influence_matrix, self_influence
from demix_jax.train_classifier import train_classifier

__all__ = [
    "ERROR_TYPES",
    "Diagnosis",
    "ErrorClassifier",
    "Injected",
    "InputError",
    "diagnose",
    "influence_matrix",
    "inject_errors",
    "load_classifier",
    "self_influence",
    "train_classifier",
]
