"""Read preference pairs in the schemas of published data sets.

* messages: `chosen` and `rejected` are conversations, lists of {"role", "content"}. They repeat the prompt
  (UltraFeedback binarized, Capybara DPO) or continue the conversation in `prompt`.
* dialogues: `chosen` and `rejected` are texts with "Human:" and "Assistant:" turns, without a `prompt` (HH-RLHF).
* plain: `prompt`, `chosen` and `rejected` are texts.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from demix_jax.common.checks import InputError
from demix_jax.data.sources.arrow_file import read_arrow
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.formats import format_by_name
from demix_jax.data.sources.json_records import read_json
from demix_jax.domains.preference.pairs import Message, Pair, Pairs

_SCHEMAS = (
    "expected `chosen` and `rejected`, as conversations (lists of role and content), as Human/Assistant dialogues, or "
    "as texts beside a `prompt`"
)
_SUFFIXES = (".jsonl", ".json", ".parquet", ".arrow")
_ROLES = {"human": "user", "prompter": "user", "gpt": "assistant", "bot": "assistant"}
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")


def read_pairs(path: str | os.PathLike, *, split: str | None = None) -> Pairs:
    """Read pairs from a file or a folder.

    Args:
      path: a .jsonl, .json (a list of records), .parquet or .arrow file, JSON also compressed; or the folder of a
        Hugging Face dataset with .arrow or .parquet files, made by `save_to_disk` or downloaded from the hub.
      split: the split to read; needed for a folder with several splits.
    Raises:
      InputError: the path cannot be read, a split must be named, or a record (named by its row) is not a pair.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"There is no {printable(path)}; give a .jsonl, .json or .parquet file or the folder of a dataset."
        )
    records = _read_folder(path, split) if path.is_dir() else _read_file(path)
    if not records:
        raise InputError(f"{printable(path)} holds no pairs.")
    pairs = tuple(pair_from_record(record, f"Row {row} of {path.name}") for row, record in enumerate(records))
    return Pairs(pairs, tuple(records), str(path))


def pair_from_record(record: Any, where: str) -> Pair:
    """The pair in a record of any schema; `where` names the record in error messages.

    Raises:
      InputError: the record fits no schema.
    """
    if not isinstance(record, dict) or not {"chosen", "rejected"} <= record.keys():
        found = ", ".join(map(str, record)) if isinstance(record, dict) else type(record).__name__
        raise InputError(f"{where} has {found or 'no keys'}; {_SCHEMAS}.")
    prompt = _prompt(record.get("prompt"), where)
    answers = [_turns(record[key], key, where, has_prompt=bool(prompt)) for key in ("chosen", "rejected")]
    shared = _num_shared(*answers)
    # Where conversations share their first turns, these are the prompt, even if the record has a text as `prompt`.
    repeats = shared > 0 and (not prompt or isinstance(record["prompt"], str))
    prompt = tuple(answers[0][:shared]) if repeats else (*prompt, *answers[0][:shared])
    chosen, rejected = (_text(turns[shared:]) for turns in answers)
    return Pair(prompt, chosen, rejected)


def _num_shared(chosen: list[Message], rejected: list[Message]) -> int:
    """Number of leading turns that both conversations share, without the answer itself."""
    shared = 0
    for mine, other in zip(chosen[:-1], rejected[:-1], strict=False):
        if mine != other:
            break
        shared += 1
    while shared and chosen[shared - 1].role == "assistant" and chosen[shared].role != "assistant":
        shared -= 1  # they part at a user turn, so the assistant turn before it belongs to the answers
    return shared


