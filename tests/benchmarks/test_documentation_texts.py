"""Passages of documentation as texts with labels."""

from __future__ import annotations

import pytest

from benchmarks.common import documentation_texts as module
from benchmarks.common.documentation_texts import documentation_texts
from demix_jax.meta_training import LABEL


@pytest.fixture
def of_two_packages(monkeypatch):
    """Only two packages of the standard library are read."""
    monkeypatch.setattr(module, "PACKAGES", ("email", "tkinter"))
    for cached in (module._documentation, module._passages):
        cached.cache_clear()
    yield
    for cached in (module._documentation, module._passages):
        cached.cache_clear()


def test_passages_are_labelled_by_their_part(of_two_packages):
    for seed in range(4):
        table = documentation_texts(seed, 200)
        assert list(table) == ["text", LABEL] and len(table) <= 200
        assert len(set(table["text"])) == len(table)
        parts = set(table[LABEL])
        assert 1 < len(parts) <= 10 and {part.split(".")[0] for part in parts} <= {"email", "tkinter"}
        assert all(4 <= len(text.split()) <= 120 for text in table["text"])
        assert table.equals(documentation_texts(seed, 200))


def test_a_documentation_string_is_divided():
    text = "Say what it is. It has two.\n\nNotes\n-----\nMore of it, in one\nlong sentence.\n\n>>> code of an example"
    assert module._divided(text, "sentence") == ["Say what it is."]
    assert module._divided(text, "paragraph") == ["Say what it is. It has two."]
    assert module._divided("First line of it all.\n\nAnd another paragraph here.", "first line") == [
        "First line of it all."
    ]
