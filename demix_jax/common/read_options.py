"""What the user knows about a table: kinds of columns, keys, groups, time, missing markers, encoding."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from demix_jax.common.checks import InputError, check_choices

KINDS = ("number", "category", "text", "date", "identifier", "vector")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How to read a table, as far as the user says it.

    Attributes:
      kinds: column name -> one of KINDS; other columns are recognised by their values.
      ignore: columns that are no features.
      id: a column that names the rows; None: rows have only their number.
      groups: a column whose equal values mark rows that belong together (visits of one person).
      time: a column of times; each block in time is judged by models of the blocks before it.
      missing: further texts that mean missing, in any column; case does not matter.
      encoding: of a text file; None: recognised. sheet: name of a sheet of a workbook; None: the first with content.
    """

    kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    id: str | None = None
    groups: str | None = None
    time: str | None = None
    missing: tuple[str, ...] = ()
    encoding: str | None = None
    sheet: str | None = None

    @classmethod
    def of(cls, **given: Any) -> ReadOptions:
        """Options from what a user gave, as keywords or as a dict from summary.json; None stands for the default.

        Raises:
          InputError: an unknown kind, or a column that is both told to be something and ignored.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        chosen = {name: value for name, value in given.items() if name in known and value is not None}
        for name in ("ignore", "missing"):
            if name in chosen:
                chosen[name] = (chosen[name],) if isinstance(chosen[name], str) else tuple(map(str, chosen[name]))
        options = cls(**chosen)
        kinds = {str(name): kind for name, kind in options.kinds.items()}
        check_choices({f"The kind of {name!r}": kind for name, kind in kinds.items()},
                      {f"The kind of {name!r}": KINDS for name in kinds})  # fmt: skip
        both = sorted(set(kinds) & set(options.ignore))
        if both:
            raise InputError(f"The column {both[0]!r} is given a kind and ignored; choose one of the two.")
        return dataclasses.replace(options, kinds=kinds)

    @property
    def no_features(self) -> frozenset[str]:
        """Names of the columns that are read but are no features."""
        return frozenset(name for name in (*self.ignore, self.id, self.groups) if name is not None)

    def named_columns(self) -> dict[str, Collection[str]]:
        """Option -> names of the columns that it speaks of; each must exist."""
        single = {"id": self.id, "groups": self.groups, "time": self.time}
        named: dict[str, Collection[str]] = {"kind": tuple(self.kinds), "ignore": self.ignore}
        return named | {option: (name,) for option, name in single.items() if name is not None}

    def as_dict(self) -> dict[str, Any]:
        """The options that were given, for summary.json."""
        content = dataclasses.asdict(self)
        return {name: value for name, value in content.items() if value}
