"""Find out what is wrong with training data, and why: influence vectors and error types, on JAX."""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from demix_jax.classifier import ErrorClassifier, Interventions, NetworkConfig, TrainingOptions, load_classifier
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.corruption import FeatureErrors, Injected, LabelErrors, SpuriousCorrelation, inject_errors
from demix_jax.curvature import CG, EKFAC, KFAC, Arnoldi, EmpiricalFisher, GaussNewton, Hessian, Identity, LiSSA
from demix_jax.diagnosis.result import Diagnosis
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

if TYPE_CHECKING:
    from demix_jax.domains import preference, recommendation
    from demix_jax.domains.recommendation.domain import diagnose_interactions
    from demix_jax.domains.recommendation.inject import InjectedInteractions, inject_interaction_errors
    from demix_jax.domains.tables.domain import diagnose
    from demix_jax.domains.tables.out_of_core import LargeDiagnosis, diagnose_out_of_core
    from demix_jax.meta_training.train import train_classifier
    from demix_jax.repairs import Repaired, repair

__all__ = [
    "CG",
    "EKFAC",
    "ERROR_TYPES",
    "KFAC",
    "Arnoldi",
    "Diagnosis",
    "EmpiricalFisher",
    "ErrorClassifier",
    "FeatureErrors",
    "GaussNewton",
    "Hessian",
    "Identity",
    "InfluencePlan",
    "Injected",
    "InjectedInteractions",
    "InputError",
    "Interventions",
    "LabelErrors",
    "LargeDiagnosis",
    "LiSSA",
    "NetworkConfig",
    "Repaired",
    "SpuriousCorrelation",
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
    "preference",
    "read_influence",
    "recommendation",
    "repair",
    "self_influence",
    "top_influences",
    "tracin",
    "train_classifier",
    "write_influence",
]

# What needs pandas is loaded when it is first used, so that a researcher who wants only influence goes without.
_LOADED_WHEN_USED = {
    "InjectedInteractions": "demix_jax.domains.recommendation.inject",
    "LargeDiagnosis": "demix_jax.domains.tables.out_of_core",
    "Repaired": "demix_jax.repairs",
    "diagnose": "demix_jax.domains.tables.domain",
    "diagnose_interactions": "demix_jax.domains.recommendation.domain",
    "diagnose_out_of_core": "demix_jax.domains.tables.out_of_core",
    "inject_interaction_errors": "demix_jax.domains.recommendation.inject",
    "repair": "demix_jax.repairs",
    "train_classifier": "demix_jax.meta_training.train",
}


def __getattr__(name: str) -> Any:
    if name in _LOADED_WHEN_USED:
        return getattr(importlib.import_module(_LOADED_WHEN_USED[name]), name)
    raise AttributeError(f"module 'demix_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Face(ModuleType):
    """The public face of a domain, `demix_jax.NAME`; the domain's code is loaded when an attribute is first used."""

    @property
    def __doc__(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.__getattr__("__doc__")

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # it is no package: the modules behind it have their own place in demix_jax.domains
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__.replace("demix_jax.", "demix_jax.domains.")), name)

    def __dir__(self) -> list[str]:
        return list(self.__all__)


if not TYPE_CHECKING:
    preference, recommendation = _Face("demix_jax.preference"), _Face("demix_jax.recommendation")
    sys.modules |= {face.__name__: face for face in (preference, recommendation)}
