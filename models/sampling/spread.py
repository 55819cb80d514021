"""Spread of samples relative to the rows they were learnt from, and distance to these."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spread:
    """Relative spread: 1 is right; a collapsed sampler has far less, one that draws noise has more.

    Attributes:
        deviation: mean over the dimensions of the samples' deviation over the rows'.
        variance: the samples' variance, all dimensions together, over the rows'.
    """

    deviation: float
    variance: float


def spread_of(samples: Tensor, rows: Tensor) -> Spread | None:
    """Spread of samples (n, E) relative to rows (N, E).

    Dimensions in which the rows are all alike do not count.

    Returns:
        None where there is nothing to compare: fewer than two of either, or rows that are all alike.
    """
    if len(samples) < 2 or len(rows) < 2:
        return None
    own, known = samples.double().std(dim=0), rows.double().std(dim=0)
    counted = known > 1e-9 * known.max()
    if not bool(counted.any()):
        return None
    own, known = own[counted], known[counted]
    return Spread(float((own / known).mean()), float(own.square().sum() / known.square().sum()))


def apartness(samples: Tensor, rows: Tensor, *, own: bool = False) -> float | None:
    """Distance of samples (n, E) to the nearest of the rows (N, E) that they were learnt from.

    In units of that of rows to their nearest other; mean over samples, and over rows. 0 of copies, 1 of what is as new
    as a row is among the others.

    Args:
        own: the samples are the first rows themselves, each to be seen beside the others.
    Returns:
        None where rows have no distance from each other.
    """
    if len(rows) < 2:
        return None
    between = torch.cdist(rows.double(), rows.double(), compute_mode="donot_use_mm_for_euclid_dist")
    between.fill_diagonal_(torch.inf)
    usual = between.amin(1).mean()
    if usual == 0:
        return None
    if own:
        return float(between[: len(samples)].amin(1).mean() / usual)
    apart = torch.cdist(samples.double(), rows.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return float(apart.amin(1).mean() / usual)
