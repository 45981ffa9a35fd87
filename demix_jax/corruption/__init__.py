"""Error injection: corrupts a table and returns the truth about each row."""

from demix_jax.corruption.feature_kinds import FEATURE_KINDS
from demix_jax.corruption.groups import GROUP_KINDS, Condition, Group
from demix_jax.corruption.inject import Injected, inject_errors
from demix_jax.corruption.labels import LABEL_KINDS, suitable_label_kinds
from demix_jax.corruption.options import ErrorOptions, FeatureErrors, LabelErrors, SpuriousCorrelation
from demix_jax.corruption.rules import SHORTCUT_KINDS, ShortcutRule, parse_shortcut
from demix_jax.corruption.shortcuts import ConstructedShortcut

__all__ = [
    "FEATURE_KINDS",
    "GROUP_KINDS",
    "LABEL_KINDS",
    "SHORTCUT_KINDS",
    "Condition",
    "ConstructedShortcut",
    "ErrorOptions",
    "FeatureErrors",
    "Group",
    "Injected",
    "LabelErrors",
    "ShortcutRule",
    "SpuriousCorrelation",
    "inject_errors",
    "parse_shortcut",
    "suitable_label_kinds",
]
