"""Atomic file writing: a file is written under a temporary name in its folder, then renamed."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demix_jax.common.checks import InputError

if TYPE_CHECKING:
    import pandas as pd


TABLE_SUFFIXES = (".csv", ".parquet")  # to write
PARQUET_SUFFIXES = (".parquet", ".pq")  # to read
PAIR_SUFFIXES = (".jsonl",)
DIAGNOSIS_FILES = ("diagnosis.csv", "summary.json", "report.html")
SAMPLES_FILE = "samples.csv"  # written beside them if the rows come from an interaction log


def cache_dir() -> Path:
    """Folder for files that can be recreated: downloads and compiled programs."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "demix_jax"


@contextlib.contextmanager
def atomic_paths(*paths: str | os.PathLike) -> Iterator[list[Path]]:
    """Yield temporary paths to write to, and rename them all to `paths` if the block succeeds.

    If the block raises, Ctrl-C included, existing files stay unchanged and no new ones appear. Missing folders are
    created, and removed again if the block fails. A symbolic link is followed: its target is replaced.

    Args:
      paths: files to write.
    Yields:
      List of one path per argument, in the same folder and with the same suffix.
    Raises:
      InputError: a path is a folder or a special file, or its folder cannot be created.
    """
    targets = [Path(os.path.realpath(path)) for path in paths]
    for path, target in zip(paths, targets, strict=True):
        if target.exists() and not target.is_file():
            raise InputError(f"{path} exists and is not a file; name a file to write.")
    made: list[Path] = []
    temporary: list[Path] = []
    try:
        for target in targets:
            _make_folder(target.parent, made)
            handle, name = tempfile.mkstemp(prefix=".writing-", suffix=f"-{target.name}", dir=target.parent)
            temporary.append(Path(name))
            os.close(handle)
        yield list(temporary)
        for name, target in zip(temporary, targets, strict=True):
            _settle(name, like=target)
        for name, target in zip(temporary, targets, strict=True):
            os.replace(name, target)
        for folder in {target.parent for target in targets}:
            _sync_folder(folder)
    except BaseException:
        for name in temporary:
            name.unlink(missing_ok=True)
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` to `path` in UTF-8, atomically."""
    with atomic_paths(path) as (name,):
        name.write_text(text, encoding="utf-8", newline="")


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write `content` to `path` as JSON, atomically; see `json_text`."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """Indented JSON of `content`; NumPy values become plain ones, and non-finite numbers become null."""
    return json.dumps(_jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_table(path: str | os.PathLike, frame: pd.DataFrame, *, index: bool = False) -> None:
    """Write `frame` to `path` atomically, as CSV or Parquet depending on the suffix.

    Raises:
      InputError: the suffix is neither .csv nor .parquet.
    """
    suffix = check_suffix(path)
    with atomic_paths(path) as (name,):
        if suffix == ".parquet":
            frame.to_parquet(name, index=index)
        else:
            frame.to_csv(name, index=index)


def check_suffix(path: str | os.PathLike, allowed: tuple[str, ...] = TABLE_SUFFIXES) -> str:
    """Lower-case suffix of `path`.

    Raises:
      InputError: the suffix is not in `allowed`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in allowed:
        raise InputError(f"cannot tell the format of {path}; end its name in {' or '.join(allowed)}.")
    return suffix


def check_writable(path: str | os.PathLike, *, folder: bool) -> None:
    """Check, without creating anything, that `path` can be written: as a folder if `folder`, else as a file.

    Raises:
      InputError: `path` is of the other kind or write-protected, or its nearest existing folder is not writable.
    """
    path = Path(path)
    if path.exists() and path.is_dir() != folder:
        found, wanted = ("a file", "a folder") if folder else ("a folder", "a file")
        raise InputError(f"{path} is {found}, but {wanted} is to be written there; choose another name.")
    if path.is_file() and not os.access(path, os.W_OK):
        raise InputError(f"{path} is write-protected; choose another name.")
    nearest = path if path.is_dir() else nearest_folder(path.absolute().parent)
    if not nearest.is_dir():
        raise InputError(f"{path} cannot be written because {nearest} is not a folder; choose another place.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written because {nearest} is write-protected; choose another place.")


def nearest_folder(path: Path) -> Path:
    """`path` if it exists, else its nearest existing parent folder."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def same_file(first: str | os.PathLike, second: str | os.PathLike) -> bool:
    """Whether two paths name the same file, also through links, relative names or differences of case."""
    if os.path.realpath(first) == os.path.realpath(second):
        return True
    return os.path.exists(first) and os.path.exists(second) and os.path.samefile(first, second)


def _make_folder(folder: Path, made: list[Path]) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, so no folder can be made in it; choose another place.")
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        made.append(new)


def _settle(name: Path, *, like: Path) -> None:
    """Flush a file to disk, with the permissions that a file written in place would have."""
    if like.exists():
        mode = like.stat().st_mode & 0o777
    else:
        mask = os.umask(0)
        os.umask(mask)
        mode = 0o666 & ~mask
    name.chmod(mode)
    with open(name, "rb") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk, if the system supports it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _jsonable(content: Any) -> Any:
    """Convert NumPy scalars and arrays, tuples and paths to plain JSON values."""
    if isinstance(content, dict):
        return {str(key): _jsonable(value) for key, value in content.items()}
    if isinstance(content, list | tuple | set):
        return [_jsonable(value) for value in content]
    if hasattr(content, "tolist"):
        return _jsonable(content.tolist())
    if isinstance(content, float):
        return content if content - content == 0 else None
    if content is None or isinstance(content, str | int | bool):
        return content
    return str(content)
