"""Values that the processor has made, sent to where the work is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Bytes; holding more in place takes longer than a wait, and memory that others may need.
MOST_HELD = 2**26

_held = False


@contextmanager
def held_in_place(wanted: bool) -> Iterator[None]:
    """Send from memory that is held in place within the block; restored afterwards.

    Some devices take memory that the system may move only once they have finished all else, and the processor waits for
    that. Which do is known to whoever chooses the device.
    """
    global _held
    before, _held = _held, wanted
    try:
        yield
    finally:
        _held = before


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The same values on a device; few of them without waiting for it, where `held_in_place`."""
    if _held and values.device.type == "cpu" != device.type and values.nbytes <= MOST_HELD:
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
