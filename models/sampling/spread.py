"""How widely samples spread beside what they were learnt from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Spread:
    """1 is right; a sampler that has collapsed has far less, one that draws noise has more.

    Attributes:
        deviation: mean over the dimensions of the samples' deviation over the rows'.
        variance: the samples' variance, all dimensions together, over the rows'.
    """

    deviation: float
    variance: float


def spread_of(samples: Tensor, rows: Tensor) -> Spread | None:
    """Of samples (n, E) beside rows (N, E); dimensions in which the rows are all alike do not count.

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
