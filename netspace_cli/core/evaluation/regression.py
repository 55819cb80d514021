"""Ridge regression on one or two kinds of features, its settings chosen on rows that it is not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Of features that are scaled to a sum of squares of 1 for each row, in the mean.
PENALTIES = tuple(10.0**power for power in range(-6, 4))
# Of the first kind of features, where there are two; at the ends one of them counts alone.
SHARES = (0.0, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
FOLDS = 5


@dataclass(frozen=True)
class Regression:
    """A fitted ridge regression.

    Attributes:
        model: of scikit-learn; `predict` takes rows as `fit_ridge` did.
        penalty: of the ridge.
        share: of the first kind of features in the variance of all, 0 to 1; 1 where there is one kind.
    """

    model: Any
    penalty: float
    share: float

    def predict(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """(N,) values for blocks of features (N, F)."""
        predicted: np.ndarray = self.model.predict(np.concatenate(blocks, axis=1))
        return predicted


def fit_ridge(
    blocks: Sequence[np.ndarray], values: Sequence[float], runs: Sequence[str], held_out: Sequence[bool]
) -> Regression:
    """Fit values to features; the penalty and the share of each kind are those with the least error on held-out rows.

    Args:
        blocks: one or two kinds of features, (N, F) each.
        values: N of them.
        runs: of each row. Where no rows are held out, whole runs are in turn, as rows of one run are nearly alike.
        held_out: of each row, whether it serves to choose the settings. In the end all rows are fitted.
    """
    from sklearn.model_selection import GroupKFold, PredefinedSplit

    rows, wanted = np.concatenate(blocks, axis=1), np.asarray(values, dtype=float)
    sizes = [block.shape[1] for block in blocks]
    if any(held_out):
        folds = list(PredefinedSplit(np.asarray(held_out) - 1).split())
    else:
        folds = list(GroupKFold(min(FOLDS, len(set(runs)))).split(rows, groups=runs))
    shares = SHARES if len(blocks) > 1 else (1.0,)
    errors = np.stack([sum(_errors(rows, wanted, sizes, share, *fold) for fold in folds) for share in shares])
    at_share, at_penalty = np.unravel_index(errors.argmin(), errors.shape)
    share, penalty = shares[at_share], PENALTIES[at_penalty]
    return Regression(_ridge(sizes, share, penalty).fit(rows, wanted), penalty, share)


def _ridge(sizes: Sequence[int], share: float, penalty: float | np.ndarray) -> Any:
    """Ridge regression that is not fitted yet; with several penalties, one for each column of values."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    weighed = FunctionTransformer(_weighed, kw_args={"sizes": sizes, "share": share})
    return make_pipeline(StandardScaler(), weighed, Ridge(penalty, solver="svd"))


def _errors(
    rows: np.ndarray, values: np.ndarray, sizes: Sequence[int], share: float, fitted: np.ndarray, held: np.ndarray
) -> np.ndarray:
    """Squared error on held-out rows for each penalty; one decomposition serves all of them."""
    columns = np.repeat(values[:, None], len(PENALTIES), axis=1)
    model = _ridge(sizes, share, np.asarray(PENALTIES)).fit(rows[fitted], columns[fitted])
    found: np.ndarray = ((model.predict(rows[held]) - columns[held]) ** 2).sum(axis=0)
    return found


def _weighed(rows: np.ndarray, sizes: Sequence[int], share: float) -> np.ndarray:
    """Standardised columns, those of each kind with its share of the whole variance."""
    shares = [share, 1 - share][: len(sizes)]
    scales = [np.full(size, np.sqrt(part / size)) for size, part in zip(sizes, shares, strict=True)]
    weighed: np.ndarray = rows * np.concatenate(scales)
    return weighed
