"""A Diagnosis of a small made-up table, for tests of what is shown; its errors are put in by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.target import ClassTarget, RegressionTarget
from demix_jax.data import Column
from demix_jax.data.fingerprint import row_fingerprints
from demix_jax.diagnosis.result import Diagnosis, Evidence, Shortcut, Summary, UsedClassifier
from demix_jax.report.row_page import RowPresentation

NUM_FOLDS, NUM_VALID = 3, 60


def make_table(rng: np.random.Generator, num_rows: int) -> pd.DataFrame:
    """People whose income follows education and hours, with sex as a shortcut."""
    sex = rng.choice(["Male", "Female"], num_rows, p=[0.6, 0.4])
    education = rng.integers(5, 17, num_rows)
    hours = np.round(rng.normal(40, 9, num_rows)).clip(5, 80)
    score = 0.5 * (education - 11) + 0.05 * (hours - 40) + 1.5 * (sex == "Male") + rng.normal(0, 0.6, num_rows)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, num_rows),
            "workclass": rng.choice(["Private", "Local-gov", "Self-emp-inc", "Federal-gov"], num_rows),
            "education-num": education,
            "marital-status": rng.choice(["Married-civ-spouse", "Never-married", "Divorced"], num_rows),
            "occupation": rng.choice(["Sales", "Tech-support", "Craft-repair", "Exec-managerial"], num_rows),
            "sex": sex,
            "capital-gain": np.where(rng.random(num_rows) < 0.1, rng.integers(1000, 15000, num_rows), 0),
            "hours-per-week": np.where(rng.random(num_rows) < 0.03, np.nan, hours),
            "native-country": rng.choice(["United-States", "Mexico", "Côte d’Ivoire"], num_rows, p=[0.9, 0.06, 0.04]),
            "income": np.where(score > 0.5, ">50K", "<=50K"),
        }
    )


def make_diagnosis(*, num_rows: int = 600, seed: int = 0, task: str = "classification") -> Diagnosis:
    """Rows 0-39 carry wrong labels, 40-79 wrong features, 80-109 break a shortcut; a fourth is only worth a look."""
    rng = np.random.default_rng(seed)
    train = make_table(rng, num_rows)
    label = "income"
    names = [name for name in train.columns if name != label]
    kinds = {name: "number" if pd.api.types.is_numeric_dtype(train[name]) else "category" for name in names}
    flags = np.zeros((num_rows, 3), int)
    flags[:40, 0] = flags[40:80, 1] = flags[80:110, 2] = 1
    flags[5, 1] = 1  # one row with two errors

    surprise = np.abs(rng.normal(0, 0.4, (num_rows, len(names)))).astype(np.float32)
    suspects = {}
    for row in np.flatnonzero(flags[:, 1]).tolist():
        places = rng.choice([0, 2, 6, 7], rng.integers(1, 3), replace=False)
        surprise[row, places] = rng.uniform(2, 11, len(places))
        suspects[row] = tuple(names[q] for q in places)
        for q in places:
            train.loc[row, names[q]] = rng.choice([-400, 900, 99999])

    if task == "regression":
        train[label] = np.round(rng.normal(100, 25, num_rows), 2)
        expected = (train[label].to_numpy() + rng.normal(0, 30, num_rows)).astype(object)
    else:
        expected = train[label].to_numpy(dtype=object).copy()
        expected[:40] = np.where(expected[:40] == ">50K", "<=50K", ">50K")
    p_given = rng.uniform(0.7, 1, num_rows).astype(np.float32)
    p_given[:40] = rng.uniform(0.0005, 0.1, 40)

    fold = (np.arange(num_rows) % NUM_FOLDS).astype(np.int32)
    valid_rows = np.stack([rng.choice(np.flatnonzero(fold == f), NUM_VALID, replace=False) for f in range(NUM_FOLDS)])
    given = train[label].to_numpy()
    same = given[valid_rows[fold]] == given[:, None]
    direction = np.where(flags[:, [0]] == 1, -1.0, np.where(flags[:, [2]] == 1, 0.3, 1.0))
    influence = -direction * np.where(same, 0.35, -0.2) + rng.normal(0, 0.12, same.shape)
    influence[flags[:, 1] == 1] *= 0.4

    of_flagged = np.where(np.arange(num_rows)[:, None] % 4 == 0, 0.4, rng.uniform(0.5, 0.97, (num_rows, 3)))
    probability = np.where(flags == 1, of_flagged, np.minimum(rng.beta(0.5, 12, (num_rows, 3)), 0.29))
    broken = np.where(flags[:, 2] == 1, np.where(np.arange(num_rows) % 3 == 0, 1, 0), -1).astype(np.int32)
    broken[109] = -1
    other = np.where(given == ">50K", "<=50K", ">50K").astype(object)
    shortcuts = tuple(
        Shortcut(
            column=column,
            strength=strength,
            values=values,
            expected=other,
            p_expected=rng.uniform(0.7, 0.95, num_rows).astype(np.float32),
        )
        for column, strength, values in (
            ("sex", 0.31, train["sex"].to_numpy(dtype=object)),
            ("age", 0.12, np.where(train["age"] <= 28, "age ≤ 28", "age > 28").astype(object)),
        )
    )
    likely, look = (flags == 1) & (probability >= 0.5), (flags == 1) & (probability < 0.5)
    summary = Summary(
        rows=num_rows,
        wrong_rows=int(likely[:, :2].any(axis=1).sum()),
        look_rows=int((look[:, :2].any(axis=1) & ~likely[:, :2].any(axis=1)).sum()),
        likely={name: int(likely[:, c].sum()) for c, name in enumerate(ERROR_TYPES)},
        look={name: int(look[:, c].sum()) for c, name in enumerate(ERROR_TYPES)},
        rates={name: float(likely[:, c].mean()) for c, name in enumerate(ERROR_TYPES)},
        mean_probability={name: float(probability[likely[:, c], c].mean()) for c, name in enumerate(ERROR_TYPES)},
        valid_rows=NUM_FOLDS * NUM_VALID,
        label=label,
        task=task,
        classifier=UsedClassifier("default", "0f" * 32, ("bank", "credit", *(f"synthetic 0-{k}" for k in range(100)))),
        fingerprint="ab" * 32,
        thresholds=dict.fromkeys(ERROR_TYPES, 0.3),
        validation={"r2": 0.61} if task == "regression" else {"accuracy": 0.842, "balanced_accuracy": 0.795},
        columns=kinds,
        seconds={"encode": 0.4, "train task models": 6.2, "influence": 3.1},
        versions={"demix_jax": "0.1.0", "jax": "0.10.2"},
        model="mlp",
        seed=0,
        train=None,
        notes=(),
    )
    evidence = Evidence(
        expected_label=expected,
        p_given_label=p_given,
        cell_surprise=surprise,
        columns=tuple(Column(name, kinds[name]) for name in names),
        shortcuts=shortcuts,
        shortcut_broken=broken,
        suspects=suspects,
        original=np.full(num_rows, -1),
    )
    return Diagnosis(
        flags=flags == 1,
        probability=probability,
        influence=influence.astype(np.float32),
        signals=np.zeros((num_rows, 0), np.float32),
        validation_rows=valid_rows.astype(np.int32),
        fold=fold,
        evidence=evidence,
        train=train,
        valid=train,
        label=label,
        target=RegressionTarget() if task == "regression" else ClassTarget(("<=50K", ">50K")),
        row_fingerprints=row_fingerprints(train),
        summary=summary,
        presentation=RowPresentation(),
    )
