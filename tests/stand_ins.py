"""Objects that have only the fields that a test needs, in place of ones with many more."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any, TypeVar, cast

Kind = TypeVar("Kind")


def stand_in(kind: type[Kind], **fields: Any) -> Kind:
    """Passes for a `kind`, which must have fields or properties of these names."""
    unknown = [name for name in fields if name not in inspect.get_annotations(kind) and not hasattr(kind, name)]
    assert not unknown, f"{kind.__name__} has no {', '.join(unknown)}"
    return cast(Kind, SimpleNamespace(**fields))
