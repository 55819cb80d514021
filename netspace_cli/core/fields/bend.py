"""A bent path between two shapes of a space: every step's embedding is solved for, to be the blend of both ends.

Halfway along a straight path stands nearly the mean of two signed distances, in which whatever only one shape has is
thin or gone; and most of the change happens in the first and the last steps. A bent path leaves the straight line:
its steps are the ends' blends (`netspace_models.losses.blended`), so far from each other that shapes change evenly.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from netspace_models.architectures.signal import even_points
from netspace_models.errors import ConfigError
from netspace_models.gauss_newton import weights_by_distance
from netspace_models.losses import blended
from torch import Tensor

from netspace_cli.core.interp import straight
from netspace_cli.core.progress import Progress, Silent
from netspace_cli.core.runner import Runner
from netspace_cli.core.space import Space

from .data import FieldData
from .scoring import values_of
from .solver import solver_of

# Of the blends, in units of the half box.
WIDTH = 0.01
# Gauss-Newton steps for each embedding, and the points it is solved at: half of them near the blend's surface.
SOLVES, POINTS = 5, 8192
# Points of the box that both ends are known at.
KNOWN = 65_536
# Blends that are looked at to space the steps, evenly by the logit of gamma up to so much.
LOOKS, LOGIT = 241, 18.0


@dataclass(frozen=True)
class Ends:
    """Two signed distances (M,) at the same points (M, D), the points evenly over the box."""

    points: Tensor
    one: Tensor
    other: Tensor

    def blend(self, gamma: Tensor) -> Tensor:
        """(M,) what stands at gamma between them."""
        return blended(self.one, self.other, gamma, width=WIDTH)


def even_gammas(ends: Ends, steps: int) -> Tensor:
    """(N + 1,) from 0 to 1, so that each solid overlaps as much with the one before as all others do, nearly.

    Evenly spaced gammas where the solids do not differ.
    """
    within = torch.linspace(-LOGIT, LOGIT, LOOKS, dtype=torch.float64).sigmoid()
    gammas = torch.cat([torch.zeros(1), within, torch.ones(1)]).to(ends.one)
    solids = [ends.blend(gamma) < 0 for gamma in gammas]
    changes = [(a ^ b).sum() / (a | b).sum().clamp(min=1) for a, b in pairwise(solids)]  # 1 - IoU
    gone = torch.stack([torch.zeros_like(changes[0]), *changes]).double().cumsum(dim=0)
    if not gone[-1] > 0:
        return torch.linspace(0, 1, steps + 1).to(gammas)
    wanted = gone[-1] * torch.linspace(0, 1, steps + 1, dtype=torch.float64, device=gone.device)
    found = gammas[torch.searchsorted(gone, wanted).clamp(max=len(gammas) - 1)]
    found[0], found[-1] = 0, 1
    return found


def bent(
    start: Tensor,
    end: Tensor,
    space: Space,
    data: FieldData,
    runner: Runner,
    *,
    steps: int,
    progress: Progress | None = None,
) -> Tensor:
    """(N + 1, E) embeddings of a bent path, the first and the last of them exactly `start` and `end`.

    Args:
        start, end: (E,) embeddings of a space of shapes.
        data: the space's own.
        steps: N.
    Raises:
        ConfigError: see `check_bend`.
    """
    check_bend(space, data)
    space, progress = space.to(runner.device), progress or Silent()
    architecture = space.model.architectures[0]
    line = runner.place(torch.stack(straight(start, end, steps)))
    solver = solver_of(space, architecture.name)
    ends = _known(line[0], line[-1], space, runner)
    gammas, found = even_gammas(ends, steps), [line[0]]
    progress.start("bending the path", max(0, steps - 1))
    try:
        for embedding, gamma in zip(line[1:-1], gammas[1:-1], strict=True):
            wanted = ends.blend(gamma)
            near = wanted.abs().topk(POINTS // 2, largest=False).indices
            chosen = torch.cat([torch.arange(POINTS // 2, device=near.device), near])
            weights = weights_by_distance(wanted[chosen])
            for _ in range(SOLVES):
                embedding, loss = solver.step(embedding, wanted[chosen], ends.points[chosen], weights)
            found.append(embedding)
            progress.advance(1, loss=loss)
    finally:
        progress.stop()
    return torch.stack([*found, line[-1]])


def check_bend(space: Space, data: object) -> None:
    """Refuse a space whose paths cannot be bent.

    Raises:
        ConfigError: its networks are no shapes, or its decoder does not write along directions.
    """
    if not (isinstance(data, FieldData) and data.has_surface):
        raise ConfigError(
            f"only paths between shapes can be bent, and the networks of {space.name} are none.", "Leave out --bend."
        )
    if space.model.backbone.directions(space.model.architectures[0].name) is None:
        raise ConfigError(
            f"to bend a path, its embeddings are solved for, and the decoder of {space.name} does not write along "
            "directions.",
            "Leave out --bend, or train a space with backbone.path = 'learnt'.",
        )


def _known(start: Tensor, end: Tensor, space: Space, runner: Runner) -> Ends:
    architecture = space.model.architectures[0]
    points = runner.place(even_points(architecture.signal.input_shape[0], KNOWN))
    with torch.no_grad():
        vectors = space.model.decode(architecture.name, torch.stack([start, end]))
    one, other = (runner.place(values_of(architecture, v, points, runner)[:, 0]) for v in vectors)
    return Ends(points, one, other)
