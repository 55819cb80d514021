"""Values that the processor has made, sent to where the work is."""

from __future__ import annotations

import torch
from torch import Tensor

# Bytes; holding more in place takes longer than a wait, and memory that others may need.
MOST_HELD = 2**26


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The same values on a device, without waiting for what it was given before where there are few.

    A CUDA device takes memory that the system may move only once it has finished all else, and the processor waits for
    that; so values for it lie in memory that is held in place.
    """
    if device.type == "cuda" and values.device.type == "cpu" and values.nbytes <= MOST_HELD:
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
