"""The error types, and what the error classifier assumes about each.

All arrays, column lists and tables of this package follow the order of `ERROR_TYPES`.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ErrorType:
    """One type of error.

    Attributes:
      name: as in tables and files.
      probed: whether errors of this type can be injected into a table to see what they look like there.
    """

    name: str
    probed: bool

    @property
    def column(self) -> int:
        """Index of this type in every axis and list that follows `ERROR_TYPES`."""
        return ERROR_TYPES.index(self.name)


LABEL_ERROR = ErrorType(name="label_error", probed=True)
FEATURE_ERROR = ErrorType(name="feature_error", probed=True)
SPURIOUS_CORRELATION = ErrorType(name="spurious_correlation", probed=False)

ALL_TYPES = (LABEL_ERROR, FEATURE_ERROR, SPURIOUS_CORRELATION)
ERROR_TYPES = tuple(error_type.name for error_type in ALL_TYPES)
PROBED_TYPES = tuple(error_type for error_type in ALL_TYPES if error_type.probed)
