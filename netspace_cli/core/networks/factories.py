"""Architectures by name: built-in ones, and users' factories as "package.module:function"."""

from __future__ import annotations

import difflib
import importlib
import inspect
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from netspace_models.allowance import Allowance, TooLarge
from netspace_models.architectures import Architecture, FieldIO, ImageIO, NetworkIO, build
from netspace_models.architectures.architecture import describe
from netspace_models.architectures.registry import factory
from netspace_models.errors import ConfigError, InputFileError, UnknownArchitecture
from netspace_models.parameters.spec import NetworkSpec
from netspace_models.wording import Call
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from netspace_cli.core.runtime.runner import kept_random_state

from .trust import check_trusted, is_trusted

# Convolutions whose channels are tried, and coordinates of points, to find what a factory's module takes.
MOST_CONVOLUTIONS = 4
COORDINATES = (3, 2, 4, 1)
# Values that what a file asks for may make room for: these, and as many for each value in the file.
FLOOR_VALUES, VALUES_FOR_EACH = 16_000_000, 16
# Sizes of images, in pixels, at which `known_io` compares an architecture with itself.
COMPARED_SIZES = (16, 28, 32, 64)


def is_factory(name: str) -> bool:
    """Whether a name is that of a factory, not of a built-in architecture."""
    return ":" in name


def resolve_architecture(name: str, io: NetworkIO) -> Architecture:
    """Find an architecture by name, for certain images and classes.

    A factory is called without arguments if it needs none, else with the `NetworkIO`.

    Raises:
        UnknownArchitecture: no such name, or the module does not fit the IO.
        ConfigError: the factory cannot be imported, fails, or does not return a module.
    """
    if not is_factory(name):
        return build(name, io)
    with kept_random_state():
        module = _call(name, io)
    return describe(name, module, io)


def recorded_architecture(name: str, io: NetworkIO, file: Path) -> Architecture:
    """Find an architecture that a file names; a factory only if the user has named it too.

    Raises:
        InputFileError: a factory that the user has not named, or that cannot be used here.
        UnknownArchitecture: no such name, or the module does not fit the IO.
    """
    check_trusted(name, file)
    try:
        return resolve_architecture(name, io)
    except ConfigError as failure:
        reason = f"its architecture cannot be built here: {failure.message}"
        raise InputFileError(file, reason, failure.hint) from failure
    except UnknownArchitecture as failure:
        hint = failure.hint or "Check where the file comes from."
        raise UnknownArchitecture(f"{file}: {failure.message}", hint) from failure


def recorded_architectures(names: Iterable[str], io: NetworkIO, file: Path, values: int) -> list[Architecture]:
    """Find the architectures that a file names, in order.

    Args:
        values: numbers of the networks, or of the space, that have them. Built-in architectures make room for
            16 million more than 16 times as many.
    Raises:
        InputFileError, UnknownArchitecture: as `recorded_architecture`; and if they take more room.
    """
    allowance, found = Allowance(FLOOR_VALUES + VALUES_FOR_EACH * values), []
    for name in names:
        try:
            with nullcontext() if is_factory(name) else allowance:
                found.append(recorded_architecture(name, io, file))
        except TooLarge as failure:
            reason = f"its architectures ask for {failure}, and its networks have {values:,}."
            raise InputFileError(file, reason, "It is damaged, or made to fill memory.") from failure
    return found


def known_io(architecture: Architecture) -> str:
    """Describe the inputs and outputs that parameters show, for messages.

    "1x16x16, 10 classes"; if several image sizes fit, as for a ResNet: "1 channel, 10 classes; …" and the sizes.
    """
    io, layout = architecture.io, architecture.layout("full")
    if not isinstance(io, ImageIO):
        return io.describe()
    fitting = [s for s in COMPARED_SIZES if s != io.size and _layout_at(architecture, io, s) == layout]
    if not fitting:
        return io.describe()
    sizes = ", ".join(str(size) for size in sorted((*fitting, io.size)))
    channels = f"{io.channels} channel{'s' if io.channels > 1 else ''}"
    return f"{channels}, {io.classes} classes; works at several image sizes ({sizes}, ...)"


def _layout_at(architecture: Architecture, io: ImageIO, size: int) -> NetworkSpec | None:
    """Names and shapes of the architecture for images of another size; None if it has none."""
    try:
        return resolve_architecture(architecture.name, replace(io, size=size)).layout("full")
    except (ConfigError, UnknownArchitecture):
        return None


def fresh_module(name: str, io: NetworkIO) -> nn.Module:
    """Make a newly initialised module of an architecture, to be trained; values come from torch's current stream.

    Raises:
        UnknownArchitecture: no such name.
        ConfigError: the factory cannot be imported, fails, or does not return a module; or all parameters are frozen.
    """
    if not is_factory(name):
        return factory(name)(io)
    module = _call(name, io)
    parameters = list(module.parameters())
    if any(is_lazy(each) for each in parameters):
        # Lazy layers get their parameters with their first inputs.
        with torch.no_grad():
            module.eval()(torch.zeros(1, *io.input_shape))
        module.train()
    if parameters and not any(each.requires_grad for each in parameters):
        raise ConfigError(
            f"{name} cannot be trained: none of its {len(parameters)} parameters has requires_grad=True.",
            "Let the factory return a module that is not frozen.",
        )
    return module


