"""Reading pairs: every published schema and file format gives the same pair; what cannot be read is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from demix_jax.common.checks import InputError
from demix_jax.domains.preference import Message, Pair, make_pairs, read_pairs
from demix_jax.domains.preference.files import pair_from_record
from demix_jax.domains.preference.pairs import notes

ASKED = Message("user", "Why is the sky blue?")
GOOD, BAD = "Air scatters blue light most.", "It mirrors the sea."
PAIR = Pair((ASKED,), GOOD, BAD)
TURNS = [ASKED, Message("assistant", "Do you mean at noon?"), Message("user", "Yes.")]


def said(*turns: Message) -> list[dict]:
    return [turn._asdict() for turn in turns]


def answered(*turns: Message, with_: str) -> list[dict]:
    return said(*turns, Message("assistant", with_))


SCHEMAS = {
    "plain": ({"prompt": ASKED.content, "chosen": GOOD, "rejected": BAD}, PAIR),
    "ultrafeedback": (
        {
            "prompt": ASKED.content,
            "prompt_id": "a1",
            "chosen": answered(ASKED, with_=GOOD),
            "rejected": answered(ASKED, with_=BAD),
            "score_chosen": 8.0,
            "score_rejected": 3.0,
        },
        PAIR,
    ),
    "capybara": (
        {
            "source": "Airoboros",
            "conversation": [{"input": "x", "output": "y"}],
            "chosen": answered(*TURNS, with_=GOOD),
            "rejected": answered(*TURNS, with_=BAD),
            "rating_chosen": 5,
            "rating_rejected": 2,
        },
        PAIR._replace(prompt=tuple(TURNS)),
    ),
    "messages without the prompt": (
        {"prompt": said(ASKED), "chosen": answered(with_=GOOD), "rejected": answered(with_=BAD)},
        PAIR,
    ),
    "prompt beside lone answers": (
        {"prompt": ASKED.content, "chosen": answered(with_=GOOD), "rejected": answered(with_=BAD)},
        PAIR,
    ),
    "hh": (
        {
            "chosen": f"\n\nHuman: {ASKED.content}\n\nAssistant: {GOOD}",
            "rejected": f"\n\nHuman: {ASKED.content}\n\nAssistant: {BAD}",
        },
        PAIR,
    ),
    "from and value": (
        {
            "prompt": [{"from": "human", "value": ASKED.content}],
            "chosen": [{"from": "gpt", "value": GOOD}],
            "rejected": [{"from": "gpt", "value": BAD}],
        },
        PAIR,
    ),
    "empty answer": ({"prompt": ASKED.content, "chosen": GOOD, "rejected": None}, PAIR._replace(rejected="")),
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_schema_gives_the_pair(schema):
    record, expected = SCHEMAS[schema]
    assert pair_from_record(record, "Row 0") == expected


def test_dialogues_that_part_before_the_end_keep_what_follows_in_the_answer():
    start = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: "
    pair = pair_from_record({"chosen": f"{start}A?\n\nAssistant: a", "rejected": f"{start}B?\n\nAssistant: b"}, "Row 0")
    assert pair.prompt == (Message("user", "Hi"),)
    assert pair.chosen == "Hello.\n\nHuman: A?\n\nAssistant: a"
    assert pair.rejected == "Hello.\n\nHuman: B?\n\nAssistant: b"


def test_equal_dialogues_keep_their_last_answer():
    text = "\n\nHuman: Hi\n\nAssistant: Hello."
    pair = pair_from_record({"chosen": text, "rejected": text}, "Row 0")
    assert pair == Pair((Message("user", "Hi"),), "Hello.", "Hello.")
    assert notes(pair) == ["Both answers are the same, so neither can be preferred."]


def write_jsonl(folder, records):
    (folder / "p.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder / "p.jsonl"


def write_json(folder, records):
    (folder / "p.json").write_text(json.dumps(records))
    return folder / "p.json"


def write_parquet(folder, records):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(records), folder / "p.parquet")
    return folder / "p.parquet"


def write_saved_dataset(folder, records):
    """Two shards of a stream, as `datasets` saves them."""
    import pyarrow as pa

    table = pa.Table.from_pylist(records)
    (folder / "saved").mkdir()
    for shard in range(2):
        part = table.slice(shard, 1) if shard == 0 else table.slice(1)
        with pa.ipc.new_stream(folder / "saved" / f"data-0000{shard}-of-00002.arrow", table.schema) as stream:
            stream.write_table(part)
    (folder / "saved" / "state.json").write_text("{}")
    return folder / "saved"


@pytest.mark.parametrize("write", [write_jsonl, write_json, write_parquet, write_saved_dataset])
@pytest.mark.parametrize("schema", ["plain", "ultrafeedback", "capybara", "hh"])
def test_every_format_gives_the_pairs(tmp_path, write, schema):
    record, expected = SCHEMAS[schema]
    pairs = read_pairs(write(tmp_path, [record, record, record]))
    assert pairs.pairs == (expected,) * 3
    assert pairs.records[2]["chosen"] == record["chosen"]


def test_splits_of_a_folder_must_be_named(tmp_path):
    (tmp_path / "data").mkdir()
    record = SCHEMAS["plain"][0]
    for split, count in (("train_prefs", 3), ("test_prefs", 2)):
        write_parquet(tmp_path, [record] * count).rename(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    with pytest.raises(InputError, match="splits test_prefs, train_prefs"):
        read_pairs(tmp_path)
    assert len(read_pairs(tmp_path, split="train_prefs")) == 3
    with pytest.raises(InputError, match="no split train"):
        read_pairs(tmp_path, split="train")


BAD_RECORDS = {
    "no rejected": ({"prompt": "a", "chosen": "b"}, "Row 1 of p.jsonl has prompt, chosen; expected"),
    "no dict": ([1], "Row 1 of p.jsonl has list"),
    "ends with the user": (
        {"chosen": said(ASKED), "rejected": answered(ASKED, with_=BAD)},
        "Row 1 of p.jsonl: the last turn of `chosen` is of user",
    ),
    "no content": ({"chosen": [{"role": "user"}], "rejected": []}, "lacks its role or content"),
    "a number": ({"prompt": "a", "chosen": 3, "rejected": "b"}, "`chosen` is a int"),
}


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_a_record_that_is_no_pair_is_named(tmp_path, case):
    record, words = BAD_RECORDS[case]
    with pytest.raises(InputError) as error:
        read_pairs(write_jsonl(tmp_path, [SCHEMAS["plain"][0], record]))
    assert words in str(error.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "broken.jsonl").write_text('{"prompt": \n')
    (tmp_path / "broken.parquet").write_text("no parquet")
    (tmp_path / "empty.jsonl").write_text("\n")
    cases = {
        "absent.jsonl": "There is no",
        "broken.jsonl": "Line 1 of",
        "broken.parquet": "damaged Parquet file",
        "empty.jsonl": "holds no pairs",
        ".": "holds no .arrow or .parquet",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            read_pairs(tmp_path / name if name != "." else _folder(tmp_path))
    (tmp_path / "pairs.xlsx").write_text("")
    with pytest.raises(InputError, match="cannot tell the format"):
        read_pairs(tmp_path / "pairs.xlsx")


def _folder(tmp_path):
    (tmp_path / "nothing").mkdir()
    return tmp_path / "nothing"


def test_pairs_can_be_taken_and_swapped():
    pairs = make_pairs([PAIR, PAIR.swapped()])
    assert pairs.take(np.array([1])).pairs == (Pair((ASKED,), BAD, GOOD),)
    assert pairs.records[0] == {"prompt": ASKED.content, "chosen": GOOD, "rejected": BAD}
