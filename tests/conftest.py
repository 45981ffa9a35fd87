"""Settings of the whole suite: no silent rank promotion; JAX_ENABLE_X64=1 runs it in 64 bits."""

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
