"""Influence on disk: the same numbers as in memory, resumed to the same bits, and every kind of damage found."""

import errno
import shutil
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from demix_jax.common.checks import InputError
from demix_jax.curvature import EmpiricalFisher, GaussNewton
from demix_jax.influence import influence_blocks, influence_matrix, read_influence, write_influence
from demix_jax.influence import store as store_module
from demix_jax.influence import write as write_module
from tests.influence.influence_job import KEYWORDS, loss, small_problem

pytest.importorskip("tensorstore")


@pytest.fixture(scope="module")
def problem():
    return small_problem()


@pytest.fixture(scope="module")
def matrix(problem):
    return np.asarray(influence_matrix(loss, *problem, **KEYWORDS))


@pytest.fixture
def written(problem, tmp_path):
    write_influence(tmp_path / "influence", loss, *problem, chunk_shape=(16, 4), **KEYWORDS)
    return tmp_path / "influence"


def chunk_files(path):
    return sorted(file for file in (path / "influence" / "c").rglob("*") if file.is_file())


def contents(path):
    return {file.relative_to(path): file.read_bytes() for file in chunk_files(path)}


@pytest.mark.parametrize("chunk_shape", [None, (16, 4), (7, 11), (1000, 1000)])
def test_blocks_cover_the_matrix(problem, matrix, chunk_shape):
    got = np.full_like(matrix, np.nan)
    for rows, columns, block in influence_blocks(loss, *problem, chunk_shape=chunk_shape, **KEYWORDS):
        assert np.isnan(got[rows, columns]).all()
        got[rows, columns] = block
    np.testing.assert_allclose(got, matrix, atol=1e-6)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("bfloat16", 2**-8), ("float16", 2**-11)])
def test_what_is_read_is_what_was_computed(problem, matrix, tmp_path, dtype, tolerance):
    stored = write_influence(tmp_path / "i", loss, *problem, chunk_shape=(16, 4), dtype=dtype, **KEYWORDS)
    assert stored.shape == matrix.shape and stored.dtype.name == dtype
    again = read_influence(tmp_path / "i")
    np.testing.assert_allclose(np.asarray(again, np.float32), matrix, atol=tolerance)
    np.testing.assert_allclose(again[5:20, 3].astype(np.float32), matrix[5:20, 3], atol=tolerance)
    np.testing.assert_array_equal(again[7], np.asarray(again)[7])
    assert again.damaged() == []


def test_parts_are_read_as_numpy_would(written):
    stored = read_influence(written)
    whole = np.asarray(stored)
    mask = np.arange(len(stored)) % 7 == 3
    rows = np.s_[-1], np.s_[-3:], np.s_[::-2], np.s_[40:100], np.s_[[3, -1, 3]], np.s_[mask], np.s_[np.int64(5)]
    for index in (*rows, *((row, -2) for row in rows), *((row, np.s_[2:-3]) for row in rows), np.s_[..., 1]):
        np.testing.assert_array_equal(stored[index], whole[index])
    with pytest.raises(IndexError):
        stored[50]


def test_curvature_and_losses_per_weight_are_written_too(problem, tmp_path):
    curvature = GaussNewton(damping=0.1)
    stored = write_influence(tmp_path / "i", loss, *problem, curvature=curvature, chunk_shape=(16, 4))
    want = influence_matrix(loss, *problem, curvature=curvature)
    np.testing.assert_allclose(stored[:], want, atol=1e-5 * float(jnp.abs(want).max()))


def test_zarr_and_xarray_open_the_same_path(written, matrix):
    zarr, xarray = pytest.importorskip("zarr"), pytest.importorskip("xarray")
    array = zarr.open_group(written, mode="r")["influence"]
    np.testing.assert_allclose(array[:], matrix, atol=1e-6)
    variable = xarray.open_zarr(written, consolidated=False).influence
    assert variable.dims == ("train", "valid")
    np.testing.assert_allclose(variable[3:9, 2], matrix[3:9, 2], atol=1e-6)


