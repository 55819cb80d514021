"""Modules whose values are loaded afterwards, built without drawing any: most of the time of building them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DRAWN_INTO = frozenset(
    {
        *(nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_),
        *(nn.init.kaiming_uniform_, nn.init.kaiming_normal_, nn.init.xavier_uniform_, nn.init.xavier_normal_),
        *(Tensor.uniform_, Tensor.normal_),
    }
)
_DRAWN = frozenset({torch.rand, torch.randn})


class Unset(TorchFunctionMode):
    """Inside the block, what would be drawn from torch's current stream has any values.

    What has a generator of its own is drawn as always: it is a constant, and may not be in the file.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Leave out what draws, or call."""
        kwargs = dict(kwargs or {})
        if kwargs.get("generator") is None:
            if func in _DRAWN_INTO:
                return args[0] if args else kwargs["tensor"]
            if func in _DRAWN:
                kwargs.pop("generator", None)
                func = torch.empty
        return func(*args, **kwargs)
