"""Surprise of each cell given the other cells of its row, from cross-fitted masked column models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import jax
import numpy as np

from demix_jax.data.folds.plan import Folds
from demix_jax.evidence.column_network import fit_column_networks
from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.related_columns import fit_related_columns

_ROWS_AT_ONCE = 8_192
_MANY_COLUMNS = 100  # of a table with more, each column is modelled from its most related ones
_CLEAR = 3.0  # nats; a row with a cell that stands out by more may teach a model to expect its errors
_MIN_CLEAN_SHARE = 0.4  # of the rows, never called contaminated
FILL_ODDS = 0.4  # odds that a cell of a filled-in row was replaced by the commonest value of its column
_MIN_FILL_P = 0.02  # lower bound of the probability of the commonest value; models are not accurate below


def standing_out(surprise: np.ndarray, robust_z: np.ndarray, misspelt: np.ndarray) -> np.ndarray:
    """Outlyingness of each cell, given the other cells of its row or its column alone, in nats above the mean.

    Several wild values in a row make each other less surprising; each remains an outlier of its column.

    Args:
      surprise: f32[N, Q], see `CellEvidence`. robust_z, misspelt: f32[N, Q], see `Dataset`.
    Returns:
      f32[N, Q], the largest of three: surprise, surprise of robust_z under a heavy-tailed Cauchy law, and misspelt.
    """
    wild = np.log1p(np.square(robust_z.astype(np.float64))) - 2 * np.log(2)  # −log density minus entropy
    return np.maximum(np.maximum(surprise, wild), misspelt).astype(np.float32)


def contaminated(surprise: np.ndarray, robust_z: np.ndarray, misspelt: np.ndarray) -> np.ndarray:
    """Rows with a cell that stands out clearly; at most three in five rows, those with the largest outliers.

    A column model trained without these rows does not learn to expect frequent errors. On held-out worlds, the AUROC of
    its mean positive surprise was 0.06 higher than that of a model trained on all rows.

    Args:
      surprise, robust_z, misspelt: f32[N, Q], as for `standing_out`.
    Returns:
      bool[N].
    """
    worst = standing_out(surprise, robust_z, misspelt).max(axis=1)
    return worst > max(_CLEAR, np.quantile(worst, _MIN_CLEAN_SHARE))


class CellEvidence(NamedTuple):
    """Evidence about the cells of N rows and Q columns from a column model, in nats.

    surprise: f32[N, Q], −log p(cell | other cells) minus the entropy of that distribution. About zero on average where
      nothing is wrong, large for a cell that contradicts the rest of its row. The label is not used.
    support: f32[N, Q], log p(cell | other cells, label) − log p(cell | other cells): evidence for the row's label
      beyond that of the other cells; negative where the cell contradicts the label.
    filled: f32[N, Q], evidence that the row was filled in with the commonest value of each column, as missing values
      often are. Larger where the commonest value was less expected; 0 for cells with other values.
    """

    surprise: np.ndarray
    support: np.ndarray
    filled: np.ndarray


class ColumnModels(Protocol):
    """Models of Q columns with at most B codes each, one per fold."""

    def scores(
        self, codes: np.ndarray, labels: np.ndarray, folds: Folds, *, common: np.ndarray | None, block: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Scores of cells, each by the model of its row's fold.

        Args:
          codes: i32[N, Q]. labels: i32[N], classes or target bins. folds: whose models describe each row.
          common: i32[Q], one code of each column, or None. block: rows scored at once.
        Yields:
          Row numbers i[n] and f32[1 or 3, n, Q]: surprise; if `common` is given, also support and the log probability
          of the code in `common`. Every row comes once.
        """
        ...

    def code_log_probs(
        self, codes: np.ndarray, labels: np.ndarray, folds: Folds, columns: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See the function `code_log_probs`."""
        ...


def fit_column_models(
    key: jax.Array,
    codes: np.ndarray,
    num_codes: tuple[int, ...],
    labels: np.ndarray,
    folds: Folds,
    *,
    ordered: np.ndarray | None = None,
    leave_out: np.ndarray | None = None,
    doubtful: np.ndarray | None = None,
    num_epochs: int = 25,
    max_steps: int = 700,
) -> ColumnModels:
    """Fits a model of the columns per fold: a network, or regressions on related columns if there are more than 100.

    Args:
      key: typed key.
      codes: i32[N, Q], codes of the used columns. num_codes: number of codes per column.
      labels: i32[N], classes or target bins.
      folds: the model of a fold is trained without its rows.
      ordered: bool[Q], columns whose codes are ranges of a number, see `Bins`; None: none.
      leave_out: bool[N], rows that no model is trained on; see `contaminated`.
      doubtful: bool[N], rows whose label no model sees; see `suspects`.
      num_epochs, max_steps: training of a network ends at whichever comes first.
    """
    left = {"leave_out": leave_out, "doubtful": doubtful}
    if codes.shape[1] > _MANY_COLUMNS:
        ordered = np.zeros(codes.shape[1], bool) if ordered is None else ordered
        return fit_related_columns(codes, num_codes, labels, folds, ordered=ordered, **left)
    return fit_column_networks(key, codes, num_codes, labels, folds, num_epochs=num_epochs, max_steps=max_steps, **left)


def score_cells(
    models: ColumnModels,
    codes: np.ndarray,
    labels: np.ndarray,
    folds: Folds,
    *,
    commonest: Commonest,
    robust_z: np.ndarray,
    block: int = _ROWS_AT_ONCE,
    on_block: Callable[[int], None] = lambda rows: None,
) -> CellEvidence:
    """Scores all cells, each with the model of its row's fold.

    Args:
      models: from `fit_column_models`, on the same columns.
      codes: i32[N, Q]. labels: i32[N], classes or target bins. folds: whose models describe each row.
      commonest: commonest value of each column. robust_z: f32[N, Q], see `Dataset`.
      block: rows scored at once. on_block: called with the number of rows scored.
    """
    options = {"block": block, "on_block": on_block}
    surprise, support, log_p = _scores(models, codes, labels, folds, common=commonest.codes, **options)
    p = np.maximum(np.exp(log_p) * commonest.share, _MIN_FILL_P)
    filled = np.where(commonest.held(codes, robust_z), np.log1p(FILL_ODDS / p), 0.0)
    return CellEvidence(surprise, support, filled.astype(np.float32))


def cell_surprise(models: ColumnModels, codes: np.ndarray, labels: np.ndarray, folds: Folds) -> np.ndarray:
    """f32[N, Q], only the surprise of `score_cells`, at half the cost; same arguments."""
    return _scores(models, codes, labels, folds, common=None)[0]


def code_log_probs(
    models: ColumnModels, codes: np.ndarray, labels: np.ndarray, folds: Folds, columns: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Log probability of every code of a cell, given the other cells of its row but not the label.

    Args:
      models, codes, labels, folds: as for `score_cells`. columns: i[C], whose cells are described.
    Returns:
      Row numbers i[n] and log probabilities f32[n, C, B], in blocks that cover every row once.
    """
    return models.code_log_probs(codes, labels, folds, columns)


def _scores(
    models: ColumnModels,
    codes: np.ndarray,
    labels: np.ndarray,
    folds: Folds,
    *,
    common: np.ndarray | None,
    block: int = _ROWS_AT_ONCE,
    on_block: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """f32[1 or 3, N, Q]: surprise; if codes `common` i32[Q] are given, also support and their log probability."""
    result = np.empty((1 if common is None else 3, *codes.shape), np.float32)
    for rows, scores in models.scores(codes, labels, folds, common=common, block=block):
        result[:, rows] = scores
        on_block(len(rows))
    return result
