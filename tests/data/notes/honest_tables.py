"""Tables with a label that can be learned, but that no column gives away."""

from __future__ import annotations

import numpy as np
import pandas as pd


def customers(num_rows: int = 600, seed: int = 1, flip: float = 0.1) -> pd.DataFrame:
    """Customers of whom some churn, by age, hours, amount, region and job together; some labels are flipped."""
    rng = np.random.default_rng(seed)
    age, hours = rng.integers(18, 80, num_rows), rng.normal(40, 9, num_rows).round()
    amount = np.exp(rng.normal(7, 0.7, num_rows)).round(2)
    region = rng.choice(["north", "south", "east", "west"], num_rows)
    job = rng.choice(["clerk", "nurse", "driver"], num_rows)
    score = (
        0.06 * (age - 45) + 0.09 * (hours - 40) + 1.6 * (np.log(amount) - 7) + (region == "north") - (job == "nurse")
    )
    churns = (score + rng.logistic(0, 0.35, num_rows) > 0) ^ (rng.random(num_rows) < flip)
    columns = {"age": age, "hours": hours, "amount": amount, "region": region, "job": job}
    return pd.DataFrame(columns | {"churn": np.where(churns, "yes", "no")})


def rentals(num_rows: int = 600, seed: int = 2) -> pd.DataFrame:
    """Bicycle rentals: a count that goes with hour and temperature."""
    rng = np.random.default_rng(seed)
    hour, temperature = rng.integers(0, 24, num_rows), rng.normal(15, 8, num_rows).round(1)
    count = np.exp(3 + 0.03 * temperature - 0.01 * (hour - 14) ** 2 + rng.normal(0, 0.4, num_rows)).round()
    return pd.DataFrame(
        {"hour": hour, "temperature": temperature, "wind": rng.gamma(2, 5, num_rows).round(1), "count": count}
    )


def flowers(num_rows: int = 300, seed: int = 3) -> pd.DataFrame:
    """Three kinds of flowers, whose petals overlap."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, num_rows)
    petal, sepal = rng.normal(2.0 * kind, 0.7).round(2), rng.normal(5 + 0.5 * kind, 0.6).round(2)
    names = np.array(["setosa", "versicolor", "virginica"])
    return pd.DataFrame({"petal": petal, "width": (petal / 3 + rng.normal(0, 0.3, num_rows)).round(2), "sepal": sepal,
                         "kind": names[kind]})  # fmt: skip


HONEST = {
    "customers": (customers, "churn", "classification"),
    "rentals": (rentals, "count", "regression"),
    "flowers": (flowers, "kind", "classification"),
}
