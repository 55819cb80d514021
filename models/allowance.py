"""A bound on the values that building modules may make room for, since a stranger's file may name the sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, prod
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_SIZED = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})


class TooLarge(ValueError):
    """More values than the allowance."""


class Allowance(TorchFunctionMode):
    """Limit the values that what runs inside makes room for, by torch's functions that take sizes.

    Args:
        values: the bound. More raise TooLarge before there is any room.
    """

    def __init__(self, values: int) -> None:
        super().__init__()
        self.values, self.used = values, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count the values, then call."""
        kwargs = kwargs or {}
        if func in _SIZED:
            self._use(_size(args, kwargs))
        elif func is torch.arange:
            self._use(_steps(args))
        return func(*args, **kwargs)

    def _use(self, count: int) -> None:
        self.used += count
        if self.used > self.values:
            raise TooLarge(f"more than {self.values:,} values")


def _size(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Number of values of `torch.empty(2, 3)`, `torch.empty((2, 3))` and `torch.empty(size=(2, 3))`."""
    size = kwargs.get("size", args)
    if size and isinstance(size[0], Sequence):
        size = size[0]
    return prod(size)


def _steps(args: Sequence[Any]) -> int:
    """Number of values of `torch.arange(start, end, step)`."""
    start, end, step = (*((0,) if len(args) == 1 else ()), *args, 1)[:3]
    return max(0, ceil((end - start) / step))
