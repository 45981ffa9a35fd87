"""Mean ranks against SciPy."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from demix_jax.common.ranks import mean_ranks


def test_ranks_among_other_rows():
    among = np.array([[0.0], [1.0], [1.0], [4.0]])
    np.testing.assert_allclose(mean_ranks(among, among)[:, 0], rankdata(among[:, 0]))
    np.testing.assert_allclose(mean_ranks(np.array([[-1.0], [1.0], [2.0], [9.0]]), among)[:, 0], [0.5, 2.5, 3.5, 4.5])
