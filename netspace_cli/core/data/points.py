"""What neural fields are asked about: points of the box [-1, 1]^D. They are always at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from netspace_models.architectures import FieldIO
from netspace_models.errors import ConfigError
from torch import Tensor

from netspace_cli.core.runtime.runner import GIB, memory_of

NAME = "points"
# Networks that are shapes: one value, a signed distance, at points of three coordinates.
SHAPES = FieldIO(3, 1)
# Of memory for each voxel of a grid, all told: its value, the piece it belongs to, copies; and how much of it may go.
VOXEL_BYTES, SHARE = 24, 0.5
# What the values of a zoo of fields may be.
DISTANCES, COLOURS = "signed distances", "colours"


@dataclass(frozen=True, eq=False)
class FieldData:
    """Points of the box, drawn anew each time: the data of a zoo or a space of neural fields.

    Attributes:
        io: coordinates D of a point and values K there.
        about: what the zoo's networks were fitted to, as its record says; no computation depends on it.
        device: where points are to lie; None for where they are drawn.
    """

    io: FieldIO
    about: Mapping[str, Any] = field(default_factory=dict)
    device: torch.device | None = None

    @property
    def name(self) -> str:
        """What records call it."""
        return NAME

    @property
    def has_surface(self) -> bool:
        """Whether the values are signed distances, zero on a surface."""
        return self.about.get("values") == DISTANCES

    def record(self) -> dict[str, Any]:
        """What a file keeps to say which data it was made with; plain JSON values."""
        return {"name": NAME, "io": asdict(self.io), **self.about}

    def to(self, device: torch.device | str) -> FieldData:
        """The same data on `device`."""
        return replace(self, device=torch.device(device))

    def draw(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, None]:
        """Points, evenly over the box, and no labels.

        Args:
            split: has no part in it: there is no end of points.
            generator: the only source of randomness; on any device.
        Returns:
            (count, D) on the data's device, and None.
        """
        points = 2 * torch.rand(count, self.io.dimensions, generator=generator, device=generator.device) - 1
        return points.to(self.device or points.device), None

    def sample(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, None]:
        """`draw`: points need no augmenting."""
        return self.draw(split, count, generator)


def field_data(record: Mapping[str, Any]) -> FieldData:
    """Undo `FieldData.record`."""
    about = {k: v for k, v in record.items() if k not in ("name", "io")}
    return FieldData(FieldIO(**record["io"]), about)


def grid_points(dimensions: int, resolution: int) -> Tensor:
    """The centres of the box's voxels, R of them along each axis: (R^D, D), the last axis fastest."""
    axis = voxel_centres(resolution)
    return torch.stack(torch.meshgrid(*[axis] * dimensions, indexing="ij"), dim=-1).reshape(-1, dimensions)


def check_grid(resolution: int, dimensions: int) -> None:
    """Refuse a grid that takes more than a part of the memory: what else is needed is not known beforehand.

    Args:
        resolution: voxels R along each axis.
        dimensions: axes D.
    Raises:
        ConfigError: with how much it takes and how much there is.
    """
    needed, there = VOXEL_BYTES * resolution**dimensions, memory_of(torch.device("cpu"))
    if needed > SHARE * there:
        most = int((SHARE * there / VOXEL_BYTES) ** (1 / dimensions) + 1e-9)
        raise ConfigError(
            f"{resolution} points along each axis take {needed / GIB:,.0f} GiB; this machine has {there / GIB:,.0f}.",
            f"Ask for {most} at most; 128 show all that most networks hold.",
        )


def voxel_centres(resolution: int) -> Tensor:
    """(R,) the centres of R voxels along one axis of the box."""
    return (torch.arange(resolution) + 0.5) * (2 / resolution) - 1
