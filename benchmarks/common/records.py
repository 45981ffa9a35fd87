"""What a benchmark leaves behind: a JSON line per finished trial, where and with what it ran, and tables of text."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any


def append_line(path: Path, record: dict) -> None:
    """Add one JSON line in a single write, after ending a line that an interruption left half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.is_file() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    line = ("\n" if torn else "") + json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def read_lines(path: Path) -> list[dict]:
    """All whole lines of a file that `append_line` wrote; none if there is no such file."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:  # torn by an interruption; that trial is run again
            continue
    return records


def finished_lines(path: Path, identities: dict[Any, dict]) -> dict[Any, dict]:
    """Lines of a file of finished trials, by trial; `identities` has what a line must agree in to count as a trial."""
    trials = {json.dumps(identity): trial for trial, identity in identities.items()}
    sets_of_keys = {tuple(identity) for identity in identities.values()}
    done = {}
    for line in read_lines(path):
        for keys in sets_of_keys:
            trial = trials.get(json.dumps({key: line.get(key) for key in keys}))
            if trial is not None:
                done[trial] = line
    return done


def provenance(script: str = "debugging") -> dict:
    """Date, commit, machine, versions and command line."""
    names = ("demix_jax", "jax", "flax", "numpy", "pandas", "scikit-learn")
    return {
        "date": datetime.date.today().isoformat(),
        "commit": _commit(),
        "machine": f"{_accelerators()}{_processor()}, {os.cpu_count()} logical cores, {platform.system()}",
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in names},
        "command": shlex.join(["python", "-m", f"benchmarks.{script}", *sys.argv[1:]]),
    }


def run_line(record: dict) -> str:
    """The last line of a report: what `provenance` says of the run, and whether it was one of tiny sizes (`quick`)."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    small = " **Quick run with tiny sizes: not a measurement.**" if record.get("quick") else ""
    made = f"{record['date']}, commit {record['commit']}; {record['machine']}; {versions}"
    return f"*{made}. `{record['command']}`*{small}"


def name_on_device(name: str) -> str:
    """What results are called that depend on what JAX computes on: `name` on CPUs, else with -gpu, -tpu after it."""
    import jax

    backend = jax.default_backend()
    return name if backend == "cpu" else f"{name}-{backend}"


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A table of texts in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number_text(value: float | None) -> str:
    """A score as such a table shows it; a dash where there is none."""
    return "–" if value is None else f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "from source"


def _commit() -> str:
    """Short hash of the commit, with a mark if the package differs from it; "unknown" outside a repository."""
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "demix_jax", "benchmarks/*.py")
        return git("rev-parse", "--short", "HEAD") + (" with local changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _accelerators() -> str:
    """What JAX computes on and a comma, or nothing if that is the processor."""
    import jax

    devices = jax.devices()
    return "" if devices[0].platform == "cpu" else f"{len(devices)} × {devices[0].device_kind}, "


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
