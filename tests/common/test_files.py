"""Files appear whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.common.files import atomic_paths, check_writable, same_file, write_json, write_table, write_text


def test_text_replaces_the_old_file_and_leaves_no_other(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    write_text(target, "naïve – ≤50K\r\n")
    assert target.read_bytes() == "naïve – ≤50K\r\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_a_failing_block_changes_nothing(tmp_path, error):
    old, new = tmp_path / "old.csv", tmp_path / "made" / "for" / "it" / "new.csv"
    old.write_text("old")
    with pytest.raises(error), atomic_paths(old, new) as (first, second):
        first.write_text("half")
        second.write_text("ha")
        raise error
    assert old.read_text() == "old"
    assert os.listdir(tmp_path) == ["old.csv"]


def test_all_files_of_one_block_arrive_together(tmp_path):
    targets = [tmp_path / "out" / name for name in ("a.csv", "b.json")]
    with atomic_paths(*targets) as names:
        assert [name.suffix for name in names] == [".csv", ".json"]
        for name in names:
            name.write_text("x")
        assert not any(target.exists() for target in targets)
    assert sorted(os.listdir(tmp_path / "out")) == ["a.csv", "b.json"]


def test_interrupt_from_the_keyboard_leaves_nothing(tmp_path):
    """A second process is interrupted for real while it writes."""
    script = textwrap.dedent("""
        import signal, sys, time
        from demix_jax.common.files import atomic_paths
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
        with atomic_paths(sys.argv[1]) as (name,):
            name.write_text("half")
            print("writing", flush=True)
            time.sleep(30)
    """)
    command = [sys.executable, "-c", script, str(tmp_path / "out" / "a.csv")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) != 0
    assert os.listdir(tmp_path) == []


def test_permissions_are_those_of_a_file_written_in_place(tmp_path):
    plain = tmp_path / "plain.txt"
    plain.write_text("x")
    write_text(tmp_path / "ours.txt", "x")
    assert (tmp_path / "ours.txt").stat().st_mode == plain.stat().st_mode
    plain.chmod(0o600)
    write_text(plain, "y")
    assert plain.stat().st_mode & 0o777 == 0o600


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new"


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_table_round_trip(tmp_path, suffix):
    frame = pd.DataFrame({"b": [1.5, None], "a": ["é,\n", '"']})
    path = tmp_path / f"t{suffix}"
    write_table(path, frame)
    back = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path)
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)


def test_table_of_unknown_format_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.csv or \.parquet"):
        write_table(tmp_path / "t.xlsx", pd.DataFrame({"a": [1]}))
    assert os.listdir(tmp_path) == []


def test_json_takes_numpy_and_keeps_to_the_standard(tmp_path):
    content = {
        "n": np.int64(3),
        "r": np.float32(0.5),
        "bad": float("nan"),
        "a": np.array([1, 2]),
        "t": (True, None),
    }
    write_json(tmp_path / "s.json", content | {"p": tmp_path, "np_inf": np.float64("inf")})
    back = json.loads((tmp_path / "s.json").read_text(), parse_constant=lambda c: pytest.fail(c))
    assert back == {
        "n": 3,
        "r": 0.5,
        "bad": None,
        "a": [1, 2],
        "t": [True, None],
        "p": str(tmp_path),
        "np_inf": None,
    }


def test_check_writable_makes_nothing(tmp_path):
    check_writable(tmp_path / "a" / "b", folder=True)
    check_writable(tmp_path / "a" / "b.csv", folder=False)
    assert os.listdir(tmp_path) == []


def test_check_writable_names_what_is_in_the_way(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="is a file, but a folder"):
        check_writable(file, folder=True)
    with pytest.raises(InputError, match="is a folder, but a file"):
        check_writable(tmp_path, folder=False)
    with pytest.raises(InputError, match="is not a folder"):
        check_writable(file / "inside" / "b.csv", folder=False)
    with pytest.raises(InputError, match="is not a file"), atomic_paths(tmp_path):
        pass


def test_same_file_sees_through_links_and_relative_names(tmp_path, monkeypatch):
    file = tmp_path / "a.csv"
    file.write_text("x")
    (tmp_path / "soft.csv").symlink_to(file)
    os.link(file, tmp_path / "hard.csv")
    (tmp_path / "copy.csv").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert same_file("a.csv", file) and same_file("./x/../a.csv", file)
    assert same_file(tmp_path / "soft.csv", file) and same_file(tmp_path / "hard.csv", file)
    assert not same_file(tmp_path / "copy.csv", file) and not same_file("not there", file)