def _prompt(given: Any, where: str) -> tuple[Message, ...]:
    """Turns of a record's `prompt`, which may be absent."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return ()
    if isinstance(given, str):
        return tuple(_dialogue(given)) if _is_dialogue(given) else (Message("user", given),)
    return tuple(_messages(given, "prompt", where))


def _turns(given: Any, key: str, where: str, *, has_prompt: bool) -> list[Message]:
    """Turns of an answer: at least one, and the last one is the assistant's."""
    if given is None:
        given = ""
    if isinstance(given, str):
        if not has_prompt and _is_dialogue(given):
            return _dialogue(given)
        return [Message("assistant", given)]
    turns = _messages(given, key, where)
    if not turns or turns[-1].role != "assistant":
        last = turns[-1].role if turns else "nothing"
        raise InputError(f"{where}: the last turn of `{key}` is of {last}; it must be the assistant's answer.")
    return turns


def _messages(given: Any, key: str, where: str) -> list[Message]:
    """Turns of a list of messages, with either role and content or from and value."""
    if not isinstance(given, (list, tuple)):
        raise InputError(f"{where}: `{key}` is a {type(given).__name__}; give a text or a list of messages.")
    turns = []
    for turn in given:
        turn = turn if isinstance(turn, dict) else {}
        role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if not isinstance(role, str) or not isinstance(content, str):
            raise InputError(f"{where}: a message of `{key}` lacks its role or content; {_SCHEMAS}.")
        turns.append(Message(_ROLES.get(role.lower(), role.lower()), content))
    return turns


def _is_dialogue(text: str) -> bool:
    return bool(_TURN.match(text)) and "Assistant:" in text


def _dialogue(text: str) -> list[Message]:
    """Turns of a text such as "\\n\\nHuman: …\\n\\nAssistant: …"."""
    parts = _TURN.split(text)
    roles = {"Human": "user", "Assistant": "assistant"}
    return [Message(roles[name], text.strip()) for name, text in zip(parts[1::2], parts[2::2], strict=True)]


def _text(turns: list[Message]) -> str:
    """Text of an answer, nearly always a single turn; later turns are preceded by their speaker."""
    if len(turns) == 1:
        return turns[0].content
    names = {"user": "Human", "assistant": "Assistant"}
    rest = [f"{names.get(turn.role, turn.role)}: {turn.content}" for turn in turns[1:]]
    return "\n\n".join([turns[0].content, *rest])


def _read_file(path: Path) -> list[dict]:
    readers = {"JSON": _read_json, "Parquet": _read_parquet, "Arrow": lambda path: read_arrow(path)[0].to_pylist()}
    kind = format_by_name(path)
    if kind not in readers:
        raise InputError(f"cannot tell the format of {printable(path)}; end its name in {', '.join(_SUFFIXES)}.")
    return readers[kind](path)


def _read_json(path: Path) -> list[dict]:
    content = read_json(path)
    if isinstance(content, dict):
        content = next((value for value in content.values() if isinstance(value, list)), None)
    if not isinstance(content, list):
        raise InputError(
            f"{printable(path)} must hold a list of records; write one record a line and end its name in .jsonl."
        )
    return content


def _read_parquet(path: Path) -> list[dict]:
    import pyarrow.parquet as pq

    with reading(path, "Parquet file"), path.open("rb") as file:
        return pq.ParquetFile(file).read().to_pylist()


def _read_folder(folder: Path, split: str | None) -> list[dict]:
    shards: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".arrow", ".parquet") and not file.name.startswith("cache-"):
            shards.setdefault(_split_name(file, folder), []).append(file)
    if not shards:
        raise InputError(f"{folder} holds no .arrow or .parquet file; give the folder of a Hugging Face dataset.")
    if split is None and len(shards) > 1:
        raise InputError(
            f"{folder} holds the splits {', '.join(shards)}; name one with split=, or give its folder or file."
        )
    name = next(iter(shards)) if split is None else split
    if name not in shards:
        raise InputError(f"{folder} has no split {name}; it holds {', '.join(shards)}.")
    return [record for file in shards[name] for record in _read_file(file)]


def _split_name(file: Path, folder: Path) -> str:
    """Split of a file: "train" for train-00000-of-00002.parquet; the folder's name for data-00000-of-00001.arrow."""
    stem = re.sub(r"-\d+-of-\d+.*$", "", file.stem)
    if stem in ("data", "dataset") and file.parent != folder:
        return file.parent.name
    return stem
