"""The error classifier: from influence vectors and row signals to probabilities of the error types."""

from demix_jax.classifier.classifier import ErrorClassifier, Verdict, load_classifier
from demix_jax.classifier.examples import Interventions, View, World
from demix_jax.classifier.inputs import Probes, table_facts
from demix_jax.classifier.model import NetworkConfig
from demix_jax.classifier.train import TrainingOptions, fit_classifier, recalibrate

__all__ = [
    "ErrorClassifier",
    "Interventions",
    "NetworkConfig",
    "Probes",
    "TrainingOptions",
    "Verdict",
    "View",
    "World",
    "fit_classifier",
    "load_classifier",
    "recalibrate",
    "table_facts",
]
