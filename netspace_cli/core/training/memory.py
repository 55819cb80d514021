"""Estimate parameters and memory of a training without allocating them.

The model is built without values and a step is run on them (the "meta" device), so that sizes are counted and
nothing is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import TracebackType
from typing import Any, Self

import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture
from netspace_models.backbones import ArchitectureInit
from netspace_models.errors import ConfigError
from netspace_models.space_model import SpaceModel
from torch import Tensor
from torch.overrides import TorchFunctionMode

from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.runtime.runner import GIB, kept_random_state
from netspace_cli.core.spaces.model import build_model
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.zoos.zoo import Zoo

NOWHERE = "meta"
LARGE_WEIGHT = 1_000_000_000  # values of one parameter
COPIES = 4  # weights, their gradients, Adam's two moments
FLOAT_BYTES = 4
_MAKERS = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)


@dataclass(frozen=True)
class Footprint:
    """Parameters and memory of a training.

    Attributes:
        parameters: of the space's model.
        largest, largest_name: values of its largest single parameter, and which that is.
        step_bytes: what a step keeps for its backward pass; None where it cannot be counted, as an
            architecture of the user's own computes with values.
    """

    parameters: int
    largest: int
    largest_name: str
    step_bytes: int | None

    @property
    def weights_bytes(self) -> int:
        """Bytes for weights, their gradients and Adam's two moments."""
        return COPIES * FLOAT_BYTES * self.parameters

    @property
    def total_bytes(self) -> int:
        """Total bytes; a lower bound if the step's are not known."""
        return self.weights_bytes + (self.step_bytes or 0)

    def describe(self) -> str:
        """Describe it for people: "11,489,128 parameters; training takes about 24.1 GiB (...)"."""
        step = "unknown" if self.step_bytes is None else f"{self.step_bytes / GIB:.1f}"
        return (
            f"{self.parameters:,} parameters; training takes about {self.total_bytes / GIB:.1f} GiB "
            f"({self.weights_bytes / GIB:.1f} for weights, gradients and Adam, {step} for a step)"
        )

    def warning(self, recipe: Recipe, memory_bytes: int) -> str | None:
        """Warning for training on a machine with this much memory; None if it is enough."""
        heavy = self.largest > LARGE_WEIGHT
        if not heavy and 2 * self.total_bytes <= memory_bytes:
            return None
        name = self.largest_name.removeprefix("backbone.")
        reason = (
            f"one weight of this space alone ({name}) has {self.largest:,} values"
            if heavy
            else f"that is more than half of the {memory_bytes / GIB:.1f} GiB there are"
        )
        by_weights = heavy or self.weights_bytes > (self.step_bytes or 0)
        return f"{self.describe()}: {reason}. Lower {' or '.join(_settings_to_lower(recipe, by_weights))}."


def _settings_to_lower(recipe: Recipe, by_weights: bool) -> list[str]:
    """The two settings that affect memory most, with their values."""
    names = [] if by_weights or recipe.train.instances == 1 else ["train.instances"]
    names += recipe.backbone.settings_to_lower(by_weights)
    values = [(name, attrgetter(name)(recipe)) for name in names[:2]]
    return [name if value is None else f"{name} ({value})" for name, value in values]


def footprint(recipe: Recipe, zoo: Zoo) -> Footprint:
    """Estimate the training of a space on a zoo; refuses sizes that cannot be combined.

    Raises:
        ConfigError: says which sizes, or a zoo without instances.
        DoesNotFit: an architecture is too large for the conv backbone's PRep.
    """
    unseen = [resolve_architecture(name, zoo.io) for name in dict.fromkeys(recipe.space.unseen)]
    known = [a for a in zoo.architectures() if a.name not in recipe.space.unseen]
    if not known:
        raise ConfigError(f"{zoo.path} has no instances to train on.", "Train some with `netspace zoo train`.")
    model = _without_values(recipe, sorted((*known, *unseen), key=lambda a: (a.parameter_count, a.name)))
    counts = {a.name: min(recipe.train.instances, len(zoo.select(split="train", arch=a.name))) for a in known}
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    largest = max(sizes, key=lambda name: sizes[name])
    try:
        step: int | None = _kept_by_a_step(model, recipe, counts)
    except (RuntimeError, TypeError):
        step = None
    return Footprint(sum(sizes.values()), sizes[largest], largest, step)


class _WithoutValues(TorchFunctionMode):
    """Give new float tensors a shape but no memory, inside the block."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = {**(kwargs or {})}
        if func in _MAKERS and kwargs.get("dtype") in (None, torch.float32):
            kwargs["device"] = NOWHERE
        return func(*args, **kwargs)


def _without_values(recipe: Recipe, architectures: Sequence[Architecture]) -> SpaceModel:
    # Made out here, as backbones look at these numbers.
    scales = {a.name: torch.ones(len(a.spec.layers)) for a in architectures}
    starts = recipe.space.starts_of
    inits = {
        a.name: ArchitectureInit(a.spec, None, scales[a.name], a.run_several, starts=starts(a.name))
        for a in architectures
    }
    with kept_random_state(), _WithoutValues():
        model = build_model(recipe, architectures, inits)
    return model.to(NOWHERE)


def _kept_by_a_step(model: SpaceModel, recipe: Recipe, counts: Mapping[str, int]) -> int:
    """Bytes that a step keeps for the backward pass, beside the model itself.

    Of every view of an instance: its encoding, its decoding and, if its behaviour counts, its run on the images; the
    latter two again for a further starting point, if there are some, and for every boundary pair (eq. 7-12).
    """
    io, train = model.architectures[0].io, recipe.train
    images = torch.empty(train.images, *io.input_shape, device=NOWHERE)
    encoded, decoded = {}, {}
    for a in model.architectures:
        with _Kept(model) as encoding:
            embedding = model.encode(a.name, torch.empty(1, a.parameter_count, device=NOWHERE))
        with _Kept(model) as decoding:
            predicted = model.decode(a.name, embedding)
            if train.structure < 1:
                a.run(predicted[0], images)
        encoded[a.name], decoded[a.name] = encoding.bytes(), decoding.bytes()
    views = 2 if train.contrast.gamma else 1
    times = {name: 2 if recipe.space.starts_of(name) > 1 and train.level > 0 else 1 for name in counts}
    total = views * sum(count * (encoded[name] + times[name] * decoded[name]) for name, count in counts.items())
    names = [a.name for a in model.architectures]
    if train.interpolation > 0 and train.objective == "imitate":
        pairs = counts.get(names[0], 0) * counts.get(names[-1], 0)
        total += pairs * sum(decoded[name] for name in names[1:-1])
    return total


class _FusedAttention(TorchFunctionMode):
    """Inside the block, attention keeps for the backward pass what it keeps on a device.

    On tensors without values it would also keep all its scores.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention and not kwargs:
            return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*args)[0]
        return func(*args, **(kwargs or {}))


class _Kept:
    """Count what autograd keeps for the backward pass, without the model's own values, inside the block."""

    def __init__(self, model: SpaceModel) -> None:
        self._own = {id(t.untyped_storage()) for t in (*model.parameters(), *model.buffers())}
        self._storages: dict[int, torch.UntypedStorage] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor)
        self._attention = _FusedAttention()

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        self._attention.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._attention.__exit__(kind, error, trace)
        self._hooks.__exit__(kind, error, trace)

    def bytes(self) -> int:
        """Bytes of all that is kept, each piece of memory once."""
        return sum(storage.nbytes() for storage in self._storages.values())

    def _note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if id(storage) not in self._own:
            self._storages[id(storage)] = storage
        return tensor
