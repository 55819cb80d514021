"""Read a shape, picture or scan from a file as the objective of latent space optimisation."""

from __future__ import annotations

from pathlib import Path

from netspace_models.architectures import FieldIO
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.points import SHAPES
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.shape_objectives import (
    ScanObjective,
    ShapeObjective,
    objective_of_scan,
    objective_of_shape,
)
from netspace_cli.core.shapes.pictures import PICTURE_SUFFIXES
from netspace_cli.core.shapes.scans import SCAN_SUFFIXES, is_scan, read_scan
from netspace_cli.core.shapes.sources import SUFFIXES, find_shapes
from netspace_cli.core.spaces.space import Space


def read_shape_objective(
    path: Path, space: Space, runner: Runner, *, repair: bool = False
) -> ShapeObjective | ScanObjective:
    """Read an objective: a shape (as for `zoo fit`), or the points of a scan.

    Args:
        space: of neural fields.
        runner: its seed draws the samples.
        repair: close an open mesh, see `read_mesh`.
    Raises:
        ConfigError: the space is of classifiers or of other fields, or the file holds several shapes.
        InputFileError: it cannot be read, or is not a shape.
    """
    if not isinstance(space.io, FieldIO):
        raise ConfigError(
            f"space {space.name!r} is for classifiers ({space.io.describe()}), which cannot become a shape.",
            f"Give a {setting('teacher')}, or nothing for the labels.",
        )
    if space.io == SHAPES and is_scan(path):
        return objective_of_scan(read_scan(path), runner)
    known = _known_suffixes(space.io)
    if path.suffix.lower() not in known:
        raise ConfigError(
            f"{path}: networks for {space.io.describe()} cannot become what {path.suffix or 'such'} files hold.",
            f"Known: {', '.join(known)}.",
        )
    sources = find_shapes(path, repair=repair)
    if len(sources) != 1:
        raise ConfigError(f"{path} holds {len(sources)} shapes, one is needed.", "Give a file of one.")
    (source,) = sources
    own = FieldIO(source.dimensions, source.values)
    if own != space.io:
        raise ConfigError(
            f"{path} is for {own.describe()}; space {space.name!r} is for {space.io.describe()}.",
            "Give a file of the space's own kind.",
        )
    # The stream keeps its older name, which decides what it draws.
    return objective_of_shape(source.read(runner.generator("target")), runner, distances=source.kind != "picture")


def _known_suffixes(io: FieldIO) -> tuple[str, ...]:
    """Extensions of files that can be an objective for such networks."""
    if io.dimensions == 2:
        return PICTURE_SUFFIXES
    volumes = tuple(suffix for suffix in SUFFIXES if suffix not in PICTURE_SUFFIXES)
    return (*volumes, *SCAN_SUFFIXES) if io == SHAPES else volumes
