"""Random training tables of class probabilities, as a model of images, sounds or texts gives out of sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from demix_jax.meta_training.synthetic import LABEL

if TYPE_CHECKING:
    import pandas as pd


def synthetic_probabilities(seed: int, num_rows: int) -> pd.DataFrame:
    """Draw a table of softmax outputs p0 … pK−1 of a random model, with column `LABEL`, the true class.

    There are two to twelve classes, some of them alike. Models are right in about half to nearly all rows; some rows
    are hard for them. They are calibrated, too sure or too unsure. Rows are independent, without errors.

    Args:
      seed: determines the whole table; equal seeds give equal tables.
      num_rows: N.
    """
    import pandas as pd

    rng = np.random.default_rng([seed, 4])
    num_classes = int(rng.choice([2, 3, 4, 5, 7, 10, 10, 12]))
    label = rng.choice(num_classes, num_rows, p=rng.dirichlet(np.full(num_classes, rng.choice([3.0, 30.0]))))
    logits = _logits(rng, label, num_classes)
    logits = logits * rng.choice([0.6, 1.0, 1.0, 1.8])  # unsure, calibrated or too sure
    probability = np.exp(logits - logits.max(1, keepdims=True))
    probability /= probability.sum(1, keepdims=True)
    probability = np.round(probability, int(rng.choice([3, 4, 6])))
    columns = {f"p{k}": probability[:, k] for k in range(num_classes)}
    names = np.arange(num_classes) if rng.random() < 0.5 else np.array([f"k{k}" for k in range(num_classes)])
    return pd.DataFrame({**columns, LABEL: names[label]})


def _logits(rng: np.random.Generator, label: np.ndarray, num_classes: int) -> np.ndarray:
    """f64[N, K]: evidence for the true classes i64[N], and less of it for classes that are alike.

    Classes are Gaussian in a space of features, and logits are their exact log-densities, so that a sharpness of 1 is
    calibrated. Hard rows have features that are noisier than the model takes them to be.
    """
    num_features = int(rng.integers(2, 2 + 2 * num_classes))
    centres = rng.normal(size=(num_classes, num_features))
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)[np.triu_indices(num_classes, 1)]
    centres *= rng.uniform(2.0, 8.0) / np.median(apart)
    hard = rng.random(len(label)) < rng.uniform(0.0, 0.2)
    noise = rng.normal(size=(len(label), num_features)) * np.where(hard, rng.uniform(1.5, 3.0), 1.0)[:, None]
    features = centres[label] + noise
    return features @ centres.T - 0.5 * (centres**2).sum(1)
