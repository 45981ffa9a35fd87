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
      clean_share: share of rows that reach the type's floor in held-out tables without errors of this type.
      lenience: factor on the threshold with the best expected F1. It is below 1 because the probabilities of a whole
        table may be too low when errors are frequent.
      present_from: minimum probability that a table has any error of this type; below it, the type is doubtful.
    """

    name: str
    probed: bool
    clean_share: float
    lenience: float
    present_from: float

    @property
    def column(self) -> int:
        """Index of this type in every axis and list that follows `ERROR_TYPES`."""
        return ERROR_TYPES.index(self.name)


LABEL_ERROR = ErrorType(name="label_error", probed=True, clean_share=0.08, lenience=0.8, present_from=0.5)
FEATURE_ERROR = ErrorType(name="feature_error", probed=True, clean_share=0.07, lenience=0.8, present_from=0.5)
# It is hard to tell whether a table has a spurious correlation at all. A clean share of 0.05 lowered the F1 of this
# type by 0.1. For kinds that networks were not trained on, present_from=0.5 lowered it by 0.05. The share of minority
# rows varies less than other error rates. On held-out worlds with 8 to 18 %, a lenience of 0.8 lowered the F1 by 0.004.
SPURIOUS_CORRELATION = ErrorType(
    name="spurious_correlation", probed=False, clean_share=0.18, lenience=1.0, present_from=0.35
)

ALL_TYPES = (LABEL_ERROR, FEATURE_ERROR, SPURIOUS_CORRELATION)
ERROR_TYPES = tuple(error_type.name for error_type in ALL_TYPES)
PROBED_TYPES = tuple(error_type for error_type in ALL_TYPES if error_type.probed)
