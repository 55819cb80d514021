"""Requests for surfaces of shapes, or pixels of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netspace_cli.core.files.outputs import check_no_input, check_output
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.drawing import draw_pictures, draw_surfaces
from netspace_cli.core.shapes.mesh_files import check_surface_output, surface_of, write_surface
from netspace_cli.core.shapes.meshes import check_mesh_extra
from netspace_cli.core.shapes.rendered_pictures import (
    RESOLUTION,
    check_picture_output,
    is_picture,
    render_picture,
    write_picture,
)
from netspace_cli.core.shapes.solids import Solid, solid_of

from .fields import read_fields

SURFACE_RESOLUTION = 64


@dataclass(frozen=True)
class Surface:
    """A drawn shape: its file, share of the box inside, connected components, triangles."""

    path: str
    volume: float
    pieces: int
    faces: int


@dataclass(frozen=True)
class Surfaces:
    """Drawn shapes.

    Attributes:
        rows: one for each.
        resolution: voxels along each axis.
        notes: what to know of them, a sentence each.
    """

    rows: Sequence[Surface]
    resolution: int
    notes: Sequence[str]


@dataclass(frozen=True)
class Picture:
    """A drawn picture: its file, 1 or 3 channels, mean level from 0 to 1."""

    path: str
    channels: int
    brightness: float


@dataclass(frozen=True)
class Pictures:
    """Drawn pictures.

    Attributes:
        rows: one for each.
        resolution: pixels along each side.
    """

    rows: Sequence[Picture]
    resolution: int


@dataclass(frozen=True)
class MeshRequest:
    """A request to draw shapes or pictures.

    Attributes:
        networks: checkpoints, and embeddings that decode to shapes or pictures.
        output: a mesh of one network, or a picture of all; force: replace it.
        resolution: along each axis; None for 64 voxels or 128 pixels.
        space: of the embeddings; None for the built-in one that they belong to.
        arch, key: how checkpoints are read.
    """

    networks: Sequence[Path]
    output: Path
    resolution: int | None = None
    space: str | None = None
    arch: str | None = None
    key: str | None = None
    force: bool = False

    def prepare(self) -> MeshTask:
        """Refuse files that cannot be written, before any work.

        Raises:
            ConfigError, OutputExists: say what and why.
        """
        check_no_input([self.output], [*self.networks, self.space])
        check_output(self.output, force=self.force)
        check_surface_output(self.output, len(self.networks))
        return MeshTask(self)


@dataclass(frozen=True)
class MeshTask:
    """A drawing that is ready to run."""

    request: MeshRequest

    def run(self, runner: Runner) -> Surfaces | Pictures:
        """Read the networks and draw them: as pictures if all are, else as shapes.

        Raises:
            ConfigError: networks that are neither, or that the output is not for.
            WrongSpace: embeddings of another space.
            RunFailed: the only shape has no surface.
        """
        asked = self.request
        networks = read_fields(asked.networks, asked.space, runner, arch=asked.arch, key=asked.key)
        if all(is_picture(network.architecture.io) for network in networks):
            return self._pictures(networks, runner)
        return self._surfaces(networks, runner)

    def _surfaces(self, shapes: Sequence[Network], runner: Runner) -> Surfaces:
        asked = self.request
        check_mesh_extra()
        drawn = check_surface_output(asked.output, len(shapes))
        resolution = asked.resolution or SURFACE_RESOLUTION
        rows, surfaces, notes = [], [], []
        for shape in shapes:
            solid = solid_of(shape, runner, resolution=resolution)
            surface = solid.lack if solid.lack and drawn else surface_of(solid, shape.source)
            surfaces.append((Path(shape.source).stem, surface))
            faces = 0 if isinstance(surface, str) else len(surface.faces)
            rows.append(Surface(shape.source, solid.volume, solid.pieces, faces))
            notes += _notes(solid, shape.source)
        if drawn:
            draw_surfaces(asked.output, [("", surfaces)], force=asked.force)
        else:
            ((_, only),) = surfaces
            assert not isinstance(only, str)  # an only shape without a surface was refused
            write_surface(asked.output, only, force=asked.force)
        return Surfaces(rows, resolution, notes)

    def _pictures(self, pictures: Sequence[Network], runner: Runner) -> Pictures:
        asked = self.request
        alone = check_picture_output(asked.output, len(pictures))
        resolution = asked.resolution or RESOLUTION
        rendered = [render_picture(picture, runner, resolution=resolution) for picture in pictures]
        if alone:
            write_picture(asked.output, rendered[0], force=asked.force)
        else:
            named = [(Path(network.source).stem, each) for network, each in zip(pictures, rendered, strict=True)]
            draw_pictures(asked.output, [("", named)], force=asked.force)
        rows = [
            Picture(network.source, each.channels, each.brightness)
            for network, each in zip(pictures, rendered, strict=True)
        ]
        return Pictures(rows, resolution)


def _notes(solid: Solid, source: str) -> list[str]:
    if solid.lack:
        return [f"{source}: {solid.lack}; its place in the picture says so."]
    if solid.cut_by_box:
        return [f"{source}: the solid reaches the side of the box, and is closed there."]
    return []
