"""Memory that a process has freed and will soon want again.

glibc gives large blocks back to the system when they are freed, and the system clears every page anew for the next one.
Where each layer of a network takes such a block that is up to a third of the processor's time (RESULTS.md).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

# glibc's numbers of its settings (malloc.h), and what its own adjustment comes to at most.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
LARGEST_THRESHOLD, NEVER, USUAL_MMAPS = 2**25, 2**31 - 1, 65_536

_kept = False


def keep_freed_memory() -> None:
    """Keep freed memory for what this process allocates next: blocks of up to 32 MiB.

    For processes that are netspace's own: it holds until they end. Without glibc, nothing happens.
    """
    global _kept
    # Set in this order: whichever is set first ends glibc's own adjustment of both.
    _kept = _set(MMAP_THRESHOLD, LARGEST_THRESHOLD) and _set(TRIM_THRESHOLD, NEVER)


@contextmanager
def larger_blocks_kept(wanted: bool) -> Iterator[None]:
    """Keep blocks of any size within the block, where the process keeps memory at all.

    For work whose blocks are larger and come again in the same sizes; elsewhere gaps between them may add up.

    Args:
        wanted: whether to; for callers to whom it depends.
    """
    if not (wanted and _kept):
        yield
        return
    _set(MMAP_MAX, 0)
    try:
        yield
    finally:
        _set(MMAP_MAX, USUAL_MMAPS)


def _set(number: int, value: int) -> bool:
    mallopt = _mallopt()
    return mallopt is not None and mallopt(number, value) == 1


@cache
def _mallopt() -> Callable[[int, int], int] | None:
    try:
        found: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return None  # another system, or another C library
    return found
