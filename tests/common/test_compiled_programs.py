"""Many tables in one process: compiled programs are dropped before memory or memory maps run out."""

import jax
import jax.numpy as jnp
import pytest

from demix_jax.common import compiled_programs as programs
from demix_jax.common.compiled_programs import make_room


@pytest.fixture
def compiled():
    function = jax.jit(lambda x: x + 1)
    function(jnp.zeros(3))
    assert function._cache_size() == 1  # pyright: ignore[reportAttributeAccessIssue]
    return function


def files(folder, *, used, most):
    maps, most_maps = folder / "maps", folder / "max_map_count"
    maps.write_text("7f00-7f01 r-xp\n" * used)
    most_maps.write_text(f"{most}\n")
    return maps, most_maps


def test_programs_are_dropped_when_three_quarters_of_the_maps_are_used(tmp_path, compiled):
    assert make_room(*files(tmp_path, used=76, most=100))
    assert compiled._cache_size() == 0
    assert compiled(jnp.zeros(3)).tolist() == [1, 1, 1]  # compiled again


def test_programs_are_dropped_though_a_system_allows_far_more_maps(tmp_path, compiled):
    assert not make_room(*files(tmp_path, used=20_000, most=1_048_576))
    assert make_room(*files(tmp_path, used=20_001, most=1_048_576))
    assert compiled._cache_size() == 0


def test_memory_of_dropped_programs_is_given_back(monkeypatch, tmp_path, compiled):
    trimmed = []
    monkeypatch.setattr(programs, "_return_freed_memory", lambda: trimmed.append(True))
    make_room(*files(tmp_path, used=75, most=100))
    assert not trimmed
    make_room(*files(tmp_path, used=76, most=100))
    assert trimmed == [True]


def test_programs_are_kept_while_there_is_room(tmp_path, compiled):
    assert not make_room(*files(tmp_path, used=75, most=100))
    assert compiled._cache_size() == 1


def test_a_system_without_such_files_has_room(tmp_path, compiled):
    assert not make_room(tmp_path / "none", tmp_path / "none either")
    assert compiled._cache_size() == 1
