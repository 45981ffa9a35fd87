"""The error types, and what the error classifier assumes about each.

Every array, column list and table of this package holds them in the order of `ERROR_TYPES`.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ErrorType:
    """One type of error.

    Attributes:
      name: as in tables and files.
      probed: whether errors of this type can be injected into a table, to see what they look like there.
      clean_share: share of the rows of held-out tables without this type that may be as probable as its floor.
      lenience: factor of the threshold with the best expected F1. Below 1, since the probabilities of a whole table may
        be too low together where errors are many.
      present_from: probability that a table has any error of this type; below it, this counts as doubtful.
    """

    name: str
    probed: bool
    clean_share: float
    lenience: float
    present_from: float

    @property
    def column(self) -> int:
        """Position of this type along every axis and in every list in the order of `ERROR_TYPES`."""
        return ERROR_TYPES.index(self.name)


LABEL_ERROR = ErrorType(name="label_error", probed=True, clean_share=0.08, lenience=0.8, present_from=0.5)
FEATURE_ERROR = ErrorType(name="feature_error", probed=True, clean_share=0.07, lenience=0.8, present_from=0.5)
# Whether a table has a spurious correlation at all is hard to tell. At a clean share of 0.05 the F1 of this type fell
# by 0.1; with present_from=0.5 it fell by 0.05 for kinds that networks were not trained on. The share of minority rows
# varies less than that of other errors: at a lenience of 0.8 the F1 fell by 0.004 on held-out worlds with 8 to 18 %.
SPURIOUS_CORRELATION = ErrorType(
    name="spurious_correlation", probed=False, clean_share=0.18, lenience=1.0, present_from=0.35
)

ALL_TYPES = (LABEL_ERROR, FEATURE_ERROR, SPURIOUS_CORRELATION)
ERROR_TYPES = tuple(error_type.name for error_type in ALL_TYPES)
PROBED_TYPES = tuple(error_type for error_type in ALL_TYPES if error_type.probed)
