"""Small tables as people have them, with known wrong labels, for tests of reading, diagnosis and repair."""

from __future__ import annotations

import numpy as np
import pandas as pd


def visits(num_rows: int = 400, *, wrong: float = 0.0, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A table whose label `returns` can be learnt, and bool[N], which of its labels are wrong."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 85, num_rows)
    weekly = np.clip(rng.normal(38, 8, num_rows).round(), 4, 80).astype(int)
    spent = np.exp(rng.normal(5, 0.8, num_rows)).round(2)
    town = rng.choice(["Bonn", "Kiel", "Ulm", "Hof"], num_rows, p=[0.4, 0.3, 0.2, 0.1])
    work = rng.choice(["desk", "shop", "farm", "road"], num_rows)
    points = (0.07 * (age - 50) + 0.08 * (weekly - 38) + 1.5 * (np.log(spent) - 5)) + np.where(
        town == "Bonn", 0.9, -0.4
    )
    points = points + np.where(np.isin(work, ["desk", "shop"]), 0.7, -0.6) + rng.logistic(0, 0.3, num_rows)
    is_wrong = np.zeros(num_rows, bool)
    is_wrong[rng.choice(num_rows, round(wrong * num_rows), replace=False)] = True
    table = pd.DataFrame({"age": age, "weekly": weekly, "spent": spent, "town": town, "work": work})
    return table.assign(returns=np.where((points > 0) ^ is_wrong, "yes", "no")), is_wrong
