"""Settings of the whole suite: no silent rank promotion, and references in full f32 on an accelerator, too.

JAX_ENABLE_X64=1 runs it in 64 bits.
"""

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")
