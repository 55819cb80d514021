"""A family of architectures: their names, how to build them, and how to recognise their checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import UnknownArchitecture
from ..network_io import FieldIO, ImageIO, NetworkIO, TableIO

Shapes = Mapping[str, tuple[int, ...]]
"""Names and shapes of a state dict."""
Factory = Callable[[NetworkIO], nn.Module]
MOST_PARAMETERS = 50_000_000


@dataclass(frozen=True)
class Foreign:
    """A network of a family's kind that is not one of its architectures.

    Attributes:
        kind: in words.
        differences: what it has, with what the family has, in words.
        example: the factory of such a network, for who wants to name one.
    """

    kind: str
    differences: tuple[str, ...]
    example: str


@dataclass(frozen=True)
class Guess:
    """What a family recognises in names and shapes.

    Attributes:
        names: architectures that they may be, likeliest first; () where they are the family's and none is worth
            building.
        io: what the network takes and gives; None of classifiers, whose layers do not tell the size of images.
        foreign: set where none of these is what the network was made as.
    """

    names: tuple[str, ...]
    io: NetworkIO | None = None
    foreign: Foreign | None = None


@dataclass(frozen=True)
class Family:
    """The architectures of one module.

    Attributes:
        names: those that messages list.
        factory: the function that makes modules of a name; None for a name of another family.
        recognise: what names and shapes are, None where they are another family's. A family without it is compared
            with what no family recognises.
        first: layers of which one tells colour channels, of classifiers; last: layers of which one tells the classes.
        more: names beyond the listed ones, in words.
        twins: the names whose parameters, for an IO, have the same names and shapes as those of a name, so that a state
            dict does not tell them apart, likeliest first; None where there are no such names.
        shown: whether values alone show that they are a name's and none of its twins'.
    """

    names: tuple[str, ...]
    factory: Callable[[str], Factory | None]
    recognise: Callable[[Shapes], Guess | None] | None = None
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    more: str = ""
    twins: Callable[[str, NetworkIO], tuple[str, ...]] | None = None
    shown: Callable[[str, Mapping[str, Tensor]], bool] | None = None


def family_of_one(
    name: str,
    module: Callable[[ImageIO], nn.Module],
    *,
    first: str,
    last: str,
    twins: Callable[[str, NetworkIO], tuple[str, ...]] | None = None,
) -> Family:
    """Make the family of a single classifier without sizes in its name, recognised by comparison.

    The other arguments are as in `Family`.
    """

    def factory(asked: str) -> Factory | None:
        return (lambda io: module(images_for(name, io))) if asked == name else None

    return Family((name,), factory, first=(first,), last=(last,), twins=twins)


def images_for(name: str, io: NetworkIO) -> ImageIO:
    """Return the IO if it is for images, else refuse it.

    Raises:
        UnknownArchitecture: it is of points; the message names the architecture.
    """
    if not isinstance(io, ImageIO):
        raise UnknownArchitecture(f"{name} is for images, not for {io.describe_inputs()}.", _for(io))
    return io


def points_for(name: str, io: NetworkIO) -> FieldIO:
    """Return the IO if it is for points, else refuse it.

    Raises:
        UnknownArchitecture: it is of images; the message names the architecture.
    """
    if not isinstance(io, FieldIO):
        raise UnknownArchitecture(f"{name} is for points, not for {io.describe_inputs()}.", _for(io))
    return io


def rows_for(name: str, io: NetworkIO) -> TableIO:
    """Return the IO if it is for rows of a table, else refuse it.

    Raises:
        UnknownArchitecture: it is for images or points; the message names the architecture.
    """
    if not isinstance(io, TableIO):
        raise UnknownArchitecture(f"{name} is for rows of a table, not for {io.describe_inputs()}.", _for(io))
    return io


def _for(io: NetworkIO) -> str:
    """Hint that names architectures for an IO."""
    known = {
        "image": "images: lenetlike, resnet8, ...",
        "point": "points: siren.",
        "row": "rows of a table: perceptron.",
    }
    return f"For {known[io.one]}"


def check_hidden_size(name: str, width: int, layers: int, smaller: str) -> None:
    """Refuse a perceptron whose hidden layers would fill the memory; what a file names is not to do so.

    Args:
        smaller: name of one that is not refused.
    Raises:
        UnknownArchitecture: says both numbers.
    """
    count = width * width * (layers - 1)
    if count > MOST_PARAMETERS:
        raise UnknownArchitecture(
            f"{name} would have more than {count:,} parameters; the limit is {MOST_PARAMETERS:,}.",
            f"Name a smaller one, e.g. {smaller}.",
        )
