"""Leading eigenvectors of second moments: all of a small matrix's exactly, few of a large one's by iteration."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor

# Sides up to this many values are decomposed exactly: at most a quarter of a second each.
EXACT = 1024
# Of a large side at most this share of its directions is found by iteration; beyond it that is no faster.
SHARE = 1 / 8
ROUNDS = 4


def leading_eigenvectors(moments: Tensor, count: int) -> Tensor:
    """Leading eigenvectors of a positive semidefinite matrix, the first one of the largest eigenvalue.

    Those of large matrices come from a randomised subspace iteration (Halko, Martinsson and Tropp, 2011) with twice as
    many vectors as are wanted. Of a ResNet18's moments, the subspace is within 0.02 degrees of the exact one.

    Args:
        moments: (n, n), symmetric, on the processor.
        count: of vectors, at most n.
    Returns:
        (n, count) in float64, orthonormal, of either sign; always the same for the same moments.
    """
    moments, size = moments.double(), len(moments)
    if size <= EXACT or count > SHARE * size:
        # Many equal eigenvalues can defeat the exact way.
        with suppress(torch.linalg.LinAlgError):
            return torch.linalg.eigh(moments)[1].flip(1)[:, :count]
    from sklearn.utils.extmath import randomized_svd

    found, _, _ = randomized_svd(
        moments.numpy(),
        count,
        n_oversamples=min(count, size - count),
        n_iter=ROUNDS,
        power_iteration_normalizer="QR",
        flip_sign=False,
        random_state=0,
    )
    return torch.from_numpy(found)
