"""How many threads trees are fitted with."""

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from demix_jax.common.threads import threads_for


@pytest.mark.parametrize(("num_values", "expected"), [(9, 1), (1_999_999, 1), (2_000_000, 2), (9_000_000, 4)])
def test_a_fit_has_a_thread_per_million_values(num_values, expected):
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: F401  its OpenMP library counts only once loaded

    def num_threads():
        return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp")

    with threadpool_limits(4, "openmp"):
        with threads_for(num_values):
            assert num_threads() == expected
        assert num_threads() == 4
