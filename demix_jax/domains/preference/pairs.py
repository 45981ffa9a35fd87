"""Preference pairs: a prompt, the preferred answer and the rejected answer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


class Message(NamedTuple):
    """One turn of a conversation. role: "system", "user" or "assistant". content: text."""

    role: str
    content: str


class Pair(NamedTuple):
    """prompt: turns before the answer. chosen, rejected: text of the preferred answer and of the other answer."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str

    @property
    def prompt_text(self) -> str:
        """Texts of the prompt's turns, separated by blank lines."""
        return "\n\n".join(message.content for message in self.prompt)

    def swapped(self) -> Pair:
        """The pair with the other answer preferred."""
        return self._replace(chosen=self.rejected, rejected=self.chosen)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """N preference pairs.

    pairs: the pairs. records: the record that each pair was read from, as in the file. source: path of the file, or "".
    """

    pairs: tuple[Pair, ...]
    records: tuple[dict[str, Any], ...]
    source: str = ""

    def __len__(self) -> int:
        return len(self.pairs)

    def take(self, rows: np.ndarray) -> Pairs:
        """The pairs at `rows` (indices or a bool mask), in this order."""
        rows = np.arange(len(self))[rows]
        return dataclasses.replace(
            self, pairs=tuple(self.pairs[r] for r in rows), records=tuple(self.records[r] for r in rows)
        )


def make_pairs(pairs: list[Pair] | tuple[Pair, ...], source: str = "") -> Pairs:
    """Make `Pairs` of pairs that come from no file.

    Args:
      pairs: N pairs; each gets a record with the keys prompt, chosen and rejected.
      source: path to name in reports, or "".
    Example:
      >>> pair = Pair((Message("user", "What is 2 + 2?"),), chosen="4", rejected="5")
      >>> pairs = make_pairs([pair, pair.swapped()])
      >>> len(pairs), pairs.pairs[1].chosen
      (2, '5')
      >>> pairs.records[0]
      {'prompt': 'What is 2 + 2?', 'chosen': '4', 'rejected': '5'}
    """
    return Pairs(tuple(pairs), tuple(as_record(pair) for pair in pairs), source)


def join_pairs(*parts: Pairs) -> Pairs:
    """Concatenate parts; the source is that of the first part."""
    pairs = tuple(pair for part in parts for pair in part.pairs)
    return Pairs(pairs, tuple(record for part in parts for record in part.records), parts[0].source)


def as_record(pair: Pair) -> dict[str, Any]:
    """Record of a pair: the prompt is a text if it is a single user turn, else a list of messages."""
    single = len(pair.prompt) == 1 and pair.prompt[0].role == "user"
    prompt = pair.prompt[0].content if single else [message._asdict() for message in pair.prompt]
    return {"prompt": prompt, "chosen": pair.chosen, "rejected": pair.rejected}


def as_lines(records: Iterable[dict[str, Any]]) -> str:
    """Records as JSON lines."""
    return "".join(f"{json.dumps(record, ensure_ascii=False, default=str)}\n" for record in records)


def notes(pair: Pair) -> list[str]:
    """Sentences on faults that show without other pairs, such as an empty answer; usually none."""
    found = [f"The {name} answer is empty." for name in ("chosen", "rejected") if not getattr(pair, name).strip()]
    if pair.chosen.strip() == pair.rejected.strip():
        found.append("Both answers are the same, so neither can be preferred.")
    return found


def text_table(pairs: Pairs) -> pd.DataFrame:
    """Table of the texts of N pairs; its fingerprint identifies the pairs."""
    import pandas as pd

    columns = {
        "prompt": [pair.prompt_text for pair in pairs.pairs],
        "chosen": [pair.chosen for pair in pairs.pairs],
        "rejected": [pair.rejected for pair in pairs.pairs],
    }
    return pd.DataFrame(columns, dtype=object)
