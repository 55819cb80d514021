"""Pictures along a path, and how much each step changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.rendered_pictures import RenderedPicture, render_picture

from .path_solids import seen


@dataclass(frozen=True)
class PictureStep:
    """One step of a path between pictures.

    Attributes:
        step: of the path; its network is a picture.
        frame: None where the step failed.
        change: mean absolute difference from the step before, as a share of black to white; None at the first.
    """

    scores: ClassVar[tuple[str, ...]] = ("change",)

    step: Step
    frame: RenderedPicture | None
    change: float | None

    @property
    def error(self) -> str:
        """The reason why there is nothing to show, or "". Such a step keeps its place."""
        return self.step.error

    def row(self) -> dict[str, Any]:
        """As a row for scripts."""
        row = self.step.row()
        return row if self.change is None else {**row, "change": self.change}


def picture_steps(
    path: Sequence[Step], runner: Runner, *, name: str = "", beside: Sequence[PictureStep] = ()
) -> list[PictureStep]:
    """Pictures along a path.

    Args:
        path: of networks that are pictures, decoded.
        name: of the path, for the progress.
        beside: steps of other paths; a network that is also in one of them is not evaluated again.
    Raises:
        ConfigError: the networks are not pictures.
    """
    looking = f"looking at pictures{name and f', {name}'}"
    known = [(each.step.network, each.frame) for each in beside if each.frame is not None]
    frames = seen(path, lambda network: render_picture(network, runner), runner, description=looking, known=known)
    befores = [None, *frames[:-1]]
    return [PictureStep(s, frame, _change(b, frame)) for s, b, frame in zip(path, befores, frames, strict=True)]


def _change(one: RenderedPicture | None, other: RenderedPicture | None) -> float | None:
    if one is None or other is None:
        return None
    return float(np.abs(one.pixels.astype(float) - other.pixels).mean() / 255)
