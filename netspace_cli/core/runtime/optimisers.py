"""torch's optimisers without torch's compiler, whose import takes a second and which nothing here uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer

K = TypeVar("K", bound=Optimizer)

# What a class of torch's wraps so that a compiler leaves it alone; each loads the compiler to tell it so.
WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def uncompiled(kind: type[K]) -> type[K]:
    """The class as it is, but for wrappers that import the compiler: same bits, same state, same name and module."""
    methods: dict[str, Any] = {name: _inner(getattr(kind, name)) for name in WRAPPED}
    # The wrapper of a step also keeps gradients out of it.
    methods["step"] = torch.no_grad()(_inner(kind.step))
    return type(kind.__name__, (kind,), {**methods, "__module__": kind.__module__, "__doc__": kind.__doc__})


def _inner(method: Callable[..., Any]) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return found


@uncompiled
class Adam(torch.optim.Adam):
    """torch's Adam."""


@uncompiled
class AdamW(torch.optim.AdamW):
    """torch's AdamW."""


@uncompiled
class SGD(torch.optim.SGD):
    """torch's SGD."""


class Together:
    """Optimisers that move different parameters, as one.

    Args:
        parts: by name, under which a saved state has theirs.
    """

    def __init__(self, parts: Mapping[str, Optimizer]) -> None:
        self._parts = dict(parts)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of all; a rate set in one counts from the next step."""
        return [group for each in self._parts.values() for group in each.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for each in self._parts.values():
            each.zero_grad()

    def step(self) -> None:
        """Follow the gradients once."""
        for each in self._parts.values():
            each.step()

    def state_dict(self) -> dict[str, Any]:
        """As plain containers of tensors and numbers."""
        return {name: each.state_dict() for name, each in self._parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore from `state_dict`.

        Raises:
            KeyError, ValueError: it has other names, or other numbers of parameters.
        """
        for name, each in self._parts.items():
            each.load_state_dict(state[name])