@pytest.mark.parametrize("finished", [0, 1, 5])
def test_a_resumed_run_ends_with_the_same_bits(problem, written, tmp_path, monkeypatch, finished):
    path, noted = tmp_path / "interrupted", []
    add = write_module.Journal.add

    def stop_after(journal, chunk, digest):
        if len(noted) == finished:
            raise KeyboardInterrupt
        noted.append(chunk)
        add(journal, chunk, digest)

    monkeypatch.setattr(write_module.Journal, "add", stop_after)
    with pytest.raises(KeyboardInterrupt):
        write_influence(path, loss, *problem, chunk_shape=(16, 4), **KEYWORDS)
    monkeypatch.setattr(write_module.Journal, "add", lambda *all_: (noted.append(all_[1]), add(*all_)))
    with pytest.raises(InputError, match=f"{12 - finished} of 12 chunks are missing"):
        read_influence(path)
    write_influence(path, loss, *problem, chunk_shape=(16, 4), **KEYWORDS)
    assert len(noted) == 12  # none was computed twice
    assert contents(path) == contents(written)


def test_a_finished_matrix_is_not_computed_again(problem, written, monkeypatch):
    monkeypatch.setattr(write_module.InfluenceBlocks, "make", None)
    before = contents(written)
    write_influence(written, loss, *problem, chunk_shape=(16, 4), **KEYWORDS)
    assert contents(written) == before


def test_torn_lines_of_a_journal_do_not_count(problem, written):
    journal = written / "influence" / "finished-00000.jsonl"
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([*lines[:4], b"\0\0{", lines[5], lines[6][:20]]))
    before = contents(written)
    write_influence(written, loss, *problem, chunk_shape=(16, 4), **KEYWORDS)
    assert read_influence(written).damaged() == [] and contents(written) == before


def test_a_flipped_bit_is_found_on_reading_and_mended_by_writing(problem, written, caplog):
    before = contents(written)
    for number, file in enumerate(chunk_files(written)[:3]):
        content = bytearray(file.read_bytes())
        content[[0, 17, -1][number]] ^= 1 << number
        file.write_bytes(content)
    stored = read_influence(written)
    assert [(chunk.row, chunk.column) for chunk in stored.damaged()] == [(0, 0), (0, 1), (0, 2)]
    with pytest.raises(InputError, match=r"cannot be read.*write_influence again"):
        stored[:4, :4]
    stored[16:, :]  # the others are as good as before
    write_influence(written, loss, *problem, chunk_shape=(16, 4), **KEYWORDS)
    assert "3 finished chunks differ" in caplog.text
    assert contents(written) == before


def test_exchanged_and_removed_chunks_are_found(written):
    files = chunk_files(written)
    first, second = (file.read_bytes() for file in files[:2])
    files[0].write_bytes(second)
    files[1].write_bytes(first)
    assert len(read_influence(written).damaged()) == 2
    stored = read_influence(written)
    files[5].unlink()
    with pytest.raises(InputError, match="cannot be read"):
        np.asarray(stored)
    with pytest.raises(InputError, match="1 of 12 chunks are missing"):
        read_influence(written)


def test_other_inputs_are_refused(problem, written):
    params, train, valid = problem
    arguments = {"loss": loss, "params": params, "train": train, "valid": valid, "chunk_shape": (16, 4), **KEYWORDS}
    factor = np.float32(2.0)
    others = {
        "params": {"params": jax.tree.map(lambda leaf: leaf * 1.0001, params)},
        "train": {"train": {**train, "y": train["y"][::-1].copy()}},
        "valid": {"valid": jax.tree.map(lambda leaf: leaf[1:], valid)},
        "loss": {"loss": lambda params, example: factor * loss(params, example)},
        "curvature .there Identity.., now EmpiricalFisher": {"curvature": EmpiricalFisher(damping=0.1)},
        "normalize": {"normalize": None},
        "select": {"select": "w1"},
        "dtype": {"dtype": "float16"},
        "chunk_shape": {"chunk_shape": (8, 4)},
        "memory": {"memory": 10**6},
    }
    before = contents(written)
    for name, other in others.items():
        with pytest.raises(InputError, match=f"computed with other {name}"):
            write_influence(written, **{**arguments, **other})
    assert contents(written) == before
    same = lambda params, example: loss(params, example)  # noqa: E731
    write_influence(written, **{**arguments, "loss": same})


