"""Error injection with known truth: tables in, a corrupted table and what was done to it out."""

from demix_jax.corruption.feature_kinds import FEATURE_KINDS
from demix_jax.corruption.groups import GROUP_KINDS, Condition, Group
from demix_jax.corruption.inject import Injected, inject_errors
from demix_jax.corruption.labels import LABEL_KINDS
from demix_jax.corruption.shortcuts import SHORTCUT_KINDS, ConstructedShortcut, ShortcutRule, parse_shortcut

__all__ = [
    "FEATURE_KINDS",
    "GROUP_KINDS",
    "LABEL_KINDS",
    "SHORTCUT_KINDS",
    "Condition",
    "ConstructedShortcut",
    "Group",
    "Injected",
    "ShortcutRule",
    "inject_errors",
    "parse_shortcut",
]
