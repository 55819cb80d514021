"""Registry of the built-in architectures, and recognition from names and shapes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from ..allowance import Allowance, TooLarge
from ..errors import UnknownArchitecture
from ..network_io import NetworkIO
from .architecture import Architecture, describe
from .family import MOST_PARAMETERS, Factory, Family, Guess, Shapes
from .lenet5 import LENET5, LENETLIKE
from .perceptron import PERCEPTRONS
from .resnets import RESNETS
from .siren import SIRENS
from .vanillacnn import VANILLACNN
from .zoo_cnn import ZOO_CNNS

REGISTERED: tuple[Family, ...] = (LENETLIKE, LENET5, VANILLACNN, RESNETS, SIRENS, PERCEPTRONS, ZOO_CNNS)
FAMILIES = tuple(name for family in REGISTERED for name in family.names)


def factory(name: str) -> Factory:
    """Return the function that builds a new module of a built-in architecture.

    It raises UnknownArchitecture where the architecture is not for such inputs and outputs.

    Raises:
        UnknownArchitecture: no such name; the message has the nearest.
    """
    for family in REGISTERED:
        make = family.factory(name)
        if make is not None:
            return make
    near = difflib.get_close_matches(name, FAMILIES, n=1)
    known = ", ".join([*FAMILIES, *(family.more for family in REGISTERED if family.more)])
    raise UnknownArchitecture(
        f"unknown architecture {name!r}.",
        (f"Did you mean {near[0]}? " if near else "") + f"Known: {known}, or a factory as package.module:function.",
    )


def twins(name: str, io: NetworkIO) -> tuple[str, ...]:
    """Architectures whose parameters for an IO have the same names and shapes, this one first.

    Most architectures have no others.
    """
    families = [family for family in REGISTERED if family.factory(name) is not None]
    others = [other for family in families if family.twins is not None for other in family.twins(name, io)]
    return (name, *(other for other in others if other != name))


def shown_by_weights(name: str, state: Mapping[str, Tensor]) -> bool:
    """Whether values alone show that they are those of this architecture and not of one of its `twins`."""
    families = [family for family in REGISTERED if family.factory(name) is not None]
    return any(family.shown(name, state) for family in families if family.shown is not None)


@lru_cache(maxsize=128)
def build(name: str, io: NetworkIO) -> Architecture:
    """Build a built-in architecture for an IO.

    Raises:
        UnknownArchitecture: no such name, it is not for such inputs (points, or images too small for it), or it would
            have more than 50 million parameters: what a file names is not to fill the memory.
    """
    make = factory(name)
    # Fresh modules draw random values; the template's mean nothing, so the caller's stream is left alone.
    with torch.random.fork_rng(devices=[]):
        try:
            with Allowance(MOST_PARAMETERS) as own:
                module = make(io)
        except TooLarge as failure:
            if own.used <= own.values:
                raise  # it is the caller's allowance
            raise UnknownArchitecture(
                f"{name} for {io.describe()} would have more than {MOST_PARAMETERS:,} parameters, which is the limit.",
                "Choose a smaller one, or smaller inputs.",
            ) from failure
        except (RuntimeError, ZeroDivisionError, ValueError) as failure:
            reason = str(failure).splitlines()[0]
            raise UnknownArchitecture(
                f"{name} cannot be built for {io.describe()}: {reason}", "Choose another architecture, or other inputs."
            ) from failure
    return describe(name, module, io, verify=False)


def guesses(shapes: Shapes) -> list[Guess]:
    """Architectures that names and shapes may belong to.

    Those that families recognise, else all that are recognised by comparison.
    """
    told = [family.recognise(shapes) for family in REGISTERED if family.recognise is not None]
    return [guess for guess in told if guess is not None] or [
        Guess(family.names) for family in REGISTERED if family.recognise is None
    ]


def channels_and_classes(shapes: Shapes) -> tuple[int, int] | None:
    """Read channels and classes from the first and last layer of a classifier.

    Layers are found by the names that any architecture uses for them; None where one is missing.
    """
    firsts = [shapes.get(f"{layer}.weight", ()) for family in REGISTERED for layer in family.first]
    lasts = [layer for family in REGISTERED for layer in family.last]
    ends = [shapes[name] for layer in lasts for name in (f"{layer}.bias", f"{layer}.weight") if name in shapes]
    first = next((shape for shape in firsts if len(shape) == 4), None)
    last = next((shape for shape in ends if len(shape) in (1, 2)), None)
    return None if first is None or last is None else (first[1], last[0])
