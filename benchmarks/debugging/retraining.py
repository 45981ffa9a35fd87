"""What a repair is worth: models trained on the table in several states, tested on clean rows they never saw."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from demix_jax.common.target import RegressionTarget
from demix_jax.common.threads import one_thread
from demix_jax.data import TableEncoder
from demix_jax.evidence.out_of_fold import tree_features
from demix_jax.models import make_task_model, train_task_model
from demix_jax.repairs import repair

LEARNERS = ("trees", "mlp")
STATES = ("corrupted", "repaired", "repaired by truth", "never corrupted")
WEIGHT = "sample_weight"
# Of trees; without it they diverge where a class has few rows: on a repaired covertype the AUC was 0.50, with it 0.78.
_L2 = 1.0


def scores_after_repair(
    corrupted: pd.DataFrame,
    diagnosis: pd.DataFrame,
    truth: pd.DataFrame,
    clean: pd.DataFrame,
    test: pd.DataFrame,
    label: str,
    *,
    seed: int,
) -> dict:
    """Test metrics of both learners by state of the training table: {state: {learner: {metric: value}}}.

    Args:
      corrupted: N rows. diagnosis, truth: flags of these rows, as `repair` takes them.
      clean: the rows before any of them was corrupted or left out. test: clean rows, of the original mix.
      seed: of repairs and learners.
    """
    tables = {
        "corrupted": corrupted,
        "repaired": repair(corrupted, diagnosis, label=label, seed=seed).table,
        "repaired by truth": repair(corrupted, truth, label=label, seed=seed).table,
        "never corrupted": clean,
    }
    if not pd.api.types.is_float_dtype(test[label]) and bool(test[label].nunique() <= 20):
        known = set.intersection(*(set(table[label]) for table in tables.values()))
        # A rare class may be lost; all states are tested on the same rows.
        test = test.loc[test[label].isin(list(known))]
    return {state: metrics_of(table, test, label, seed=seed) for state, table in tables.items()}


def metrics_of(train: pd.DataFrame, test: pd.DataFrame, label: str, *, seed: int) -> dict[str, dict[str, float]]:
    """Test metrics {learner: {metric: value}}: accuracy, balanced_accuracy and auc (of several classes: macro,
    one against the rest), or r2 and rmse. A column sample_weight of `train` weighs its rows."""
    weight = train[WEIGHT].to_numpy(np.float32) if WEIGHT in train.columns else np.ones(len(train), np.float32)
    encoder = TableEncoder.fit(train.drop(columns=WEIGHT, errors="ignore"), label)
    learn, judge = encoder.transform(train), encoder.transform(test)
    fitted = {"trees": _trees(learn, judge, weight, seed), "mlp": _network(learn, judge, weight, seed)}
    return {name: _metrics(judge, outputs) for name, outputs in fitted.items()}


def deciding_metric(metrics: dict[str, float]) -> float:
    """AUC, or R² for regression."""
    return metrics["r2"] if "r2" in metrics else metrics["auc"]


def _trees(learn, judge, weight, seed) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    x, categorical = tree_features(learn)
    options = {
        "categorical_features": categorical,
        "l2_regularization": _L2,
        "early_stopping": False,
        "random_state": seed,
    }
    with one_thread():
        if learn.task == "regression":
            model = HistGradientBoostingRegressor(**options).fit(x, learn.y, sample_weight=weight)
            return model.predict(tree_features(judge)[0])[:, None]
        model = HistGradientBoostingClassifier(**options).fit(x, learn.y, sample_weight=weight)
        outputs = np.zeros((len(judge.y), learn.num_classes))
        outputs[:, model.classes_] = model.predict_proba(tree_features(judge)[0])
        return outputs


def _network(learn, judge, weight, seed) -> np.ndarray:
    """The project's 256-128-64 network; it stops by a fifth of the training table, in whatever state that is."""
    model = make_task_model("mlp", learn)
    rows = np.random.default_rng(seed).permutation(len(learn.y))
    cut = len(rows) // 5
    samples = {"x": learn.x, "y": learn.y}
    arrays = jax.tree.map(jnp.asarray, (samples, rows[None, cut:], rows[None, :cut]))
    trained = train_task_model(jax.random.key(seed), model, *arrays, weights=jnp.asarray(weight))
    outputs = model.apply(jax.tree.map(lambda leaf: leaf[0], trained.params), judge.x)
    return learn.target.predictions(outputs)


def _metrics(judge, outputs: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

    if isinstance(judge.target, RegressionTarget):
        residual = (judge.y - outputs[:, 0]) * judge.target.scale
        r2 = float(r2_score(judge.y, outputs[:, 0]))
        return {"r2": r2, "rmse": float(np.sqrt(np.mean(np.square(residual))))}
    guess = outputs.argmax(axis=1)
    present = np.unique(judge.y)
    one_against_rest = [roc_auc_score(judge.y == k, outputs[:, k]) for k in present]
    return {
        "accuracy": float(np.mean(guess == judge.y)),
        "balanced_accuracy": float(balanced_accuracy_score(judge.y, guess)),
        "auc": float(np.mean(one_against_rest)),
    }
