"""The error that a user's bad input raises."""


class InputError(ValueError):
    """Input that cannot be worked with; its message says what was given, what was expected and what to do."""
