"""Peak memory of a training's work, from tensors without values.

The work itself runs on the "meta" device: nothing is computed, and what is alive is counted.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, cast

import torch
import torch.nn.functional as F
from netspace_models.second_order.curvature import moments_in_place
from netspace_models.space_model import SpaceModel
from netspace_models.training.contrast import ProjectionHead
from netspace_models.training.objectives import Batch
from netspace_models.training.unfolded import UnfoldedStarts, learns_unfolded
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from netspace_cli.core.spaces.recipe import Recipe

from .first_model import CURVATURE_INPUTS
from .sharing import Part
from .step import Task, _terms
from .training_set import TrainingSet

NOWHERE = "meta"
_ATEN = torch.ops.aten
_CONVOLUTIONS = (_ATEN.convolution.default, _ATEN.convolution_backward.default)
_ACTIVATIONS = (
    *(_ATEN.gelu.default, _ATEN.gelu_backward.default),
    *(_ATEN.leaky_relu.default, _ATEN.leaky_relu_backward.default),
)


def _like_first(first: Tensor, *_: Any, **__: Any) -> Tensor:
    return torch.empty_like(first)


def _layer_norm(x: Tensor, shape: list[int], *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    kept = x.shape[: x.dim() - len(shape)] + (1,) * len(shape)
    return torch.empty_like(x), x.new_empty(kept), x.new_empty(kept)


def _layer_norm_backward(
    gradient: Tensor, x: Tensor, _shape: Any, _mean: Any, _rstd: Any, weight: Tensor, bias: Tensor, wanted: list[bool]
) -> tuple[Tensor | None, ...]:
    return tuple(torch.empty_like(t) if asked else None for t, asked in zip((x, weight, bias), wanted, strict=True))


# Results of operations whose shapes torch works out in Python, which takes most of the time of a step without values.
_RESULTS: Mapping[Any, Callable[..., Any]] = {
    _ATEN.native_layer_norm.default: _layer_norm,
    _ATEN.native_layer_norm_backward.default: _layer_norm_backward,
    _ATEN.addmm.default: lambda _bias, a, b: a.new_empty(a.shape[0], b.shape[1]),
    **dict.fromkeys(_ACTIVATIONS, _like_first),
}


def step_bytes(model: SpaceModel, recipe: Recipe, counts: Mapping[str, int]) -> int:
    """Most bytes alive in a step at once beside the model, but for the gradients of its parameters.

    Counted for one and for two instances of each architecture, each further one taking as much as the second, and for
    one boundary pair (eq. 7-12), all others taking as much.

    Args:
        model: without values; counts: instances of a step by architecture.
    """
    if max(counts.values()) == 1:
        return _peak_of_step(model, recipe, counts)
    ones, twos = ({name: min(most, count) for name, count in counts.items()} for most in (1, 2))
    ends = [counts.get(model.architectures[i].name, 0) for i in (0, -1)]
    paired = recipe.train.interpolation > 0 and recipe.train.objective == "imitate" and len(model.architectures) > 2
    apart = _without_pairs(recipe) if paired else recipe
    one, two = (_peak_of_step(model, apart, some) for some in (ones, twos))
    further, grown = (sum(c.values()) - len(counts) for c in (counts, twos))
    total = one + (two - one) * further // grown
    if paired and ends[0] * ends[1]:
        total += (_peak_of_step(model, recipe, ones) - one) * ends[0] * ends[1]
    return total


def _without_pairs(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"interpolation": 0.0})})


def moments_bytes(model: SpaceModel, recipe: Recipe) -> tuple[int, int]:
    """Bytes of all moments, which last until the model is built, and most bytes alive while they are taken."""
    kept, most = 0, 0
    for a in model.architectures if recipe.backbone.needs_curvature else ():
        state = a.spec.unflatten(torch.empty(a.parameter_count, device=NOWHERE))
        with Alive() as alive:
            inputs = torch.empty(CURVATURE_INPUTS, *a.io.input_shape, device=NOWHERE)
            found = moments_in_place(a.fused, state, inputs, torch.sum)
        most = max(most, kept + alive.most)
        kept += sum(t.untyped_storage().nbytes() for pair in found.values() for t in pair)
    return kept, most


def _peak_of_step(model: SpaceModel, recipe: Recipe, counts: Mapping[str, int]) -> int:
    train = recipe.train
    sizes = {name: (count, model.architecture(name).parameter_count) for name, count in counts.items()}
    with Alive() as alive:
        targets = {name: torch.empty(size, device=NOWHERE) for name, size in sizes.items()}
        seen = {("train", name): weights for name, weights in targets.items()}
        training = TrainingSet(model.architectures, seen, {})
        # Data, runner and the rest are not asked for anything.
        task = Task(recipe, training, *cast(Any, (None,) * 5))
        head = ProjectionHead(model.embedding_size, train.contrast.width).to(NOWHERE) if train.contrast.gamma else None
        views = [{n: torch.empty(size, device=NOWHERE) for n, size in sizes.items()} for _ in range(2 if head else 1)]
        batch = _batch(model, recipe, counts)
        with _FusedAttention():
            torch.stack(list(_terms(task, model, Part(views, targets, batch), head).values())).sum().backward()
    gradients = 0
    for parameter in [*model.parameters(), *(p for u in batch.unfolded.values() for p in u.parameters())]:
        gradients += 0 if parameter.grad is None else parameter.grad.nbytes
        parameter.grad = None
    return max(0, alive.most - gradients)


def _batch(model: SpaceModel, recipe: Recipe, counts: Mapping[str, int]) -> Batch:
    """Inputs of a step and what comes with them: of fields, points for each network, and a path to the next one."""
    train, io = recipe.train, model.architectures[0].io
    if not io.labelled:
        (count,) = counts.values()
        gammas = torch.empty(count, device=NOWHERE) if train.interpolation > 0 else None
        return Batch(torch.empty(count, train.images, *io.input_shape, device=NOWHERE), gammas=gammas)
    inputs = torch.empty(train.images, *io.input_shape, device=NOWHERE)
    outputs = torch.empty(train.images, io.outputs, device=NOWHERE)
    labels, teacher = io.problem.blank_labels(outputs), outputs if len(model.architectures) > 1 else None
    starts = {name: [1] * count for name, count in counts.items() if recipe.space.starts_of(name) > 1}
    normed = [a for a in map(model.architecture, starts) if learns_unfolded(a)]
    unfolded = {a.name: UnfoldedStarts(a, [deepcopy(a.module).to(NOWHERE)]) for a in normed}
    return Batch(inputs, labels, teacher, starts=starts, unfolded=unfolded)


class Alive(TorchDispatchMode):
    """Count bytes of memory made inside the block that are alive: now, and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Tests count operations on values as well.
        short = _RESULTS.get(func) if args and isinstance(args[0], Tensor) and args[0].is_meta else None
        result = (short or func)(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        if func in _CONVOLUTIONS:
            # Libraries of convolutions work on copies in a layout of their own.
            copies = sum(t.nbytes for t in tree_leaves(args) if isinstance(t, Tensor))
            self.most = max(self.most, self.now + copies)
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class _FusedAttention(TorchFunctionMode):
    """Inside the block, attention keeps for the backward pass what it keeps on a device.

    On tensors without values it would also keep all its scores.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention and not kwargs:
            return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*args)[0]
        return func(*args, **(kwargs or {}))
