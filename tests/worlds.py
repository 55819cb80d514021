"""What the fixtures hand to tests: the tiny worlds, and the types of what is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from click.testing import Result

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.progress import Silent
from netspace_cli.core.shapes.solids import Solid
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

TINY_RECIPE = {
    "space": {"name": "tiny"},
    "backbone": {"kind": "tokens", "embedding_size": 64, "latents": 4, "chunk": 64, "width": 16, "heads": 2},
    "train": {"steps": 40, "instances": 1, "images": 8, "lr": 5e-3, "validate_every": 10, "warmup": 2},
    "refine": {"steps": 2, "images": 8},
}

SHAPE_RECIPE = {
    "space": {"name": "solids"},
    "backbone": {
        "kind": "tokens",
        "embedding_size": 256,
        "latents": 4,
        "chunk": 64,
        "width": 16,
        "heads": 2,
        "reader": {"kind": "answers", "probes": 16},
        "direct": {"kind": "curvature"},
    },
    "train": {"steps": 120, "instances": 2, "images": 64, "lr": 5e-3, "validate_every": 10, "warmup": 2},
    "refine": {"steps": 3, "images": 64},
}


@dataclass(frozen=True)
class Tiny:
    """Everything small that commands and library functions need.

    Attributes:
        npz: images of 1 x 8 x 8 in three classes, as a file (`--data`); data: the same, loaded.
        zoo: lenetlike, vanillacnn and resnet8, two training and one validation and test instance each.
        single_zoo: lenetlike alone.
        space: of the zoo, single_space: of the single zoo; both with their file's path.
        teacher: a checkpoint of a resnet14.
        networks: one test instance's checkpoint by architecture.
    """

    npz: Path
    data: ImageData
    zoo: Zoo
    single_zoo: Zoo
    space: Space
    single_space: Space
    teacher: Path
    networks: dict[str, Path]

    @property
    def recipe(self) -> Recipe:
        """What both spaces were trained with."""
        return recipe_from(TINY_RECIPE)


@dataclass(frozen=True)
class Solids:
    """Everything small of networks that are shapes.

    Attributes:
        grids: eight ellipsoids of 10 x 10 x 10 voxels, as a file (`zoo fit`).
        zoo: a siren-16x2 of each, five for training, one validation and two test instances.
        space: of the zoo, with its file's path.
        networks: the test instances' checkpoints.
    """

    grids: Path
    zoo: Zoo
    space: Space
    networks: list[Path]

    @property
    def recipe(self) -> Recipe:
        """What the space was trained with."""
        return recipe_from(SHAPE_RECIPE)


class Stopper(Silent):
    """Progress that breaks the work off after so much of it; of pieces with this description alone, if one is given."""

    def __init__(self, after: int, doing: str | None = None) -> None:
        self.after, self.doing = after, doing
        self.pieces: list[str] = []

    def start(self, description: str, total: int | None, done: int = 0) -> None:
        self.pieces.append(description)

    def advance(self, n: int = 1, **fields: object) -> None:
        self.after -= n if self.doing in (None, self.pieces[-1]) else 0
        if self.after == 0:
            raise KeyboardInterrupt

    def stop(self) -> None:
        self.pieces.pop()


class Watcher(Silent):
    """Progress that remembers each piece of work: what it was, how much of it there was, how much was done."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, int | None, int]] = []
        self._open: list[int] = []

    def start(self, description: str, total: int | None, done: int = 0) -> None:
        self._open.append(len(self.pieces))
        self.pieces.append((description, total, done))

    def advance(self, n: int = 1, **fields: object) -> None:
        what, total, done = self.pieces[self._open[-1]]
        self.pieces[self._open[-1]] = (what, total, done + n)

    def stop(self) -> None:
        self._open.pop()


def space_file(space: Space) -> Path:
    """The file of a space that has one, as those of the worlds do."""
    assert space.path is not None
    return space.path


Tree = dict[str, bytes | None]
"""All below a folder: bytes by path, None for folders."""

ReadTree = Callable[[Path], Tree]
Ask = Callable[..., dict[str, Any]]
Rows = Callable[..., list[dict[str, str]]]


def with_values(space: Space, values: str) -> Space:
    """A space of fields whose record says that their values are others: signed distances, or colours."""
    return replace(space, record={**space.record, "data": {**space.record["data"], "values": values}})


class Cli(Protocol):
    """Runs `netspace` with arguments."""

    def __call__(self, *arguments: object, env: Mapping[str, str] | None = None) -> Result: ...


class Refused(Protocol):
    """Runs a command that must end with this exit code; returns message and hint."""

    def __call__(self, code: int, *arguments: object) -> str: ...


Point = tuple[float, float, float]


class MakeBall(Protocol):
    """Makes a network whose surface is a ball; a negative radius for none at all."""

    def __call__(self, radius: float, centre: Point = (0, 0, 0)) -> Network: ...


class MakeSolid(Protocol):
    """Makes the solid of a ball, on a grid of so many voxels a side."""

    def __call__(self, radius: float, centre: Point = (0, 0, 0), resolution: int = 32) -> Solid: ...


# A module whose factory kills the first worker process that calls it, in the folder where it is called.
DIES_IN_WORKERS = """
import multiprocessing, os
from torch import nn

def make():
    if multiprocessing.parent_process() is not None and not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getpid(), 9)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
"""
