"""Statistics s(W) of weights: the baseline that any encoder of weights should beat.

Unterthiner et al., "Predicting Neural Network Accuracy from Weights" (2020), section 3; the hyper-representation papers
print them as s(W).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .spec import NetworkSpec

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)


def weight_statistics(spec: NetworkSpec, weights: Tensor) -> Tensor:
    """Mean, variance and five quantiles of each layer's values: (N, P) to (N, 7 L)."""
    levels = torch.tensor(QUANTILES, dtype=torch.float64)
    found = []
    for layer in spec.layers:
        values = weights[:, layer.start : layer.stop].double()
        # numpy's way, without torch.quantile's limit of values.
        places = levels * (values.shape[1] - 1)
        ordered = values.sort(dim=1).values
        below, share = places.floor().long(), places - places.floor()
        above = (below + 1).clamp_max(values.shape[1] - 1)
        quantiles = ordered[:, below] * (1 - share) + ordered[:, above] * share
        found += [values.mean(1, keepdim=True), values.var(1, keepdim=True, unbiased=False), quantiles]
    return torch.cat(found, dim=1)
