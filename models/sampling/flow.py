"""Flow matching on embeddings, conditional on accuracy.

Lipman et al., "Flow Matching for Generative Modeling" (ICLR 2023), section 4.1 with straight paths: from noise x0 and a
code x1 the point x = (1 - t) x0 + t x1 moves with velocity x1 - x0; a network learns the mean velocity at x and t. On a
zoo's few embeddings such a network soon learns them by heart and its samples collapse, so it is tiny and training ends
once held-out codes fare no better. It begins as no motion at all, which gives a Gaussian of the embeddings' own
covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..errors import ConfigError, RunFailed
from ..wording import setting
from .density import checked_rows
from .whitening import Whitening, fit_whitening


@dataclass(frozen=True)
class FlowSettings:
    """Settings of a flow and its training.

    Attributes:
        widths: of the hidden layers.
        steps: most steps of Adam; lr: its rate.
        batch: pairs of noise and code a step.
        held_out: share of the codes that choose when to stop.
        patience: looks at the held-out codes without an improvement after which training ends.
        look_every: steps between two looks.
        stages: steps of the integration.
    """

    widths: tuple[int, ...] = (64, 128, 64)
    steps: int = 2000
    lr: float = 1e-3
    batch: int = 256
    held_out: float = 0.2
    patience: int = 8
    look_every: int = 25
    stages: int = 32


class _Velocity(nn.Module):
    """Map points (B, R), times (B, 1) and conditions (B, C) to velocities (B, R); initially zero."""

    def __init__(self, size: int, conditions: int, widths: Sequence[int]) -> None:
        super().__init__()
        sizes = (size + 1 + conditions, *widths)
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
        last = nn.Linear(sizes[-1], size)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*hidden, last)

    def forward(self, points: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """Velocities."""
        found: Tensor = self.layers(torch.cat([points, times, conditions], dim=1))
        return found


@dataclass(frozen=True, eq=False)
class Flow:
    """A learnt flow from noise to embeddings.

    Attributes:
        velocity: the network.
        whitening: between embeddings and codes.
        known: (N,) conditions of the embeddings it has learnt from, None where it is unconditional.
        centre, scale: by which conditions are standardised.
        wanted: the condition of all samples; None for that of an embedding newly drawn for each.
        stages: steps of the integration.
        stopped: after how many steps of training the network was kept.
    """

    velocity: nn.Module
    whitening: Whitening
    known: Tensor | None
    centre: float
    scale: float
    wanted: float | None
    stages: int
    stopped: int

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw one embedding (E,): noise is moved along the flow by Heun's method."""
        noise = torch.randn(1, len(self.whitening.deviations), generator=generator)
        with torch.no_grad():
            codes = self._carried(noise, self._condition(generator))
        return self.whitening.back(codes.double())[0].float()

    def _condition(self, generator: torch.Generator) -> Tensor:
        if self.known is None:
            return torch.zeros(1, 0)
        wanted = self.wanted
        if wanted is None:
            wanted = float(self.known[torch.randint(len(self.known), (1,), generator=generator)])
        return torch.tensor([[(wanted - self.centre) / self.scale]])

    def _carried(self, points: Tensor, conditions: Tensor) -> Tensor:
        step = 1 / self.stages
        for stage in range(self.stages):
            here, there = (torch.full((len(points), 1), (stage + at) * step) for at in (0, 1))
            slope = self.velocity(points, here, conditions)
            ahead = self.velocity(points + step * slope, there, conditions)
            points = points + step / 2 * (slope + ahead)
        return points


def fit_flow(
    rows: Tensor,
    generator: torch.Generator,
    *,
    accuracies: Tensor | None = None,
    wanted: float | None = None,
    settings: FlowSettings | None = None,
) -> Flow:
    """Learn a flow to rows (N, E).

    Args:
        generator: of all randomness: the network's first values, what is held out, noise and times.
        accuracies: (N,) the condition: accuracy on validation images. None for an unconditional flow.
        wanted: the accuracy that all samples are to have; None for that of a row newly drawn for each.
    Raises:
        ConfigError: fewer than three rows, rows that are all alike, or an accuracy without any to learn from.
        RunFailed: the loss is not finite.
    """
    settings = settings or FlowSettings()
    rows = checked_rows(rows, "a flow", 3)
    if wanted is not None and accuracies is None:
        raise ConfigError(
            f"this flow was learnt without accuracies, so it cannot draw for {wanted:g}.",
            f"Leave out {setting('accuracy')}.",
        )
    whitening = fit_whitening(rows)
    if not len(whitening.deviations):
        raise ConfigError(
            f"the {len(rows)} embeddings are alike: a flow cannot learn from them.", "Train the space longer."
        )
    codes = whitening.forward(rows.double()).float()
    known = None if accuracies is None else accuracies.float().cpu()
    centre, scale = (0.0, 1.0) if known is None else (float(known.mean()), float(known.std()) or 1.0)
    conditions = codes[:, :0] if known is None else ((known - centre) / scale)[:, None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        velocity = _Velocity(codes.shape[1], conditions.shape[1], settings.widths)
    stopped = _train(velocity, codes, conditions, generator, settings)
    return Flow(velocity.requires_grad_(False), whitening, known, centre, scale, wanted, settings.stages, stopped)


def _train(
    velocity: nn.Module, codes: Tensor, conditions: Tensor, generator: torch.Generator, settings: FlowSettings
) -> int:
    """Train in place, keep the values that were best on held-out codes, and return their step."""
    order = torch.randperm(len(codes), generator=generator)
    held = order[: max(1, round(settings.held_out * len(codes)))]
    used = order[len(held) :]
    # The same noise and times at each look.
    again = held.repeat(-(-settings.batch // len(held)))
    looked = _pairs(codes[again], conditions[again], generator)
    optimizer = torch.optim.Adam(velocity.parameters(), settings.lr)
    best, best_step, kept = _loss(velocity, looked).item(), 0, _values(velocity)
    for step in range(1, settings.steps + 1):
        drawn = used[torch.randint(len(used), (settings.batch,), generator=generator)]
        loss = _loss(velocity, _pairs(codes[drawn], conditions[drawn], generator))
        if not torch.isfinite(loss):
            raise RunFailed(f"the flow's loss is not finite at step {step}.", "Lower its learning rate.")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % settings.look_every == 0:
            with torch.no_grad():
                now = _loss(velocity, looked).item()
            if now < best:
                best, best_step, kept = now, step, _values(velocity)
            elif step - best_step >= settings.patience * settings.look_every:
                break
    velocity.load_state_dict(kept)
    return best_step


def _pairs(codes: Tensor, conditions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points on straight paths, with times, conditions and velocities."""
    noise = torch.randn(codes.shape, generator=generator)
    times = torch.rand(len(codes), 1, generator=generator)
    return (1 - times) * noise + times * codes, times, conditions, codes - noise


def _loss(velocity: nn.Module, pairs: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    points, times, conditions, wanted = pairs
    return (velocity(points, times, conditions) - wanted).square().mean()


def _values(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}
