"""Points of the box [-1, 1]^D, on which neural fields are evaluated; they are drawn on demand."""

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
# Bytes per voxel of a grid for its value, its component and copies; and the share of the memory that a grid may take.
VOXEL_BYTES, SHARE = 24, 0.5
# What the values of a zoo of fields may be.
DISTANCES, COLOURS = "signed distances", "colours"


@dataclass(frozen=True, eq=False)
class FieldData:
    """Points of the box, drawn on demand: the data of a zoo or space of neural fields.

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
        """Name in records."""
        return NAME

    @property
    def has_surface(self) -> bool:
        """Whether the values are signed distances, zero on a surface."""
        return self.about.get("values") == DISTANCES

    def record(self) -> dict[str, Any]:
        """The data's description for files that depend on it, as plain JSON values."""
        return {"name": NAME, "io": asdict(self.io), **self.about}

    def to(self, device: torch.device | str) -> FieldData:
        """The same data on `device`."""
        return replace(self, device=torch.device(device))

    def draw(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, None]:
        """Draw points evenly over the box, without labels.

        Args:
            split: not used, since points are unlimited.
            generator: the only source of randomness; on any device.
        Returns:
            (count, D) on the data's device, and None.
        """
        points = 2 * torch.rand(count, self.io.dimensions, generator=generator, device=generator.device) - 1
        return points.to(self.device or points.device), None

    def sample(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, None]:
        """Same as `draw`, since points are not augmented."""
        return self.draw(split, count, generator)


def field_data(record: Mapping[str, Any]) -> FieldData:
    """Rebuild data from `FieldData.record`."""
    about = {k: v for k, v in record.items() if k not in ("name", "io")}
    return FieldData(FieldIO(**record["io"]), about)


def grid_points(dimensions: int, resolution: int) -> Tensor:
    """Centres of the box's voxels, R along each axis: (R^D, D), last axis fastest."""
    axis = voxel_centres(resolution)
    return torch.stack(torch.meshgrid(*[axis] * dimensions, indexing="ij"), dim=-1).reshape(-1, dimensions)


def check_grid(resolution: int, dimensions: int) -> None:
    """Refuse a grid that would take more than a share of the memory; other needs are not known in advance.

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
    """(R,) centres of R voxels along one axis of the box."""
    return (torch.arange(resolution) + 0.5) * (2 / resolution) - 1
