"""Opens files through gzip, zip, zstd, bzip2 and xz, recognised by their first bytes, and writes them the same way."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from demix_jax.common.checks import InputError
from demix_jax.data.sources.boundary import printable, reading

_MAGIC = {
    "gz": b"\x1f\x8b",
    "zip": b"PK\x03\x04",
    "zst": b"\x28\xb5\x2f\xfd",
    "bz2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
}
_KINDS = {"gz": "gzip file", "zip": "zip archive", "zst": "zstd file", "bz2": "bzip2 file", "xz": "xz file"}
_SUFFIXES = {".gz": "gz", ".gzip": "gz", ".zip": "zip", ".zst": "zst", ".zstd": "zst", ".bz2": "bz2", ".xz": "xz"}
_ADVICE = "compress it again"
_BUFFER_BYTES = 1 << 20


def compression_of(path: Path) -> str | None:
    """The compression of a file by its first bytes: "gz", "zip", "zst", "bz2", "xz" or None.

    A zip archive that is a workbook (Excel, OpenDocument) is not compressed text: None.

    Raises:
      InputError: the file cannot be opened.
    """
    with reading(path), path.open("rb") as file:
        start = file.read(64)
    found = next((name for name, magic in _MAGIC.items() if start.startswith(magic)), None)
    if found == "bz2" and not (start[3:4].isdigit() and start[4:10] in (b"1AY&SY", b"\x17rE8P\x90")):
        return None
    return None if found == "zip" and is_workbook(path) else found


def compression_by_suffix(path: Path) -> str | None:
    """The compression that the end of a name asks for, or None."""
    return _SUFFIXES.get(path.suffix.lower())


def is_workbook(path: Path) -> bool:
    """Whether a file is an Excel or OpenDocument workbook, which both are zip archives."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except Exception:  # damaged archives raise errors of many types; `open_decompressed` says what is wrong
        return False
    return "[Content_Types].xml" in names or {"mimetype", "content.xml"} <= names


@contextmanager
def open_decompressed(path: Path) -> Iterator[IO[bytes]]:
    """The decompressed bytes of a file, compressed or not, as a stream that cannot be rewound.

    Every error in the compressed stream is raised by `read` as an InputError that names the file.

    Raises:
      InputError: the file is missing, a folder or damaged, or a zip archive does not hold exactly one file.
    """
    compression = compression_of(path)
    if compression is None:
        with reading(path):
            file = path.open("rb")
        with file:
            yield file
        return
    with reading(path, _KINDS[compression], _ADVICE):
        opened = _open(path, compression)
    with io.BufferedReader(_Checked(opened, path, _KINDS[compression]), _BUFFER_BYTES) as file:
        yield cast(IO[bytes], file)


@contextmanager
def open_compressed(path: Path, compression: str | None, member: str) -> Iterator[IO[bytes]]:
    """A file to write through `compression` (None: plain); `member` is the name of the file within a zip archive.

    The bytes written do not depend on the time.
    """
    with path.open("wb") as file:
        match compression:
            case None:
                yield file
            case "gz":
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream:
                    yield cast(IO[bytes], stream)
            case "zip":
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                    with archive.open(zipfile.ZipInfo(member), "w", force_zip64=True) as stream:
                        yield stream
            case "zst":
                with pa.CompressedOutputStream(file, "zstd") as stream:
                    yield cast(IO[bytes], stream)
            case "bz2":
                with bz2.BZ2File(file, "wb") as stream:
                    yield cast(IO[bytes], stream)
            case _:
                with lzma.LZMAFile(file, "wb") as stream:
                    yield cast(IO[bytes], stream)


def member_of(path: Path) -> str | None:
    """The name of the one file within a zip archive; None for any other file.

    Raises:
      InputError: the archive is damaged or does not hold exactly one file.
    """
    if compression_of(path) != "zip":
        return None
    with reading(path, _KINDS["zip"], _ADVICE), zipfile.ZipFile(path) as archive:
        return _only_member(archive, path).filename


def _open(path: Path, compression: str) -> Any:
    match compression:
        case "gz":
            return gzip.open(path)
        case "zip":
            with zipfile.ZipFile(path) as archive:  # the member stays open on its own
                return archive.open(_only_member(archive, path))
        case "zst":
            return pa.CompressedInputStream(path.open("rb"), "zstd")
        case "bz2":
            return bz2.open(path)
        case _:
            return lzma.open(path)


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """The one file of an archive; folders and what macOS adds do not count."""
    members = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        names = ", ".join(repr(info.filename) for info in members[:4]) or "none"
        raise InputError(
            f"{printable(path)} is a zip archive of {len(members)} files ({names}); expected exactly one table, so "
            "unpack it and name one of them."
        )
    if members[0].flag_bits & 1:
        raise InputError(f"{printable(path)} is a zip archive with a password; unpack it first.")
    return members[0]


class _Checked(io.RawIOBase):
    """A compressed stream whose errors name the file."""

    def __init__(self, stream: Any, path: Path, kind: str):
        self._stream, self._path, self._kind = stream, path, kind

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with reading(self._path, self._kind, _ADVICE):
            block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
