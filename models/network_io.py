"""IO of networks: shapes of inputs and outputs, without data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from .problems import CLASSIFICATION, REGRESSION, Problem


@dataclass(frozen=True, order=True)
class ImageIO:
    """Square images in, class logits out.

    Attributes:
        channels: colour channels C of an image.
        size: height and width S of an image, in pixels.
        classes: number of logits K.
        logits: whether outputs are logits, not values with a squared error.
        labelled: whether inputs have labels; problem: what outputs are then trained for and judged by.
        one: what one input is called; network: what gives such outputs, in words.
    """

    logits: ClassVar[bool] = True
    labelled: ClassVar[bool] = True
    problem: ClassVar[Problem] = CLASSIFICATION
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
        logits, labelled, problem, one, network: as in `ImageIO`.
    """

    logits: ClassVar[bool] = False
    labelled: ClassVar[bool] = False
    problem: ClassVar[Problem] = REGRESSION
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


@dataclass(frozen=True, order=True)
class TableIO:
    """Rows of a table in, numbers out: a regressor.

    Attributes:
        features: numbers D of a row.
        targets: numbers K to predict.
        logits, labelled, problem, one, network: as in `ImageIO`.
    """

    logits: ClassVar[bool] = False
    labelled: ClassVar[bool] = True
    problem: ClassVar[Problem] = REGRESSION
    one: ClassVar[str] = "row"
    network: ClassVar[str] = "a regressor with one output a target"

    features: int
    targets: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row: (D,)."""
        return (self.features,)

    @property
    def outputs(self) -> int:
        """Number of outputs per row: K."""
        return self.targets

    def describe(self) -> str:
        """Describe the IO for people: "rows of 10 features, 1 target"."""
        return (
            f"rows of {self.features} feature{'s' if self.features > 1 else ''}, "
            f"{self.targets} target{'s' if self.targets > 1 else ''}"
        )

    def describe_inputs(self) -> str:
        """Describe the inputs, as `describe` does."""
        return self.describe()

    def example(self, count: int, generator: torch.Generator) -> Tensor:
        """Example inputs (count, D), normally distributed as standardised features are."""
        return torch.randn(count, *self.input_shape, generator=generator)


def even_points(dimensions: int, count: int) -> Tensor:
    """(count, D) fixed points spread evenly over the box: the first of Sobol's sequence."""
    return 2 * SobolEngine(dimensions).draw(count) - 1


NetworkIO = ImageIO | FieldIO | TableIO
# A key of the record that each has and no other.
_KEYS: dict[str, type[ImageIO] | type[FieldIO] | type[TableIO]] = {
    "dimensions": FieldIO,
    "features": TableIO,
    "channels": ImageIO,
}


def io_from(record: Mapping[str, Any]) -> NetworkIO:
    """Rebuild an IO from the output of `dataclasses.asdict`.

    Raises:
        TypeError: the record is of none.
    """
    kind = next((kind for key, kind in _KEYS.items() if key in record), ImageIO)
    return kind(**record)
