"""Agreement of networks of equal accuracy, by counts against by pairs: python -m tests.benchmarks.agreements

Random answers to 10,000 images in ten classes; processor seconds of one thread.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from netspace_models.problems import CLASSIFICATION
from torch import Tensor

from netspace_cli.core.kinds.images import EQUAL_WITHIN, unrelated_agreements

IMAGES, CLASSES = 10_000, 10
ALL_PAIRS = 100  # beyond this many networks, pairs of one network are timed, and taken times their number


def of_one(row: int, logits: list[Tensor], accuracies: list[float]) -> float:
    """Mean agreement of one network with the others, in pairs."""
    others = [i for i, each in enumerate(accuracies) if i != row and abs(each - accuracies[row]) <= EQUAL_WITHIN]
    return float(np.mean([CLASSIFICATION.agreement(logits[row], logits[i]) for i in others]))


def main() -> None:
    """Print a row for each number of networks."""
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (IMAGES,), generator=random)
    for count in (10, 100, 1000):
        share = 0.5 + 0.01 * torch.rand(count, 1, generator=random)
        right = torch.rand(count, IMAGES, generator=random) < share
        answers = list(torch.where(right, labels, torch.randint(CLASSES, right.shape, generator=random)).int())
        accuracies = [(own == labels).double().mean().item() for own in answers]
        logits = [torch.eye(CLASSES)[own.long()] for own in answers[:ALL_PAIRS]]
        began = time.process_time()
        found = unrelated_agreements(answers, accuracies, CLASSES)
        counted = time.process_time() - began
        some = min(count, ALL_PAIRS)
        pairs = [of_one(row, logits, accuracies[:some]) for row in range(3)]
        each = (time.process_time() - began - counted) / 3 / (some - 1)
        assert count > some or np.allclose(pairs, [x or 0 for x in found[:3]])
        print(f"{count} networks: {counted:.2f} s by counts, {each * count * (count - 1):.1f} s by pairs", flush=True)


if __name__ == "__main__":
    main()