def io_of_factory(name: str, channels: int | None, sizes: tuple[int, ...]) -> NetworkIO | None:
    """Find what the module of a factory without arguments takes and gives: it is run on images of each size.

    Args:
        channels: of the images; None for those of the module's convolutions, or if it runs on no images, points.
    Returns:
        None where it needs an argument, or runs on none of these.
    Raises:
        ConfigError: the factory cannot be imported, fails, or does not return a module.
    """
    if _needs_io(_import(name)):
        return None
    with kept_random_state(), torch.no_grad():
        module = _call(name, None).eval()
        tried = _channels_of(module) if channels is None else (channels,)
        for depth, size in itertools.product(tried, sizes):
            classes = _outputs_for(module, torch.zeros(2, depth, size, size))
            if classes:
                return ImageIO(depth, size, classes)
        for dimensions in COORDINATES if channels is None else ():
            values = _outputs_for(module, torch.zeros(2, dimensions))
            if values:
                return FieldIO(dimensions, values)
    return None


def _channels_of(module: nn.Module) -> tuple[int, ...]:
    """Channels of images that a module may take: those of its convolutions, in their order, then the usual ones."""
    own = [m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d)]
    return tuple(dict.fromkeys([*own[:MOST_CONVOLUTIONS], 3, 1]))


def _outputs_for(module: nn.Module, inputs: Tensor) -> int:
    """Number of outputs K where a module makes (B, K) of inputs; 0 where it does not."""
    try:
        outputs = module(inputs)
    except (RuntimeError, TypeError, ValueError, IndexError, AssertionError):
        return 0  # not what it was made for
    return outputs.shape[1] if isinstance(outputs, Tensor) and outputs.dim() == 2 else 0


def needs_io(name: str) -> bool:
    """Whether a factory has to be told the IO."""
    return _needs_io(_import(name))


def _call(name: str, io: NetworkIO | None) -> nn.Module:
    make = _import(name)
    try:
        with _current_folder_last(name):  # a factory may import when it is called
            module = make(io) if _needs_io(make) else make()
    except Exception as failure:
        raise ConfigError(
            f"the factory {name} failed: {type(failure).__name__}: {failure}.",
            f"It is called with the IO ({', '.join(_attributes(io))}) if it needs an argument, else with none.",
        ) from failure
    if not isinstance(module, nn.Module):
        raise ConfigError(
            f"the factory {name} returned a {type(module).__name__}, not a torch.nn.Module.",
            "It must build and return the network.",
        )
    return module


def _attributes(io: NetworkIO | None) -> list[str]:
    """Names of an IO's sizes; those of images where it is not known."""
    return [each.name for each in fields(ImageIO if io is None else io)]


def _import(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    try:
        with _current_folder_last(name):
            module = importlib.import_module(module_name)
    except Exception as failure:
        raise _no_module(name, failure) from failure
    found: Callable[..., Any] | None = getattr(module, attribute, None)
    if found is None:
        raise _no_function(name, module)
    if not callable(found):
        raise ConfigError(f"the factory {name} cannot be called: it is a {type(found).__name__}.", "Name a function.")
    return found


@contextmanager
def _current_folder_last(name: str) -> Iterator[None]:
    """Allow imports from the current folder for a factory that the user has named.

    A console script does not search the current folder. It comes last, so that a file of the user's called
    like an installed module does not take its place; and never for a factory that a file alone names.
    """
    folder = ""
    with suppress(FileNotFoundError):  # a folder that was removed meanwhile
        folder = os.getcwd() if is_trusted(name) else ""
    if not folder or folder in sys.path:
        yield
        return
    sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)


def _no_module(name: str, failure: Exception) -> ConfigError:
    module_name, _, attribute = name.partition(":")
    message = f"the factory {name} cannot be imported"
    meant = module_name.removesuffix(".py").strip("./").replace("/", ".")
    if meant and meant != module_name:
        return ConfigError(f"{message}: {failure}.", f"Write it as package.module:function, {meant}:{attribute}.")
    missing = getattr(failure, "name", None) if isinstance(failure, ModuleNotFoundError) else None
    if not missing or not f"{module_name}.".startswith(f"{missing}."):
        return ConfigError(
            f"{message}: {type(failure).__name__}: {failure}.",
            "Write it as package.module:function; importing that module must work.",
        )
    here = (
        f"then in the current folder ({os.getcwd()})"
        if is_trusted(name)
        else f"with {Call('trusting', name)} here as well"
    )
    return ConfigError(
        f"{message}: there is no module {missing!r}.",
        f"Write it as package.module:function. It was looked for on Python's search path, {here}: "
        f"run in the folder that holds {missing}, or put that folder on PYTHONPATH.",
    )


def _no_function(name: str, module: ModuleType) -> ConfigError:
    attribute = name.partition(":")[2]
    there = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
    own = [n for n in there if getattr(vars(module)[n], "__module__", None) == module.__name__]
    near = difflib.get_close_matches(attribute, there, n=3) or own[:5]
    return ConfigError(
        f"the factory {name} cannot be imported: the module {module.__name__} "
        f"({getattr(module, '__file__', None) or 'built in'}) has no function {attribute!r}.",
        f"Did you mean {' or '.join(near)}? It is written package.module:function."
        if near
        else "Write it as package.module:function.",
    )


def _needs_io(make: Callable[..., Any]) -> bool:
    return any(
        p.default is p.empty
        for p in inspect.signature(make).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    )
