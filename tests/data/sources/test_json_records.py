"""JSON as it is written: every layout is read, and only what is edited changes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_jax.common.checks import InputError
from demix_jax.data.sources.json_document import JsonSource
from demix_jax.data.sources.json_lines import JsonLinesSource
from demix_jax.data.sources.json_records import open_json, read_json
from demix_jax.data.sources.source import Edits, NewCells


def opened(folder: Path, text: str | bytes, name: str = "in.jsonl"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_json(path)


def rows(source) -> list[dict]:
    return [row for batch in source.batches(2) for row in batch.to_pylist()]


def edited(source, edits: Edits, folder: Path, name: str = "out.jsonl") -> str:
    (folder / name).unlink(missing_ok=True)
    source.write_edited(folder / name, edits)
    return (folder / name).read_bytes().decode("utf-8", "surrogateescape")


def cells(*pairs: tuple[int, object]) -> NewCells:
    return NewCells(np.array([row for row, _ in pairs]), [value for _, value in pairs])


def test_cells_are_as_written(tmp_path):
    source = opened(
        tmp_path,
        '\ufeff{"id": 12345678901234567890, "price": 1.50, "big": 78E3, "ok": true, "none": null, "name": "\\u00e9"}\n'
        '\n{"price": "n/a", "ok": false, "nan": NaN}\n',
    )
    assert source.names == ("id", "price", "big", "ok", "none", "name", "nan") and source.is_text
    first = {"id": "12345678901234567890", "price": "1.50", "big": "78E3", "ok": "true", "none": None, "name": "é"}
    second = {"id": None, "price": "n/a", "big": None, "ok": "false", "none": None, "name": None, "nan": "NaN"}
    assert rows(source) == [first | {"nan": None}, second]


def test_nested_values_become_columns_and_lists(tmp_path):
    source = opened(
        tmp_path,
        '{"a": {"b": 1, "c": {"d": "x"}}, "v": [1, 2.5], "m": [[1, 2], [3, 4]], "t": ["p"], "r": [1], '
        '"o": [{"k": 1.0}]}\n'
        '{"a": null, "v": [3, null], "m": [[5, 6], [7, 8]], "t": [], "r": [1, 2]}\n{"a": {}}\n',
    )
    assert source.names == ("a.b", "a.c.d", "v", "m", "t", "r", "o")
    table = pa.concat_tables(source.batches(2))
    assert table["v"].type == table["m"].type == pa.large_list(pa.float64())
    assert table["m"].to_pylist() == [[1, 2, 3, 4], [5, 6, 7, 8], None]
    assert table["t"].to_pylist() == [["p"], [], None]
    assert table["r"].to_pylist() == ["[1]", "[1, 2]", None] and table["o"][0].as_py() == '[{"k": 1.0}]'
    assert np.isnan(table["v"].to_pylist()[1][1]) and table["a.b"].to_pylist() == ["1", None, None]
    assert source.notes == ("The lists in 'r' differ in length, so they are read as text and not as vectors.",)


def test_lines_change_only_where_edited(tmp_path):
    text = (
        '\ufeff{"a": 1.50, "b": {"c": "x", "d": null}, "s": "é"}\r\n'
        "\n"
        ' {"a":2,"b":null,"s":"q"} \n'
        "{}\n"
        '{"a": 3, "s": "\\u00fc"}'
    )
    source = opened(tmp_path, text)
    assert edited(source, Edits(), tmp_path) == text
    edits = Edits(
        cells={"a": cells((0, "7"), (2, "8"), (3, "n/a")), "b.d": cells((0, "D"), (1, "E")), "s": cells((3, "ö"))},
        added={"p": np.array([0.5, 1, 0.1, 0], np.float32), "why": ["", None, "x", "y"]},
    )
    assert edited(source, edits, tmp_path) == (
        '\ufeff{"a": 7, "b": {"c": "x", "d": "D"}, "s": "é", "p": 0.5, "why": ""}\r\n'
        "\n"
        ' {"a":2,"b":{"d": "E"},"s":"q","p":1.0,"why":null} \n'
        '{"a": 8, "p": 0.1, "why": "x"}\n'
        '{"a": "n/a", "s": "\\u00f6", "p": 0.0, "why": "y"}'
    )
    dropped = Edits(dropped=np.array([True, False, False, True]))
    assert edited(source, dropped, tmp_path) == "\n" + ' {"a":2,"b":null,"s":"q"} \n' + "{}\n"


def test_new_values_keep_the_form_of_the_column(tmp_path):
    source = opened(tmp_path, '{"n": 1, "t": "1", "b": true, "v": [1, 2]}\n{"n": null, "t": null, "b": null}\n')
    edits = Edits(
        cells={
            "n": cells((0, ""), (1, "5")),
            "t": cells((0, "5"), (1, "5")),
            "b": cells((0, "false"), (1, "true")),
            "v": cells((0, np.array([3.0, 4.5])), (1, [1, 2])),
        }
    )
    assert edited(source, edits, tmp_path) == (
        '{"n": null, "t": "5", "b": false, "v": [3.0, 4.5]}\n{"n": 5, "t": "5", "b": true, "v": [1, 2]}\n'
    )


def test_bytes_that_are_not_utf8_damage_one_cell(tmp_path):
    source = opened(tmp_path, b'{"a": "x"}\n{"a": "caf\xe9", "\xff": 1}\n')
    assert rows(source)[1] == {"a": "caf\ufffd", "\ufffd": "1"}
    assert "1 line has bytes that are not UTF-8 (first: line 2)" in source.notes[0]
    text = edited(source, Edits(cells={"a": cells((0, "y"))}), tmp_path)
    assert text.encode("utf-8", "surrogateescape") == b'{"a": "y"}\n{"a": "caf\xe9", "\xff": 1}\n'


DOCUMENTS = {  # text -> the text once row 0 is dropped, `a` of row 1 is 9 and `p` is added
    '[\n  {\n    "a": 1,\n    "b": 2\n  },\n  {\n    "a": 3,\n    "b": 4\n  }\n]\n': (
        '[\n  {\n    "a": 9,\n    "b": 4,\n    "p": "y"\n  }\n]\n'
    ),
    '[{"a":1},{"a":2}]': '[{"a":9,"p":"y"}]',
    '{"n": 2, "data": [{"a": 1}, {"a": 2}], "o": [1]}': '{"n": 2, "data": [{"a": 9, "p": "y"}], "o": [1]}',
    '{"reply": {"docs": [{"a": 1}, {"a": 2}]}}': '{"reply": {"docs": [{"a": 9, "p": "y"}]}}',
    '{"schema": {"fields": [{"name": "a"}]}, "data": [{"a": 1}, {"a": 2}]}': (
        '{"schema": {"fields": [{"name": "a"}]}, "data": [{"a": 9, "p": "y"}]}'
    ),
    '{"a": [1, 2.50], "b": ["x", null]}': '{"a": [9], "b": [null], "p": ["y"]}',
    '{"a":{"0":1,"1":2}}': '{"a": {"0": 9}, "p": {"0": "y"}}',
    '{"columns":["a"],"index":[0,1],"data":[[1],[2]]}': '{"columns": ["a", "p"], "index": [0], "data": [[9, "y"]]}',
    '[["a", "b"], [1, 2], [3, 4]]': '[["a", "b", "p"], [9, 4, "y"]]',
    '{"a": 1}\n{"a": 2}\n': '{"a": 9, "p": "y"}\n',
    '{\n "a": 1\n}\n{\n "a": 2\n}\n': '{\n "a": 9,\n "p": "y"\n}\n',
}


@pytest.mark.parametrize("text", DOCUMENTS)
def test_every_layout_is_read_and_edited(tmp_path, text):
    source = opened(tmp_path, text, "in.json")
    assert len(rows(source)) == 2 and source.names[0] == "a" and rows(source)[0]["a"] == "1"
    assert edited(source, Edits(), tmp_path) == text
    edits = Edits(cells={"a": cells((1, "9"))}, dropped=np.array([True, False]), added={"p": ["x", "y"]})
    assert edited(source, edits, tmp_path) == DOCUMENTS[text]
    assert edited(source, Edits(dropped=np.array([True, True])), tmp_path).strip() != text.strip()


BAD = {
    "in.jsonl": {
        '{"a": 1}\n\n{"a": \n': "Line 3 of .* is not JSON",
        '{"a": 1}\n[1]\n': "Line 2 of .* is no record",
        '{"a": 1} {"a": 2}\n': "Line 1 of .* has more than one record",
        '{"a": {"b": 1}, "a.b": 2}\n': "two keys that are read as 'a.b'",
        '{"a":' * 5000 + "1" + "}" * 5000: "nested too deeply",
    },
    "in.json": {
        '[{"a": 1}, 2]': "no record at place 1 of its list but the number 2",
        '[{"a": 1}': "is not JSON .* line 1, character 10",
        '{"a": 1}': "holds no table",
        "3": "is a single value",
        '{"x": [{"a": 1}], "y": [{"b": 1}]}': r"several lists of records \('x', 'y'\)",
        '[["a", "b"], [1, 2], [3]]': "1 values in row 2 but 2 in the first",
        '[["a", "a"], [1, 2]]': "two columns of one name",
        "[" * 100_000: "nested too deeply",
    },
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_what_is_no_table_is_told(tmp_path, name, text):
    with pytest.raises(InputError, match=BAD[name][text]):
        opened(tmp_path, text, name)


def test_names_that_are_taken_are_told(tmp_path):
    source = opened(tmp_path, '{"a": 1, "b": {"c": 1}}\n{"b": "text"}\n')
    for name in ("a", "b", "b.c"):
        with pytest.raises(InputError, match=f"has a column '{name}' already"):
            source.write_edited(tmp_path / "out", Edits(added={name: [1, 2]}))
    with pytest.raises(InputError, match=r"Line 2 of .* has no object under 'b'"):
        source.write_edited(tmp_path / "out", Edits(cells={"b.c": cells((1, "1"))}))
    assert not (tmp_path / "out").exists()


def test_encodings_and_compression(tmp_path):
    text = '{"a": "é"}\n{"a": "ü"}\n'
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        source = opened(tmp_path, text.encode(encoding))
        assert [row["a"] for row in rows(source)] == ["é", "ü"]
        source.write_edited(tmp_path / "out", Edits())
        assert (tmp_path / "out").read_bytes() == text.encode(encoding)
    (tmp_path / "in.jsonl").write_bytes(text.encode("cp1252"))
    assert rows(open_json(tmp_path / "in.jsonl", encoding="cp1252"))[0] == {"a": "é"}
    with pytest.raises(InputError, match="no encoding 'latin-99'"):
        open_json(tmp_path / "in.jsonl", encoding="latin-99")
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    source = open_json(tmp_path / "in.jsonl.gz")
    source.write_edited(tmp_path / "out.jsonl.gz", Edits(added={"p": [1, 2]}))
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).decode() == (
        '{"a": "é", "p": 1}\n{"a": "ü", "p": 2}\n'
    )


def test_content_with_plain_numbers(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": [1, 2.5]}\n\n{"a": null}\n')
    assert read_json(tmp_path / "a.jsonl") == [{"a": [1, 2.5]}, {"a": None}]
    (tmp_path / "a.json").write_text('{"a": [1]}')
    assert read_json(tmp_path / "a.json") == {"a": [1]}


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())
RECORDS = st.lists(
    st.dictionaries(st.sampled_from("abcdé"), st.one_of(LEAVES, st.dictionaries(st.sampled_from("xy"), LEAVES))),
    min_size=1,
    max_size=6,
)
STYLES = st.fixed_dictionaries(
    {"ensure_ascii": st.booleans(), "separators": st.sampled_from([(",", ":"), (", ", ": "), (" , ", ":  ")])}
)


@settings(max_examples=40, deadline=None)
@given(records=RECORDS, style=STYLES, in_lines=st.booleans(), indent=st.sampled_from([None, 2]), data=st.data())
def test_any_records_change_only_where_edited(tmp_path_factory, records, style, in_lines, indent, data):
    folder = tmp_path_factory.mktemp("json")
    if in_lines:
        text = "".join(json.dumps(record, **style) + "\n" for record in records)
    else:
        text = json.dumps(records, indent=indent, **style)
    source = opened(folder, text.encode("utf-8", "surrogatepass"), "in.jsonl" if in_lines else "in.json")
    assert isinstance(source, JsonLinesSource if in_lines else JsonSource)
    assert edited(source, Edits(), folder) == text
    added = Edits(added={"new": list(range(len(records)))})
    expected = [record | {"new": row} for row, record in enumerate(records)]
    assert read_any(edited(source, added, folder), in_lines) == expected
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(records), max_size=len(records))))
    kept = read_any(edited(source, Edits(dropped=~keep), folder), in_lines)
    assert kept == [record for record, here in zip(records, keep, strict=True) if here]


def read_any(text: str, in_lines: bool) -> list[dict]:
    return [json.loads(line) for line in text.split("\n") if line] if in_lines else json.loads(text)
