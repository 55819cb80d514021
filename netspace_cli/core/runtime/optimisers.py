"""torch's optimisers without torch's compiler, whose import takes a second and which nothing here uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer

K = TypeVar("K", bound=Optimizer)

# What a class of torch's wraps so that a compiler leaves it alone; each loads the compiler to tell it so.
WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def _uncompiled(kind: type[K]) -> type[K]:
    """The class as it is, but for wrappers that import the compiler: same bits, same state."""
    methods: dict[str, Any] = {name: _inner(getattr(kind, name)) for name in WRAPPED}
    # The wrapper of a step also keeps gradients out of it.
    methods["step"] = torch.no_grad()(_inner(kind.step))
    return type(kind.__name__, (kind,), methods)


def _inner(method: Callable[..., Any]) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return found


Adam = _uncompiled(torch.optim.Adam)
AdamW = _uncompiled(torch.optim.AdamW)
SGD = _uncompiled(torch.optim.SGD)
