"""Files as people have them: read as they are meant, and given back with every cell that was not changed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_tables import visits

from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.read_options import ReadOptions
from demix_jax.data.fingerprint import row_fingerprints
from demix_jax.data.notes import table_notes
from demix_jax.data.read import read_inspected, read_written
from demix_jax.diagnosis.table import with_fingerprints
from demix_jax.repairs import repair

LABEL = "returns"


def write(path: Path, table: pd.DataFrame, *, encoding: str = "utf-8", **how) -> Path:
    path.write_bytes(table.to_csv(index=False, **how).encode(encoding))
    return path


def kinds(path: Path, options: ReadOptions | None = None) -> dict[str, str]:
    return {column.name: column.kind for column in read_inspected(path, LABEL, options).columns}


def diagnosis_of(path: Path, **flagged: list[int]) -> pd.DataFrame:
    """A diagnosis of a file as `diagnose` writes it, with these rows flagged."""
    written = read_written(path).frame
    table = pd.DataFrame(0, index=range(len(written)), columns=list(ERROR_TYPES))
    for name, rows in flagged.items():
        table.loc[rows, name] = 1
    table["p_label_error"] = (
        np.linspace(0, 1, len(table))[::-1] * (1 - table["label_error"]) / 3 + 0.6 * table["label_error"]
    )
    table = table.assign(suspect_columns="[]", mistake="")
    table.insert(0, "row", range(len(table)))
    return with_fingerprints(table, row_fingerprints(written))


def without_weights(path: Path, delimiter: bytes) -> bytes:
    """The file without the last field of each line."""
    lines = path.read_bytes().splitlines(keepends=True)
    ends = [line[len(line.rstrip(b"\r\n")) :] for line in lines]
    return b"".join(line.rstrip(b"\r\n").rpartition(delimiter)[0] + end for line, end in zip(lines, ends, strict=True))


def euro(value: float) -> str:
    return f"{value:,.2f}".translate({ord(","): ".", ord("."): ","})


# name -> a column, its texts, its kind, and how the file is written
FORMS = {
    "euro": ("spent", lambda v, i: f"{euro(v)} €", "number", {"encoding": "cp1252", "sep": ";"}),
    "accountant": ("spent", lambda v, i: f"({v:,.2f})" if v > 200 else f"{v:,.2f}", "number", {}),
    "franc": ("spent", lambda v, i: f"CHF {v:,.2f}".replace(",", "’"), "number", {}),
    "weights": ("spent", lambda v, i: f"{v:.1f} kg", "number", {}),
    "thousands": ("spent", lambda v, i: f"{v / 100:.1f}K", "number", {}),
    "minus behind": ("spent", lambda v, i: f"{v:.2f}-" if v < 100 else f"{v:.2f}", "number", {}),
    "many gaps": ("weekly", lambda v, i: "?" if i % 3 == 0 else str(v), "number", {}),
    "excel errors": ("age", lambda v, i: "#DIV/0!" if i % 4 == 0 else str(v), "number", {}),
    "days": ("age", lambda v, i: f"{i % 28 + 1:02d}-{MONTHS[i % 12]}-{70 + i % 29}", "date", {}),
    "months": ("age", lambda v, i: f"{2000 + i % 20}-{i % 12 + 1:02d}", "date", {}),
    "afternoon": ("age", lambda v, i: f"{i % 12 + 1:02d}:{i % 60:02d}:00 PM", "date", {}),
    "zips": ("age", lambda v, i: f"{97_000 - 240 * i:05d}", "identifier", {}),
}
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()


@pytest.mark.parametrize("name", FORMS)
def test_columns_are_what_their_owner_means_in_any_order(tmp_path, name):
    column, text, kind, how = FORMS[name]
    table, _ = visits()
    table[column] = [text(value, i) for i, value in enumerate(table[column])]
    found = read_inspected(write(tmp_path / "t.csv", table, **how), LABEL)
    assert {c.name: c.kind for c in found.columns}[column] == kind
    for seed in range(2):
        mixed = table.sample(frac=1, random_state=seed).sample(frac=1, axis=1, random_state=seed)
        again = read_inspected(write(tmp_path / "m.csv", mixed, **how), LABEL)
        assert {c.name: c.kind for c in again.columns} == {c.name: c.kind for c in found.columns}
        assert sorted(again.notes) == sorted(found.notes)


@pytest.mark.parametrize("by", ["income", "seconds", "spent"])
def test_sorted_files_have_the_kinds_and_notes_of_shuffled_ones(tmp_path, by):
    table, _ = visits()
    rng = np.random.default_rng(1)
    table["income"] = rng.choice(150_000, len(table), replace=False) + 12_000
    table["seconds"] = 1_600_000_000 + rng.choice(10**8, len(table), replace=False)
    told = []
    for place in (table.sort_values(by), table.sample(frac=1, random_state=0)):
        found = read_inspected(write(tmp_path / "t.csv", place), LABEL)
        notes = table_notes(found, task="classification").sentences
        told.append(({c.name: (c.kind, c.how) for c in found.columns}, sorted(found.notes), notes))
    assert told[0] == told[1] and told[0][0]["income"][0] == told[0][0]["seconds"][0] == "number"


AS_WRITTEN = {
    "long orders": {"order": lambda i: "" if i % 40 == 0 else str(1_582_218_195_625_938_945 + 977 * i)},
    "whole numbers with gaps": {"visits": lambda i: "" if i % 30 == 0 else str(i % 60)},
    "shouted truth": {"active": lambda i: ["TRUE", "FALSE"][i % 2]},
    "cents": {"price": lambda i: f"{i / 10 + 1:.2f}"},
    "Namibia": {"country": lambda i: ["NA", "DE", "FR"][i % 3]},
    "late zeros": {"zip": lambda i: f"{99_000 - 240 * i:05d}"},
    "powers": {"cells": lambda i: f"{i % 90 + 10}E3"},
    "telephones": {"phone": lambda i: f"+49301{i:06d}"},
    "quotes": {"said": lambda i: f'he said ""{i % 7}""' if i % 2 else "a; b"},
}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", AS_WRITTEN)
def test_a_repair_that_keeps_everything_changes_no_cell(tmp_path, name, delimiter):
    table, _ = visits(120)
    table = table.assign(**{key: [make(i) for i in range(len(table))] for key, make in AS_WRITTEN[name].items()})
    path = write(tmp_path / "in.csv", table, sep=delimiter)
    flags = diagnosis_of(path, label_error=[3, 8], feature_error=[5])
    made = repair(path, flags, label=LABEL, label_errors="keep", feature_errors="keep", spurious="keep")
    made.save(tmp_path / "out.csv")
    assert without_weights(tmp_path / "out.csv", delimiter.encode()) == path.read_bytes()


@pytest.mark.parametrize("encoding", ["cp1251", "cp1252", "utf-8-sig", "utf-16"])
def test_encodings_come_back(tmp_path, encoding):
    table, _ = visits(200)
    words = (
        ["север", "юг", "восток", "запад"] if encoding == "cp1251" else ["Büro – innen", "Köchin", "„Lehrer“", "Straße"]
    )
    table["town"] = table["town"].replace(dict(zip(["Bonn", "Kiel", "Ulm", "Hof"], words, strict=True)))
    path = write(tmp_path / "in.csv", table, encoding=encoding)
    assert set(read_inspected(path, LABEL).frame["town"]) == set(words)
    made = repair(path, diagnosis_of(path), label=LABEL)
    made.save(tmp_path / "out.csv")
    back = (tmp_path / "out.csv").read_bytes().decode(encoding)
    assert [line.rpartition(",")[0] for line in back.splitlines()] == path.read_bytes().decode(encoding).splitlines()


def test_a_stray_byte_damages_one_cell(tmp_path):
    table, _ = visits(200)
    table["town"] = table["town"].replace({"Bonn": "Zürich", "Kiel": "Genève", "Ulm": "Łódź", "Hof": "Malmö"})
    path = tmp_path / "in.csv"
    path.write_bytes(table.to_csv(index=False).encode().replace(b"desk", b"desk\xa0", 1))
    found = read_inspected(path, LABEL)
    assert set(found.frame["town"]) == {"Zürich", "Genève", "Łódź", "Malmö"}
    assert sum("\ufffd" in text for text in found.frame["work"]) == 1
    assert any(note.startswith("1 byte of the file is not") and "line" in note for note in found.notes)
    repair(path, diagnosis_of(path), label=LABEL).save(tmp_path / "out.csv")
    assert without_weights(tmp_path / "out.csv", b",") == path.read_bytes()


@pytest.mark.parametrize("how", ["sorted", "filtered", "with a column", "without summary"])
def test_a_reviewed_diagnosis_is_applied_to_its_own_rows(tmp_path, how):
    table, is_wrong = visits(300, wrong=0.1)
    path, rows = write(tmp_path / "in.csv", table), np.flatnonzero(is_wrong).tolist()
    lines = diagnosis_of(path, label_error=rows)
    straight = repair(path, lines, label=LABEL)
    reviewed = {
        "sorted": lines.sort_values("p_label_error", ascending=False),
        "filtered": lines[lines["label_error"] == 1],
        "with a column": lines.sample(frac=1, random_state=0).assign(verdict="seen"),
        "without summary": lines.iloc[::-1],
    }[how]
    reviewed.to_csv(tmp_path / "diagnosis.csv", index=False)
    made = repair(path, tmp_path / "diagnosis.csv", label=LABEL)
    changed = made.changes.cells.query("action == 'relabel'")["row"].tolist()
    assert changed == straight.changes.cells.query("action == 'relabel'")["row"].tolist() and set(changed) <= set(rows)
    write(path, table.iloc[::-1])
    turned = repair(path, tmp_path / "diagnosis.csv", label=LABEL).changes.cells.query("action == 'relabel'")["row"]
    assert {len(table) - 1 - row for row in turned} <= set(rows)
    write(path, table.assign(age=table["age"] + 1))
    with pytest.raises(InputError, match="belongs to another table"):
        repair(path, tmp_path / "diagnosis.csv", label=LABEL)


@pytest.mark.parametrize("broken", ["{", "[1]", ""])
def test_a_broken_summary_is_no_reason_to_skip_the_check(tmp_path, broken):
    path = write(tmp_path / "in.csv", visits(120)[0])
    diagnosis_of(path).to_csv(tmp_path / "diagnosis.csv", index=False)
    (tmp_path / "summary.json").write_text(broken)
    with pytest.raises(InputError, match=r"summary\.json"):
        repair(path, tmp_path, label=LABEL)


@pytest.mark.parametrize(
    "names", [("min; of call", "max; of call"), ('say "low"', 'say "high"'), ("a,b", "ü[0]"), ("['x']", "y|z")]
)
def test_exchanged_values_go_back_whatever_the_columns_are_called(tmp_path, names):
    table, _ = visits(200)
    low, high = names
    table[low], table[high] = table["age"] - 5, table["age"] + 7
    rows = list(range(0, 200, 9))
    table.loc[rows, [low, high]] = table.loc[rows, [high, low]].to_numpy()
    path = write(tmp_path / "in.csv", table)
    lines = diagnosis_of(path, feature_error=rows)
    lines.loc[rows, "mistake"] = "exchanged"
    lines.loc[rows, "suspect_columns"] = json.dumps(list(names), ensure_ascii=False)
    lines.to_csv(tmp_path / "diagnosis.csv", index=False)
    repair(path, tmp_path / "diagnosis.csv", label=LABEL).save(tmp_path / "out.csv")
    read = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_array_equal(read[[low, high]], np.column_stack([read["age"] - 5, read["age"] + 7]))


SPELLINGS = {
    "case": lambda text: [text.upper(), text.capitalize()],
    "points": lambda text: [f"{text}.", f"{text} "],
    "letters": lambda text: [text[0]],
    "all": lambda text: [text.upper(), text.capitalize(), text[0], f"{text}."],
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_of_a_label_are_told_and_united(tmp_path, name):
    table, _ = visits(400)
    rows = np.arange(0, 400, 13)
    spelt = table[LABEL].to_numpy(object).copy()
    for place, row in enumerate(rows.tolist()):
        ways = SPELLINGS[name](spelt[row])
        spelt[row] = ways[place % len(ways)]
    path = write(tmp_path / "in.csv", table.assign(**{LABEL: spelt}))
    found = read_inspected(path, LABEL)
    other = [row for row in rows.tolist() if spelt[row].strip() != table[LABEL].iloc[row]]
    assert sorted(set(found.target)) == ["no", "yes"] and np.flatnonzero(found.respelt()).tolist() == other
    assert any("spelled in several ways" in note for note in table_notes(found, task="classification").sentences)
    made = repair(path, diagnosis_of(path, label_error=other), label=LABEL)
    made.save(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        labels = [line[LABEL].strip() for line in csv.DictReader(file)]
    assert labels == table[LABEL].tolist()


LEAKS = {
    "code": lambda t, y: np.where(y, 7, 3),
    "word": lambda t, y: np.where(y, "closed by customer", "open"),
    "amount": lambda t, y: np.where(y, 1, -1) * np.random.default_rng(0).uniform(1, 9, len(t)),
    "day": lambda t, y: np.where(y, "2021-03-04", "2019-05-06"),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_column_made_of_the_label_is_named(tmp_path, name):
    table, _ = visits(400, wrong=0.15)
    table["made"] = LEAKS[name](table, (table[LABEL] == "yes").to_numpy())
    found = read_inspected(write(tmp_path / "in.csv", table), LABEL)
    told = table_notes(found, task="classification")
    assert told.label_doubt is not None and "'made'" in told.label_doubt
    assert (
        table_notes(
            read_inspected(tmp_path / "in.csv", LABEL, ReadOptions.of(ignore="made")), task="classification"
        ).label_doubt
        is None
    )


@pytest.mark.parametrize(("first", "step", "keep"), [(20, 10, 3), (1, 50, 1), (5, 7, 5)])
def test_lines_cut_short_are_told(tmp_path, first, step, keep):
    table, _ = visits(300)
    lines = table[[LABEL, *[name for name in table if name != LABEL]]].to_csv(index=False).splitlines()
    cut = list(range(first, len(lines), step))
    for i in cut:
        lines[i] = ",".join(lines[i].split(",")[:keep])
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    found = read_inspected(tmp_path / "in.csv", LABEL)
    assert any(
        note.startswith(f"{len(cut)} lines have fewer fields") and f"line {first + 1}" in note for note in found.notes
    )
    assert found.columns[-1].num_missing == len(cut)


LAYOUTS = {
    "title rows": lambda text: "Visits of 2024\nclinic A\n\n" + text,
    "comments": lambda text: "# made by a program\n# twice\n" + text,
    "sep": lambda text: "sep=;\n" + text.replace(",", ";"),
    "trailing delimiters": lambda text: "".join(f"{line},,\n" for line in text.splitlines()),
    "total row": lambda text: text + "Total,,,,,\n",
    "byte order mark": lambda text: "\ufeff" + text,
    "carriage returns": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_surrounds_a_table_is_no_part_of_it_and_stays(tmp_path, name):
    table, _ = visits(120)
    path = tmp_path / "in.csv"
    path.write_bytes(LAYOUTS[name](table.to_csv(index=False)).encode())
    found = read_inspected(path, LABEL)
    assert len(found) == 120 and [c.name for c in found.columns] == [name for name in table if name != LABEL]
    assert found.frame["age"].tolist() == table["age"].tolist()
    repair(path, diagnosis_of(path), label=LABEL).save(tmp_path / "out.csv")
    again = read_inspected(tmp_path / "out.csv", LABEL)
    assert again.frame["age"].tolist() == table["age"].tolist() and again.columns[-1].name == "sample_weight"
    kept = path.read_bytes().split(b"age")[0]
    assert (tmp_path / "out.csv").read_bytes().startswith(kept)


def test_sheets_and_records_are_tables_too(tmp_path):
    table, _ = visits(120)
    table.to_excel(tmp_path / "t.xlsx", index=False)
    table.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    table.to_json(tmp_path / "t.json", orient="records")
    table.to_feather(tmp_path / "t.feather")
    table.to_csv(tmp_path / "t.csv.zip", index=False)
    (tmp_path / "parts").mkdir()
    for part in range(3):
        table.iloc[40 * part : 40 * part + 40].to_csv(tmp_path / "parts" / f"{part}.csv", index=False)
    plain = read_inspected(write(tmp_path / "t.csv", table), LABEL).frame
    for name in ("t.xlsx", "t.jsonl", "t.json", "t.feather", "t.csv.zip", "parts"):
        pd.testing.assert_frame_equal(read_inspected(tmp_path / name, LABEL).frame, plain, check_dtype=False)


def test_the_added_column_of_a_decimal_comma_file_has_a_decimal_comma(tmp_path):
    table, _ = visits(300, wrong=0.1)
    table["spent"] = [euro(value) for value in table["spent"]]
    path = write(tmp_path / "in.csv", table, sep=";")
    lines = diagnosis_of(path, label_error=list(range(0, 300, 9)))
    repair(path, lines, label=LABEL).save(tmp_path / "out.csv")
    weights = pd.read_csv(tmp_path / "out.csv", sep=";", decimal=",", thousands=".")["sample_weight"]
    assert weights.dtype.kind == "f" and np.mean(weights) == pytest.approx(1.0, abs=1e-3)
    assert "." not in "".join(line.rpartition(";")[2] for line in io.StringIO((tmp_path / "out.csv").read_text()))


@pytest.mark.parametrize("as_type", ["polars", "arrow", "dict", "dataset"])
def test_tables_in_memory_come_back_as_what_they_were(as_type):
    table, _ = visits(120)
    if as_type == "polars":
        import polars

        given = polars.DataFrame(table.to_dict("list"))
    elif as_type == "arrow":
        import pyarrow

        given = pyarrow.Table.from_pandas(table)
    elif as_type == "dataset":
        import datasets

        given = datasets.Dataset.from_dict(table.to_dict("list"))
    else:
        given = {name: table[name].to_numpy() for name in table}
    flags = pd.DataFrame(0, index=range(120), columns=list(ERROR_TYPES))
    made = repair(given, flags, label=LABEL).table
    assert type(made) is (pd.DataFrame if as_type == "dict" else type(given))
    ages = made.column("age").to_pylist() if as_type == "arrow" else list(made["age"])
    assert ages == table["age"].tolist()
