"""Estimate parameters and memory of a training without allocating them.

The model is built without values and a step is run on them (the "meta" device), so that sizes are counted and
nothing is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Self

import torch
from netspace_models.architectures import Architecture
from netspace_models.backbones import ArchitectureInit
from netspace_models.errors import ConfigError
from netspace_models.space_model import SpaceModel
from torch.overrides import TorchFunctionMode

from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.runtime.runner import GIB, bytes_in_use, kept_random_state, memory_of
from netspace_cli.core.spaces.model import build_model
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.zoos.zoo import Zoo

from .checks import check_images_of_starts
from .step_memory import NOWHERE, moments_bytes, step_bytes
from .stored_rows import SHARE

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
        step_bytes: most bytes that a step has in use at once; None where they cannot be counted, as an
            architecture of the user's own computes with values.
        lasting_bytes: of the model's buffers, and of its copy at the best step.
        start_bytes: most bytes in use at once before the first step, beside the zoo's weights.
        zoo_bytes: of the zoo's weights.
        program_bytes: of this process before it trains: libraries, and the data on a processor.
        answers_bytes: of the teacher's answers to all views of training images, where these are fixed.
    """

    parameters: int
    largest: int
    largest_name: str
    step_bytes: int | None
    lasting_bytes: int = 0
    start_bytes: int = 0
    zoo_bytes: int = 0
    program_bytes: int = 0
    answers_bytes: int = 0

    @property
    def weights_bytes(self) -> int:
        """Bytes for weights, their gradients and Adam's two moments."""
        return COPIES * FLOAT_BYTES * self.parameters

    @property
    def total_bytes(self) -> int:
        """Bytes at the peak; a lower bound if the step's are not known."""
        training = self.weights_bytes + (self.step_bytes or 0)
        lasting = self.program_bytes + self.zoo_bytes + self.lasting_bytes + self.answers_bytes
        return lasting + max(training, self.start_bytes)

    def describe(self) -> str:
        """Describe it for people: "11,489,128 parameters; training takes about 24.1 GiB (...)"."""
        step = "unknown" if self.step_bytes is None else f"{self.step_bytes / GIB:.1f}"
        kept = self.zoo_bytes + self.lasting_bytes + self.answers_bytes
        return (
            f"{self.parameters:,} parameters; training takes about {self.total_bytes / GIB:.1f} GiB "
            f"({self.weights_bytes / GIB:.1f} for weights, gradients and the optimiser, {step} for a step, "
            f"{self.start_bytes / GIB:.1f} before the first one, {kept / GIB:.1f} for the zoo and copies, "
            f"{self.program_bytes / GIB:.1f} for the program and its data)"
        )

    def on(self, device: torch.device) -> Self:
        """The same on a device: an accelerator's memory does not hold the program, and none a zoo that is too large."""
        program = self.program_bytes if device.type == "cpu" else 0
        zoo = self.zoo_bytes if self.zoo_bytes <= SHARE * memory_of(device) else 0
        return replace(self, program_bytes=program, zoo_bytes=zoo)

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


def footprint(recipe: Recipe, zoo: Zoo, images: int = 0) -> Footprint:
    """Estimate the training of a space on a zoo; refuses sizes that cannot be combined.

    Args:
        images: number of training images, for the teacher's answers to their views.
    Raises:
        ConfigError: says which sizes, or a zoo without instances.
        DoesNotFit: an architecture is too large for the conv backbone's PRep.
    """
    unseen = [resolve_architecture(name, zoo.io) for name in dict.fromkeys(recipe.space.unseen)]
    known = [a for a in zoo.architectures() if a.name not in recipe.space.unseen]
    if not known:
        raise ConfigError(f"{zoo.path} has no instances to train on.", "Train some with `netspace zoo train`.")
    check_images_of_starts(known, recipe)
    model = _without_values(recipe, sorted((*known, *unseen), key=lambda a: (a.parameter_count, a.name)))
    counts = {a.name: min(recipe.train.instances, len(zoo.select(split="train", arch=a.name))) for a in known}
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    largest = max(sizes, key=lambda name: sizes[name])
    parameters, buffers = sum(sizes.values()), sum(b.nbytes for b in model.buffers())
    zoo_bytes = sum(FLOAT_BYTES * a.parameter_count * _rows(zoo, a) for a in known)
    step, moments, most = _counted(model, recipe, counts)
    weights = FLOAT_BYTES * parameters
    # While moments are taken, and then while the model is built beside them.
    start = max(most, moments + weights)
    answers = FLOAT_BYTES * recipe.train.image_views * images * zoo.io.outputs
    lasting = buffers + weights
    return Footprint(parameters, sizes[largest], largest, step, lasting, start, zoo_bytes, bytes_in_use(), answers)


_COUNTED: dict[Any, tuple[int | None, int, int]] = {}


def _counted(model: SpaceModel, recipe: Recipe, counts: Mapping[str, int]) -> tuple[int | None, int, int]:
    """Bytes of a step, if they can be counted, of moments that last, and at most while those are taken.

    Counted once in a process, as experiments train many spaces alike.
    """
    key = (repr(recipe), tuple((a.name, a.io, a.spec, counts.get(a.name)) for a in model.architectures))
    if key not in _COUNTED:
        try:
            _COUNTED[key] = (step_bytes(model, recipe, counts), *moments_bytes(model, recipe))
        except (RuntimeError, TypeError):
            _COUNTED[key] = (None, 0, 0)
    return _COUNTED[key]


def _rows(zoo: Zoo, architecture: Architecture) -> int:
    return sum(len(zoo.select(split=split, arch=architecture.name)) for split in ("train", "val"))


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
