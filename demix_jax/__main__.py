"""`python -m demix_jax` is the command `demix-jax`."""

import sys

from demix_jax.cli import main

sys.exit(main())
