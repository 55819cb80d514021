"""Choose a learning rate by a score, and look further while the best is the outermost."""

from __future__ import annotations

from collections.abc import Callable

# Factor between rates that are tried, and their largest number.
FACTOR = 3.0
MOST_RATES = 7


def best_rate(score: Callable[[float], tuple[float, ...]], start: float) -> float:
    """Return the rate with the highest score.

    Tries `start` and its neighbours, a factor of three apart, and goes on beyond the end while the best is there, seven
    at most. A grid with fixed ends would favour the method that it suits.
    """
    tried = {place: score(start * FACTOR**place) for place in (-1, 0, 1)}
    while len(tried) < MOST_RATES:
        best = max(tried, key=lambda place: tried[place])
        if min(tried) < best < max(tried):
            break
        beyond = best - 1 if best == min(tried) else best + 1
        tried[beyond] = score(start * FACTOR**beyond)
    return start * FACTOR ** max(tried, key=lambda place: tried[place])
