"""The one place where errors of reading a file become an `InputError`: file, place and what to do."""

from __future__ import annotations

import errno
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from demix_jax.common.checks import InputError

# What the standard library and Arrow raise on damaged bytes. The last ones come from zip archives with flipped bits.
_DAMAGE = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    pa.ArrowException,
    struct.error,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)


def printable(path: str | os.PathLike) -> str:
    """The name of a file for messages; bytes of the name that are not UTF-8 are written as \\xff."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


@contextmanager
def reading(path: str | os.PathLike, kind: str = "file", advice: str = "write it again") -> Iterator[None]:
    """Turn every error that damaged or unreadable files cause into an InputError; an InputError passes unchanged.

    Args:
      path: the file that is read. kind: what it should be, such as "gzip file". advice: what to do if it is damaged.
    Raises:
      InputError: the file is missing, a folder, protected, not in the encoding, nested too deeply, or damaged.
    """
    try:
        yield
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(_sentence(error, printable(path), kind, advice)) from error


def check_is_file(path: str | os.PathLike) -> None:
    """Raise InputError unless `path` is a file that can be opened."""
    with reading(path), Path(path).open("rb"):
        pass


def _sentence(error: BaseException, path: str, kind: str, advice: str) -> str:
    match error:
        case FileNotFoundError():
            return f"{path} does not exist; check the name."
        case IsADirectoryError():
            return f"{path} is a folder, but a file was expected; name one of its files."
        case PermissionError():
            return f"{path} cannot be read (permission denied); ask its owner for the right to read it."
        case UnicodeDecodeError():
            return f"{path} is not {error.encoding} text (byte {error.start + 1:,}); name its encoding or {advice}."
        case RecursionError():
            return f"{path} is nested too deeply to be a table; expected rows of cells, so flatten it first."
        case OSError() if error.errno not in (None, errno.EINVAL):  # EINVAL: damaged offsets in a zip archive
            return f"{path} cannot be read ({error.strerror}); check the disk or {advice}."
    reason = " ".join(str(error).split()).rstrip(".") or "it ends early"
    return f"{path} is a damaged {kind} ({reason[:200]}); {advice}."
