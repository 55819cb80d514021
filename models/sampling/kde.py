"""Kernel density estimates of embeddings.

The publication's sampler S_KDE ("Hyper-Representations as Generative Models", NeurIPS 2022, section 3.2) estimates one
density for each dimension and draws dimensions independently. Its public code hands the same seed to each dimension's
draw. scikit-learn takes row and noise from that seed, so all dimensions of a sample come from one row, with one noise
value: what it draws are stored embeddings. `fit_kernel_density` draws as it is written in the publication,
`sample_with_one_seed` as the public code does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from ..wording import setting
from .density import checked_rows

Rule: TypeAlias = Literal["scott", "silverman"]
Bandwidth: TypeAlias = "float | Rule"
PUBLISHED_BANDWIDTH = 0.002


@dataclass(frozen=True, eq=False)
class KernelDensity:
    """Gaussian kernels around rows.

    Attributes:
        rows: (N, E).
        bandwidth: (E,) deviation of the noise in each dimension.
        joint: one row for all dimensions of a sample; else each dimension draws its own.
    """

    rows: Tensor
    bandwidth: Tensor
    joint: bool

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw one embedding (E,); noise is drawn for each dimension in every case."""
        # scikit-learn's KernelDensity has one bandwidth for all dimensions; for independent dimensions it would be
        # fitted thousands of times to draw what two lines draw.
        count, size = self.rows.shape
        chosen = torch.randint(count, (1,) if self.joint else (size,), generator=generator).expand(size)
        noise = torch.randn(size, generator=generator)
        return self.rows[chosen, torch.arange(size)] + self.bandwidth * noise


def fit_kernel_density(rows: Tensor, bandwidth: Bandwidth = "scott", *, joint: bool = False) -> KernelDensity:
    """Fit a kernel density to rows (N, E).

    Args:
        bandwidth: a deviation for all dimensions, or the rule by which each dimension gets its own.
        joint: one density of all dimensions; else one for each, independent of the others.
    Raises:
        ConfigError: fewer than two rows, or an invalid bandwidth.
    """
    rows = checked_rows(rows, "a kernel density")
    return KernelDensity(rows, bandwidths(rows, bandwidth), joint)


def bandwidths(rows: Tensor, bandwidth: Bandwidth) -> Tensor:
    """Standard deviation of the kernel in each dimension: (N, E) to (E,).

    A rule takes each dimension by itself, as one of one-dimensional data: a factor of N (Scott: N^(-1/5); Silverman:
    (3 N / 4)^(-1/5)) times the dimension's deviation. Samples then spread by sqrt(1 + factor²) of the rows, 1.08 for
    Scott's rule and 100 rows.

    Raises:
        ConfigError: no such rule, or a number below zero.
    """
    if isinstance(bandwidth, str):
        factors = {"scott": len(rows) ** -0.2, "silverman": (0.75 * len(rows)) ** -0.2}
        if bandwidth not in factors:
            raise ConfigError(
                f"unknown bandwidth rule {bandwidth!r}.", f"Use {' or '.join(get_args(Rule))}, or a number."
            )
        return rows.std(dim=0) * factors[bandwidth]
    if not 0 <= bandwidth < float("inf"):
        raise ConfigError(f"invalid bandwidth {bandwidth:g}.", f"Give 0 or more: {setting('bandwidth', 0.01)}.")
    return torch.full((rows.shape[1],), float(bandwidth))


def sample_with_one_seed(rows: Tensor, count: int, seed: int, *, bandwidth: float = PUBLISHED_BANDWIDTH) -> Tensor:
    """Draw as the public code of the publication does: (N, E) to (count, E).

    For experiments that reproduce it.

    Every dimension is drawn by scikit-learn from the same seed, inside the loop over dimensions. A sample is one row
    with one number added to all its values.

    Args:
        seed: of all dimensions; 42 in the public code.
    Raises:
        ConfigError: fewer than two rows.
    """
    from sklearn.neighbors import KernelDensity as OneDimension

    columns = checked_rows(rows, "a kernel density").double().numpy().T
    drawn = [
        OneDimension(kernel="gaussian", bandwidth=bandwidth).fit(values[:, None]).sample(count, random_state=seed)
        for values in columns
    ]
    return torch.from_numpy(np.concatenate(drawn, axis=1)).float()
