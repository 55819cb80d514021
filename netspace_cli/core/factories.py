"""Architectures by name: the built-in ones, and anyone's factory as "package.module:function"."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from netspace_models.architectures import Architecture, Signal, build
from netspace_models.architectures.architecture import describe
from netspace_models.architectures.registry import factory
from netspace_models.errors import ConfigError
from torch import nn

from .runner import kept_random_state


def is_factory(name: str) -> bool:
    """Whether a name is a factory's, not a built-in architecture's."""
    return ":" in name


def resolve_architecture(name: str, signal: Signal) -> Architecture:
    """An architecture by name, for certain images and classes.

    A factory is called without arguments if it needs none, else with the `Signal`.

    Raises:
        UnknownArchitecture: no such name, or the module does not fit the signal.
        ConfigError: the factory cannot be imported, fails, or does not return a module.
    """
    if not is_factory(name):
        return build(name, signal)
    with kept_random_state():
        module = _call(name, signal)
    return describe(name, module, signal)


def fresh_module(name: str, signal: Signal) -> nn.Module:
    """A newly initialised module of an architecture; its values come from torch's current stream.

    Raises:
        UnknownArchitecture: no such name.
        ConfigError: the factory cannot be imported, fails, or does not return a module.
    """
    return _call(name, signal) if is_factory(name) else factory(name)(signal)


def signal_of_factory(name: str, channels: int, sizes: tuple[int, ...]) -> Signal | None:
    """The images and classes of a factory that needs no arguments: its module is run on each size.

    Returns:
        None where it needs a signal, or runs on none of the sizes.
    Raises:
        ConfigError: the factory cannot be imported, fails, or does not return a module.
    """
    if _needs_signal(_import(name)):
        return None
    with kept_random_state(), torch.no_grad():
        module = _call(name, None).eval()
        for size in sizes:
            try:
                outputs = module(torch.zeros(2, channels, size, size))
            except RuntimeError:
                continue  # not a size it was made for
            if outputs.dim() == 2:
                return Signal(channels, size, outputs.shape[1])
    return None


def _call(name: str, signal: Signal | None) -> nn.Module:
    make = _import(name)
    try:
        module = make(signal) if _needs_signal(make) else make()
    except Exception as failure:
        raise ConfigError(
            f"the factory {name} failed: {type(failure).__name__}: {failure}.",
            "It is called with the signal (channels, size, classes) if it needs an argument, else with none.",
        ) from failure
    if not isinstance(module, nn.Module):
        raise ConfigError(
            f"the factory {name} returned a {type(module).__name__}, not a torch.nn.Module.",
            "It must build and return the network.",
        )
    return module


def _import(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module_name), attribute)
    except Exception as failure:
        raise ConfigError(
            f"the factory {name} cannot be imported: {failure}.",
            "Write it as package.module:function, and run where that package can be imported.",
        ) from failure
    if not callable(found):
        raise ConfigError(f"the factory {name} cannot be called: it is a {type(found).__name__}.", "Name a function.")
    return found


def _needs_signal(make: Callable[..., Any]) -> bool:
    return any(
        p.default is p.empty
        for p in inspect.signature(make).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    )
