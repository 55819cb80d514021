"""IO of networks: shapes of inputs and outputs, without data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine


@dataclass(frozen=True, order=True)
class ImageIO:
    """Square images in, class logits out.

    Attributes:
        channels: colour channels C of an image.
        size: height and width S of an image, in pixels.
        classes: number of logits K.
        logits: whether outputs are logits, not values with a squared error.
        one: what one input is called; network: what gives such outputs, in words.
    """

    logits: ClassVar[bool] = True
    one: ClassVar[str] = "image"
    network: ClassVar[str] = "a classifier with one logit a class"

    channels: int
    size: int
    classes: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image: (C, S, S)."""
        return (self.channels, self.size, self.size)

    @property
    def outputs(self) -> int:
        """Number of outputs per image: K."""
        return self.classes

    def describe(self) -> str:
        """Describe the IO for people: "3x32x32, 10 classes"."""
        return f"{self.channels}x{self.size}x{self.size}, {self.classes} classes"

    def describe_inputs(self) -> str:
        """Describe the inputs: "images of 3x32x32, 10 classes"."""
        return f"images of {self.describe()}"

    def example(self, count: int, generator: torch.Generator) -> Tensor:
        """Example inputs (count, C, S, S) between 0 and 1."""
        return torch.rand(count, *self.input_shape, generator=generator)


@dataclass(frozen=True, order=True)
class FieldIO:
    """Points of the box [-1, 1]^D in, values out: a neural field, such as a shape or a picture.

    Attributes:
        dimensions: coordinates D of a point.
        values: numbers K at a point (1: a signed distance, a grey value).
        logits, one, network: as in `ImageIO`.
    """

    logits: ClassVar[bool] = False
    one: ClassVar[str] = "point"
    network: ClassVar[str] = "a network with one output a value"

    dimensions: int
    values: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one point: (D,)."""
        return (self.dimensions,)

    @property
    def outputs(self) -> int:
        """Number of values per point: K."""
        return self.values

    def describe(self) -> str:
        """Describe the IO for people: "points of 3 coordinates, 1 value"."""
        counted = ((self.dimensions, "coordinate"), (self.values, "value"))
        return "points of " + ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counted)

    def describe_inputs(self) -> str:
        """Describe the inputs, as `describe` does."""
        return self.describe()

    def example(self, count: int, generator: torch.Generator) -> Tensor:
        """Example inputs (count, D): points of the box."""
        return 2 * torch.rand(count, *self.input_shape, generator=generator) - 1


def even_points(dimensions: int, count: int) -> Tensor:
    """(count, D) fixed points spread evenly over the box: the first of Sobol's sequence."""
    return 2 * SobolEngine(dimensions).draw(count) - 1


NetworkIO = ImageIO | FieldIO


def io_from(record: Mapping[str, Any]) -> NetworkIO:
    """Rebuild an IO from the output of `dataclasses.asdict`.

    Raises:
        TypeError: the record is of neither.
    """
    kind = FieldIO if "dimensions" in record else ImageIO
    return kind(**record)
