"""Solids along a path between two shapes, and the distance of each to the step before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.solids import Solid, solid_refined_near_surface

# Voxels along each axis, halved near the surface: with fewer, thin parts of one shape come apart. Fragments of bent
# paths are searched for in other voxels than these.
RESOLUTION = 80

T = TypeVar("T")


@dataclass(frozen=True)
class SolidStep:
    """One step of a path between shapes.

    Attributes:
        step: of the path; its network is a shape.
        solid: None where the step failed.
        iou: intersection over union with the step before; None at the first, and where neither has a solid.
    """

    scores: ClassVar[tuple[str, ...]] = ("volume", "pieces", "largest", "iou")

    step: Step
    solid: Solid | None
    iou: float | None

    @property
    def error(self) -> str:
        """The reason why there is nothing to show, or "". Such a step keeps its place."""
        if self.solid is None:
            return self.step.error
        return self.solid.lack

    def row(self) -> dict[str, Any]:
        """As a row for scripts."""
        row = self.step.row()
        if self.solid is not None:
            row |= {"volume": self.solid.volume, "pieces": self.solid.pieces}
        largest = None if self.solid is None else self.solid.largest
        scores = {"largest": largest, "iou": self.iou, "error": self.error or None}
        return row | {name: value for name, value in scores.items() if value is not None}


def solid_steps(
    path: Sequence[Step], runner: Runner, *, name: str = "", beside: Sequence[SolidStep] = ()
) -> list[SolidStep]:
    """Solids along a path.

    Args:
        path: of networks that are shapes, decoded.
        name: of the path, for the progress.
        beside: steps of other paths; a network that is also in one of them is not evaluated again.
    Raises:
        ConfigError: the networks are not shapes.
    """
    solids = seen(
        path,
        lambda network: solid_refined_near_surface(network, runner, resolution=RESOLUTION),
        runner,
        description=f"looking at shapes{name and f', {name}'}",
        known=[(each.step.network, each.solid) for each in beside if each.solid is not None],
    )
    befores = [None, *solids[:-1]]
    return [SolidStep(s, solid, _overlap(b, solid)) for s, b, solid in zip(path, befores, solids, strict=True)]


def seen(
    path: Sequence[Step],
    look: Callable[[Network], T],
    runner: Runner,
    *,
    description: str,
    known: Sequence[tuple[Network, T]] = (),
) -> list[T | None]:
    """Evaluate the network at each step; None if the step failed.

    Args:
        known: networks with what was seen of them before.
    """

    def once(network: Network) -> T:
        same = (what for other, what in known if _same(other, network))
        found = next(same, None)
        return look(network) if found is None else found

    found: list[T | None] = []
    with runner.progress(description, len(path)) as tick:
        for step in path:
            found.append(None if step.error else once(step.network))
            tick(1)
    return found


def _same(one: Network, other: Network) -> bool:
    return one.architecture.name == other.architecture.name and torch.equal(one.weights, other.weights)


def _overlap(one: Solid | None, other: Solid | None) -> float | None:
    if one is None or other is None:
        return None
    a, b = one.values < 0, other.values < 0
    union = int(np.logical_or(a, b).sum())
    return int(np.logical_and(a, b).sum()) / union if union else None
