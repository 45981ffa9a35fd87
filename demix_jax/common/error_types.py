"""The three error types, in the order of every array, column and table of this package."""

ERROR_TYPES = ("label_error", "feature_error", "spurious_correlation")