def test_constants_of_the_loss_count(problem, tmp_path):
    def scaled(by):
        scale = jnp.full(3, by)
        return lambda params, example: jnp.sum(jax.lax.map(lambda s: s * loss(params, example), scale))

    write_influence(tmp_path / "i", scaled(1.0), *problem)
    write_influence(tmp_path / "i", scaled(1.0), *problem)
    with pytest.raises(InputError, match="other loss"):
        write_influence(tmp_path / "i", scaled(2.0), *problem)


def test_other_folders_are_left_alone(problem, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"other files in it \(thesis.txt\)"):
        write_influence(tmp_path, loss, *problem)
    (tmp_path / "influence").mkdir()
    (tmp_path / "influence" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="no manifest of this version"):
        write_influence(tmp_path, loss, *problem)
    with pytest.raises(InputError, match="no influence matrix"):
        read_influence(tmp_path / "nothing")


def test_two_writers_do_not_meet(problem, written):
    with (
        write_module.Journal(written, 0),
        pytest.raises(InputError, match="another process is writing"),
    ):
        write_influence(written, loss, *problem, chunk_shape=(16, 4), **KEYWORDS)


def test_bad_options_are_named(problem, tmp_path):
    path = tmp_path / "i"
    with pytest.raises(InputError, match="dtype is 'int8'"):
        write_influence(path, loss, *problem, dtype="int8")
    with pytest.raises(InputError, match="two positive numbers"):
        write_influence(path, loss, *problem, chunk_shape=(0, 4))
    with pytest.raises(InputError, match="pass fewer, or a larger memory"):
        write_influence(path, loss, *problem, chunk_shape=(16, 11), memory=1000)
    huge = lambda params, example: 1e6 * loss(params, example)  # noqa: E731
    with pytest.raises(InputError, match="does not fit in float16"):
        write_influence(path, huge, *problem, dtype="float16")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        write_influence(tmp_path / "file", loss, *problem)


def test_without_tensorstore_it_says_what_to_install(problem, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(ImportError, match=r"demix_jax\[store\]"):
        write_influence(tmp_path / "i", loss, *problem)


def test_too_small_a_disk_is_refused_before_work(problem, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=90_000))
    with pytest.raises(InputError, match=r"0\.\d+ MiB more, but only .* free there; 0 of 12 chunks"):
        write_influence(tmp_path / "i", loss, *problem, chunk_shape=(16, 4), **KEYWORDS)
    assert not (tmp_path / "i").exists()


def test_a_disk_that_fills_up_is_reported_with_what_is_safe(problem, written, tmp_path, monkeypatch):
    path, begun = tmp_path / "full", []
    write = store_module.StoredInfluence.write

    class Failing:
        def result(self):
            raise ValueError("RESOURCE_EXHAUSTED: Error writing local file: No space left on device")

    def fail_at_the_sixth(stored, chunk, values):
        begun.append(chunk)
        return Failing() if len(begun) == 6 else write(stored, chunk, values)

    monkeypatch.setattr(store_module.StoredInfluence, "write", fail_at_the_sixth)
    with pytest.raises(OSError, match=r"chunk \(1, 1\).*5 of 12 chunks are safe; call again") as caught:
        write_influence(path, loss, *problem, chunk_shape=(16, 4), **KEYWORDS)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    write_influence(path, loss, *problem, chunk_shape=(16, 4), **KEYWORDS)
    assert contents(path) == contents(written)
