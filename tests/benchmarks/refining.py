"""Sixteen networks refined together against one by one: python -m tests.benchmarks.refining

LeNetLikes in the built-in space cifar10, on one thread; both ways alternate, and processor time counts.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from tests.benchmarks.cases import refining

ROUNDS, TOGETHER = 7, 16


def main() -> None:
    """Print the time of a network both ways, and the ratios."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as one, TemporaryDirectory() as many:
        ways = ((1, refining(Path(one), 1)), (TOGETHER, refining(Path(many), TOGETHER)))
        pairs = []
        for _ in range(ROUNDS + 1):
            times = []
            for count, run in ways:
                began = time.process_time()
                run()
                times.append(1e3 * (time.process_time() - began) / count / 10)
            pairs.append(times)
    ratios = [alone / together for alone, together in pairs[1:]]
    alone, together = (median(pair[i] for pair in pairs[1:]) for i in (0, 1))
    print(
        f"a step alone {alone:.1f} ms, together {together:.1f} ms each: {median(ratios):.2f} x "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
