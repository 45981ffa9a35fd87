"""Files that appear whole or not at all: written under another name beside their place, then moved there."""

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
SAMPLES_FILE = "samples.csv"  # beside them, where the rows were made of an interaction log


def cache_dir() -> Path:
    """The folder for what can be had again: downloads, compiled programs."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "demix_jax"


@contextlib.contextmanager
def atomic_paths(*paths: str | os.PathLike) -> Iterator[list[Path]]:
    """Temporary names to write to; they become `paths`, all of them, when the block ends well.

    An exception in the block, Ctrl-C included, leaves existing files as they were, and no new ones. Missing
    folders are made, and taken away again when the block fails. A link is followed: its target is replaced.

    Args:
      paths: files to write.
    Yields:
      One path per argument, in the same folder and with the same suffix.
    Raises:
      InputError: a path is a folder or a special file, or its folder cannot be made.
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
    """Write `content` to `path` as `json_text` gives it, atomically."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """`content` as indented JSON, NumPy's values as plain ones; a number that is not finite becomes null."""
    return json.dumps(_jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_table(path: str | os.PathLike, frame: pd.DataFrame, *, index: bool = False) -> None:
    """Write `frame` to `path` atomically, as CSV or Parquet after its suffix.

    Raises:
      InputError: the suffix is neither .csv nor .parquet.
    """
    suffix = check_suffix(path)
    with atomic_paths(path) as (name,):
        if suffix == ".parquet":
            frame.to_parquet(name, index=index)
        else:
            frame.to_csv(name, index=index)


def suffix_to_write(path: Path) -> str:
    """Of a table that is made of the one at `path`: .parquet if that is Parquet, .csv for any other."""
    return ".parquet" if path.suffix.lower() in PARQUET_SUFFIXES else ".csv"


def check_suffix(path: str | os.PathLike, allowed: tuple[str, ...] = TABLE_SUFFIXES) -> str:
    """The suffix of `path` in small letters, one of those allowed.

    Raises:
      InputError: another suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in allowed:
        raise InputError(f"cannot tell the format of {path}; end its name in {' or '.join(allowed)}.")
    return suffix


def check_writable(path: str | os.PathLike, *, folder: bool) -> None:
    """Check, without making anything, that `path` can be written: a folder if `folder`, a file otherwise.

    Raises:
      InputError: something of the other kind is there, or the nearest existing folder cannot be written to.
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
    """`path`, or the nearest of the folders above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def same_file(first: str | os.PathLike, second: str | os.PathLike) -> bool:
    """Whether two paths lead to one file, through links, relative names and differences of case alike."""
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
    """Put the content on the disk, with the permissions that a file written in place would have."""
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
    """Put the names in a folder on the disk, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _jsonable(content: Any) -> Any:
    """NumPy scalars and arrays, tuples and paths as plain JSON values."""
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
