"""Real texts with labels that are right by construction: passages of documentation, labelled by the package part."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from demix_jax.meta_training import LABEL

PACKAGES = ("numpy", "scipy", "sklearn", "pandas", "jax", "matplotlib", "networkx", "asyncio", "email", "tkinter")
_LEAST_PASSAGES = 120  # of a part that makes a class
_LEAST_WORDS, _MOST_WORDS = 4, 120
_SECTION = re.compile(r"^\s*[-=~^*]{3,}\s*$")


def documentation_texts(seed: int, num_rows: int) -> pd.DataFrame:
    """A table of passages from the documentation strings of installed packages, with column `LABEL`, their part.

    There are two to ten parts, such as scipy.stats and sklearn.svm. Passages are sentences, paragraphs or first lines.
    Passages that occur more than once are left out, as no reader could tell their part.

    Args:
      seed: determines the parts and the passages; equal seeds give equal tables with equal versions of the packages.
      num_rows: the most rows.
    """
    rng = np.random.default_rng([seed, 5])
    unit = str(rng.choice(["sentence", "paragraph", "first line"]))
    parts = {part: passages for part, passages in _passages(unit).items() if len(passages) >= _LEAST_PASSAGES}
    count = min(int(rng.choice([2, 2, 2, 3, 4, 4, 5, 6, 8, 10])), len(parts))
    chosen = [sorted(parts)[i] for i in rng.permutation(len(parts))[:count]]
    rows = [(passage, part) for part in chosen for passage in parts[part]]
    order = rng.permutation(len(rows))[:num_rows]
    return pd.DataFrame([rows[i] for i in order], columns=["text", LABEL])


@functools.cache
def _passages(unit: str) -> dict[str, list[str]]:
    """Per part the passages that occur there alone, in the order of their text."""
    found: dict[str, set[str]] = {}
    for part, text in _documentation():
        found.setdefault(part, set()).update(_divided(text, unit))
    times = Counter(passage for passages in found.values() for passage in passages)
    return {part: sorted(p for p in passages if times[p] == 1) for part, passages in found.items()}


@functools.cache
def _documentation() -> list[tuple[str, str]]:
    """(part, documentation string) of the modules, classes and functions of those PACKAGES that are installed."""
    return [of_one for package in PACKAGES for of_one in _of_package(package)]


def _of_package(package: str) -> Iterator[tuple[str, str]]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return
    root = Path(spec.origin).parent
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root).parts
        if "tests" in inside or "testing" in inside:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
                yield f"{package}.{inside[0]}".removesuffix(".py"), text


def _divided(text: str, unit: str) -> list[str]:
    """Sentences, paragraphs or the first line of a documentation string, without code and headings."""
    paragraphs = [_prose(part) for part in text.split("\n\n")]
    kept = [part for part in paragraphs if part]
    if unit == "first line":
        kept = kept[:1]
    elif unit == "sentence":
        kept = [sentence for part in kept for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", part)]
    return [part for part in kept if _LEAST_WORDS <= len(part.split()) <= _MOST_WORDS]


def _prose(paragraph: str) -> str:
    """A paragraph on one line; empty if it is code or a heading."""
    lines = paragraph.strip().splitlines()
    if not lines or any(line.lstrip().startswith((">>>", "...", ".. ")) or _SECTION.match(line) for line in lines):
        return ""
    return " ".join(" ".join(lines).split())
