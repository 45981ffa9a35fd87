"""Encodings: recognised, told, and given back byte for byte."""

from __future__ import annotations

import io
import random

import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.sources.delimited import open_delimited
from demix_jax.data.sources.delimited.detection import detect_code_page
from demix_jax.data.sources.delimited.encodings import Encoding, decoded, encoded, mend
from demix_jax.data.sources.source import Edits

WORDS = {
    "German": ("Müller Köchin Straße Größe Büro–Innendienst 12,50€ „Lehrer“", ["cp1252"]),
    "German without signs": ("Müller Köchin Straße Größe Büro Ärzte Übung", ["mac_roman", "cp850", "cp1252"]),
    "French": ("Élève Genève François déjà garçon cœur Noël", ["cp1252", "mac_roman"]),
    "Spanish": ("Málaga España niño ¿Qué? Córdoba", ["cp1252"]),
    "Swedish": ("Malmö Göteborg Ångström Växjö", ["cp1252", "mac_roman"]),
    "cities of the west": ("Zürich Genève Malmö São_Paulo Málaga", ["cp1252"]),
    "Polish": ("Łódź Kraków Gdańsk Wrocław zażółć gęślą jaźń Świętokrzyskie", ["cp1250", "iso8859_2"]),
    "Czech": ("Plzeň Ústí Třebíč České Budějovice žluťoučký kůň", ["cp1250", "iso8859_2"]),
    "Hungarian": ("Győr Székesfehérvár Hódmezővásárhely űrhajó", ["cp1250"]),
    "Russian": (
        "север юг восток запад Москва Иванов Ёлкин",
        ["cp1251", "koi8_r", "cp866", "iso8859_5", "mac_cyrillic"],
    ),
    "Greek": ("Αθήνα Θεσσαλονίκη Πάτρα Ηράκλειο", ["cp1253", "iso8859_7"]),
    "Turkish": ("İstanbul Eskişehir Muğla Iğdır Çanakkale", ["cp1254"]),
    "Japanese": ("東京 大阪 カタカナ ひらがな 横浜市 株式会社", ["cp932", "euc_jp"]),
    "Chinese": ("北京 上海 广州 深圳市 公司", ["gb18030"]),
    "Taiwan": ("臺北 高雄 台中市 公司", ["big5"]),
    "Korean": ("서울 부산 대구 인천광역시", ["cp949"]),
}


@pytest.mark.parametrize("language", WORDS)
def test_code_pages_are_recognised(language):
    text, names = WORDS[language]
    words = text.split()
    for name in names:
        for rows in (words, [f"{number};{word};{number * 3.5}" for number, word in enumerate(words * 20)]):
            data = "\n".join(rows).encode(name)
            assert data.decode(detect_code_page(data)) == "\n".join(rows), name


def table(words: str) -> str:
    return "id;word\r\n" + "".join(f"{number};{word}\r\n" for number, word in enumerate(words.split() * 3))


@pytest.mark.parametrize(
    ("name", "bom"),
    [("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"), ("utf-16-le", b""), ("utf-16-be", b""), ("utf-8", b""),
     ("utf-8", b"\xef\xbb\xbf"), ("utf-32-le", b"\xff\xfe\0\0"), ("utf-32-be", b""), ("cp1252", b"")],
)  # fmt: skip
def test_tables_come_back_in_their_encoding(tmp_path, name, bom):
    text = table("Müller Köchin Straße")
    (tmp_path / "x.csv").write_bytes(bom + text.encode(name))
    source = open_delimited(tmp_path / "x.csv")
    assert source.names == ("id", "word")
    assert next(source.batches(1)).to_pylist() == [{"id": "0", "word": "Müller"}]
    assert bool(source.notes) == (name != "utf-8") and all(name in note for note in source.notes)
    source.write_edited(tmp_path / "y.csv", Edits(added={"weight": ["ä"] * 9}))
    lines = text.splitlines()
    want = "".join(f"{line};{'weight' if place == 0 else 'ä'}\r\n" for place, line in enumerate(lines))
    assert (tmp_path / "y.csv").read_bytes() == bom + want.encode(name)


def test_a_stray_byte_damages_one_cell(tmp_path):
    data = "id,word\n1,Zürich\n2,clerk?\n3,Genève\n4,Łódź\n".encode().replace(b"?", b"\xa0")
    (tmp_path / "x.csv").write_bytes(data)
    source = open_delimited(tmp_path / "x.csv")
    assert next(source.batches(9)).column("word").to_pylist() == ["Zürich", "clerk\ufffd", "Genève", "Łódź"]
    assert "1 byte of the file is not utf-8 text (first: line 3, column 8)" in source.notes[0]
    source.write_edited(tmp_path / "y.csv", Edits(added={"w": ["1"] * 4}))
    assert (tmp_path / "y.csv").read_bytes().replace(b",1\n", b"\n").replace(b",w\n", b"\n") == data


def test_what_the_user_names_wins(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(table("север юг восток").encode("koi8_r"))
    assert next(open_delimited(path, encoding="KOI8-R").batches(1)).column("word")[0].as_py() == "север"
    with pytest.raises(InputError, match=r"encoding must be a name such as .* got 'klingon'"):
        open_delimited(path, encoding="klingon")
    with pytest.raises(InputError, match="got 'base64'"):
        open_delimited(path, encoding="base64")
    with pytest.raises(InputError, match=r"x\.csv is not utf-8 text \(line 2\)"):
        open_delimited(path, encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.csv is not utf-16"):
        open_delimited(path, encoding="utf-16")


def test_utf16_cut_short_is_told(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe" + table("Müller").encode("utf-16-le")[:-1])
    with pytest.raises(InputError, match=r"x\.csv is not utf-16-le text \(byte \d+\)"):
        open_delimited(tmp_path / "x.csv")


@pytest.mark.parametrize("name", ["utf-8", "cp1252", "cp932", "gb18030", "big5", "cp949", "euc_jp", "koi8_r", "cp1255"])
def test_any_bytes_come_back(name):
    """Also those that are no text in the encoding, or not the usual way to write a character, in blocks of any size."""
    draw = random.Random(3)
    for size in (1, 2, 3, 7, 1000):
        data = bytes(draw.choice(b"ab,\n\x5c\x7c" + bytes(range(128, 256))) for _ in range(3000))
        blocks = list(decoded(io.BytesIO(data), Encoding(name), size))
        assert b"".join(encoded(block, Encoding(name)) for block in blocks) == data
        for block in blocks:
            mend(block).tobytes().decode("utf-8")
