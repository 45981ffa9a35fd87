"""Compressed files: the bytes come back, and every damage is an InputError with a reason."""

from __future__ import annotations

import gzip
import io
import os
import random
import zipfile
from pathlib import Path

import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.sources.boundary import check_is_file, printable, reading
from demix_jax.data.sources.compression import (
    compression_of,
    is_workbook,
    member_of,
    open_compressed,
    open_decompressed,
)

TEXT = b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(300))
ALL = ["gz", "zip", "zst", "bz2", "xz"]


def written(path: Path, compression: str | None, text: bytes = TEXT) -> bytes:
    with open_compressed(path, compression, "in.csv") as file:
        file.write(text)
    return path.read_bytes()


def content(path: Path) -> bytes:
    with open_decompressed(path) as file:
        return file.read()


@pytest.mark.parametrize("compression", [None, *ALL])
def test_what_is_written_is_read_whatever_the_name(tmp_path, compression):
    written(tmp_path / "table.csv", compression)
    assert compression_of(tmp_path / "table.csv") == compression
    assert content(tmp_path / "table.csv") == TEXT


def test_known_readers_read_what_is_written(tmp_path):
    assert gzip.decompress(written(tmp_path / "x", "gz")) == TEXT
    with zipfile.ZipFile(io.BytesIO(written(tmp_path / "y", "zip"))) as archive:
        assert archive.namelist() == ["in.csv"] and archive.read("in.csv") == TEXT
    assert member_of(tmp_path / "y") == "in.csv" and member_of(tmp_path / "x") is None


def test_gzip_files_one_after_another_are_one(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(TEXT) + gzip.compress(b"more"))
    assert content(tmp_path / "x.gz") == TEXT + b"more"


@pytest.mark.parametrize("compression", ["gz", "zip", "bz2", "xz"])
def test_every_truncation_is_told(tmp_path, compression):
    whole = written(tmp_path / "x", compression, TEXT[:700])
    for length in range(12, len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(InputError, match="cut is a damaged"):
            content(tmp_path / "cut")


@pytest.mark.parametrize("compression", ["gz", "zip", "bz2", "xz"])
def test_flipped_bits_are_told_or_do_no_harm(tmp_path, compression):
    """A flip in a name, a date or the magic bytes leaves the content as it was, or the file as it stands."""
    whole = written(tmp_path / "x", compression)
    places = random.Random(0)
    for _ in range(220):
        damaged = bytearray(whole)
        place = places.randrange(len(whole))
        damaged[place] ^= 1 << places.randrange(8)
        (tmp_path / "flipped").write_bytes(damaged)
        try:
            assert content(tmp_path / "flipped") in (TEXT, bytes(damaged))
        except InputError as error:
            assert "flipped is a damaged" in str(error) or "zip archive" in str(error)


def test_zip_archives_of_other_than_one_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "x\n1\n")
        archive.writestr("b.csv", "x\n1\n")
    with pytest.raises(InputError, match=r"2 files \('a.csv', 'b.csv'\); expected exactly one"):
        content(tmp_path / "two.zip")
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:
        archive.writestr("data/", "")
        archive.writestr("data/a.csv", "x\n1\n")
        archive.writestr("__MACOSX/data/._a.csv", "?")
    assert content(tmp_path / "mac.zip") == b"x\n1\n"


def test_workbooks_are_no_compressed_text(tmp_path):
    with zipfile.ZipFile(tmp_path / "book.csv", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    assert is_workbook(tmp_path / "book.csv") and compression_of(tmp_path / "book.csv") is None


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        check_is_file(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="is a folder"), open_decompressed(tmp_path):
        pass


def test_names_that_are_not_utf8_can_be_printed():
    assert printable(Path(os.fsdecode(b"caf\xe9.csv"))) == r"caf\xe9.csv"


def test_the_boundary_names_file_and_reason():
    with pytest.raises(InputError, match=r"x\.json is nested too deeply"), reading("x.json"):
        raise RecursionError("maximum recursion depth exceeded")
    with pytest.raises(InputError, match=r"x\.gz is a damaged gzip file \(cut\); compress it again\."):
        with reading("x.gz", "gzip file", "compress it again"):
            raise EOFError("cut.")
    with pytest.raises(InputError, match="as it was"), reading("x.csv"):
        raise InputError("as it was")
