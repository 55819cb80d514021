"""A device that is imagined: torch's meta tensors, which have shapes and no values, stand for an accelerator's.

What runs on one shows that nothing is left on the processor, and how often an accelerator would be kept waiting. Its
launches are about those of an accelerator: torch clips gradients and steps through all parameters at once there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from netspace_cli.core.runtime.optimisers import Adam
from netspace_cli.core.training.step import Task, TrainState

META = torch.device("meta")
# Their results' sizes depend on values, so the processor waits for these.
ASKS_FOR_VALUES = {"aten::nonzero", "aten::masked_select", "aten::unique_dim", "aten::_unique2"}
ONE = {torch.bool: True, torch.int64: 1}


@dataclass
class Seen:
    """What was seen of the imagined device.

    Attributes:
        launched: operations that compute.
        waits: operations whose results the processor needs.
        sent: shapes that came from the processor.
    """

    launched: int = 0
    waits: list[str] = field(default_factory=list)
    sent: list[tuple[int, ...]] = field(default_factory=list)


class Imagined(TorchDispatchMode):
    """Notes in `seen` what the imagined device is asked for; every value that is read from it is one."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()

    def __torch_dispatch__(
        self,
        operation: OpOverload,
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> object:
        options, name = dict(options or {}), operation.name()
        given = [each for each in tree_leaves((arguments, options)) if isinstance(each, Tensor)]
        there = [each for each in given if each.device == META]
        if there and _reads(name, given, options):
            self.seen.waits.append(name)
            return given[0] if name == "aten::copy_" else _ones(name, there[0], options)
        if there and (name in ASKS_FOR_VALUES or _masked(name, given)):
            self.seen.waits.append(name)
        if _sends(name, given, options):
            self.seen.sent.append(tuple(given[-1].shape))
        result = operation(*arguments, **options)
        if not operation.is_view and any(isinstance(r, Tensor) and r.device == META for r in tree_leaves(result)):
            self.seen.launched += 1
        return result


def _reads(name: str, given: Sequence[Tensor], options: Mapping[str, Any]) -> bool:
    to = given[0].device if name == "aten::copy_" else options.get("device") if name == "aten::_to_copy" else None
    leaves = to is not None and torch.device(to).type == "cpu"
    return leaves or name in ("aten::_local_scalar_dense", "aten::equal")


def _ones(name: str, values: Tensor, options: Mapping[str, Any]) -> object:
    if name == "aten::_to_copy":
        return torch.ones(values.shape, dtype=options.get("dtype") or values.dtype)
    return True if name == "aten::equal" else ONE.get(values.dtype, 1.0)


def _masked(name: str, given: Sequence[Tensor]) -> bool:
    return name in ("aten::index.Tensor", "aten::index_put_") and any(each.dtype == torch.bool for each in given)


def _sends(name: str, given: Sequence[Tensor], options: Mapping[str, Any]) -> bool:
    if not given or given[-1].device.type != "cpu":
        return False
    to = given[0].device if name in ("aten::copy_", "aten::index.Tensor") else None
    return META in (to, options.get("device") if name == "aten::_to_copy" else None)


class Numbers(TorchFunctionMode):
    """Notes lists of numbers that become tensors on the imagined device, which it is sent too."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(
        self,
        function: Callable[..., object],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> object:
        options = dict(options or {})
        made = function in (torch.tensor, torch.as_tensor) and options.get("device") == META
        if made or (function is Tensor.__getitem__ and _by_numbers(*arguments)):
            self.seen.sent.append(())
        return function(*arguments, **options)


def _by_numbers(values: Tensor, index: object) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return values.device == META and any(isinstance(part, list) for part in parts)


@contextmanager
def watched_device() -> Iterator[Seen]:
    """What is asked of the imagined device inside."""
    noted = Imagined()
    with noted, Numbers(noted.seen):
        yield noted.seen


def imagined(task: Task, state: TrainState) -> tuple[Task, TrainState]:
    """A training on the imagined device, by Adam: what was prepared on the processor, without its values."""
    task.runner.device = META
    weights = {key: each.to(META) for key, each in task.training.weights.items()}
    teacher = task.teacher and replace(task.teacher, weights=task.teacher.weights.to(META))
    moved = replace(task, training=replace(task.training, weights=weights), data=task.data.to(META), teacher=teacher)
    there = replace(state, model=state.model.to(META), contrast=state.contrast and state.contrast.to(META))
    there.optimizer = Adam([{"params": there.parameters, "pace": 1.0}], task.recipe.train.lr, foreach=True)
    return moved, there
