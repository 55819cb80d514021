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
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, GroupKFold, PredefinedSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    sizes = [block.shape[1] for block in blocks]
    shares = SHARES if len(blocks) > 1 else (1.0,)
    grid = {
        "functiontransformer__kw_args": [{"sizes": sizes, "share": share} for share in shares],
        "ridge__alpha": PENALTIES,
    }
    pipeline = make_pipeline(StandardScaler(), FunctionTransformer(_weighed), Ridge())
    if any(held_out):
        folds, groups = PredefinedSplit(np.asarray(held_out) - 1), None
    else:
        folds, groups = GroupKFold(min(FOLDS, len(set(runs)))), runs
    search = GridSearchCV(pipeline, grid, cv=folds, scoring="neg_mean_squared_error")
    search.fit(np.concatenate(blocks, axis=1), values, groups=groups)
    best = search.best_params_
    return Regression(search.best_estimator_, best["ridge__alpha"], best["functiontransformer__kw_args"]["share"])


def _weighed(rows: np.ndarray, sizes: Sequence[int], share: float) -> np.ndarray:
    """Standardised columns, those of each kind with its share of the whole variance."""
    shares = [share, 1 - share][: len(sizes)]
    scales = [np.full(size, np.sqrt(part / size)) for size, part in zip(sizes, shares, strict=True)]
    weighed: np.ndarray = rows * np.concatenate(scales)
    return weighed
