"""How a benchmark that can be interrupted ends as a command."""

from __future__ import annotations

import sys
from collections.abc import Callable

from demix_jax import InputError


def run_command(main: Callable[[], int]) -> None:
    """Exit with what `main` returns, or with a sentence for bad input and for an interruption."""
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; run the same command again to go on.")
