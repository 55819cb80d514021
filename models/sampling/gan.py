"""A small generative adversarial network on embeddings, like the published S_GAN.

Its sizes are not known from the publication. Here the generator is trained with the non-saturating loss (Goodfellow et
al., 2014, section 3), the discriminator with a gradient penalty on real codes (Mescheder et al., 2018, R1), which keeps
so few codes from being learnt by heart at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError, RunFailed
from .density import checked_rows
from .whitening import Whitening, fit_whitening


@dataclass(frozen=True)
class GanSettings:
    """Settings of a GAN and its training.

    Attributes:
        noise: values that the generator makes an embedding of.
        widths: of the hidden layers of both networks.
        steps: of Adam for each of them; lr: its rate.
        batch: codes a step.
        penalty: weight of the squared gradient at real codes.
    """

    noise: int = 32
    widths: tuple[int, ...] = (128, 128)
    steps: int = 600
    lr: float = 5e-4
    batch: int = 64
    penalty: float = 1.0


@dataclass(frozen=True, eq=False)
class Gan:
    """A learnt generator.

    Attributes:
        generator: from noise (B, noise) to codes.
        whitening: between embeddings and codes.
        noise: how many values.
    """

    generator: nn.Module
    whitening: Whitening
    noise: int

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw one embedding (E,)."""
        with torch.no_grad():
            codes = self.generator(torch.randn(1, self.noise, generator=generator))
        return self.whitening.back(codes.double())[0].float()


def fit_gan(rows: Tensor, generator: torch.Generator, settings: GanSettings | None = None) -> Gan:
    """Learn a generator of rows (N, E).

    Args:
        generator: of all randomness.
    Raises:
        ConfigError: fewer than two rows, or rows that are all alike.
        RunFailed: a loss is not finite.
    """
    settings = settings or GanSettings()
    rows = checked_rows(rows, "a GAN")
    whitening = fit_whitening(rows)
    size = len(whitening.deviations)
    if not size:
        raise ConfigError(
            f"the {len(rows)} embeddings are alike: a GAN cannot learn from them.", "Train the space longer."
        )
    codes = whitening.forward(rows.double()).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        maker = _perceptron(settings.noise, settings.widths, size)
        judge = _perceptron(size, settings.widths, 1)
    _train(maker, judge, codes, generator, settings)
    return Gan(maker.requires_grad_(False), whitening, settings.noise)


def _perceptron(inputs: int, widths: Sequence[int], outputs: int) -> nn.Sequential:
    hidden = [layer for a, b in pairwise((inputs, *widths)) for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], outputs))


def _train(
    maker: nn.Module, judge: nn.Module, codes: Tensor, generator: torch.Generator, settings: GanSettings
) -> None:
    makes, judges = (torch.optim.Adam(each.parameters(), settings.lr, betas=(0.5, 0.99)) for each in (maker, judge))
    for step in range(settings.steps):
        real = codes[torch.randint(len(codes), (settings.batch,), generator=generator)].requires_grad_(True)
        made = maker(torch.randn(settings.batch, settings.noise, generator=generator))
        opinion = judge(real)
        (slope,) = torch.autograd.grad(opinion.sum(), real, create_graph=True)
        penalty = settings.penalty / 2 * slope.square().sum(1).mean()
        told = F.softplus(-opinion).mean() + F.softplus(judge(made.detach())).mean() + penalty
        _step(judges, told)
        fooled = F.softplus(-judge(made)).mean()
        _step(makes, fooled)
        if not torch.isfinite(told + fooled):
            raise RunFailed(f"the GAN's loss is not finite at step {step + 1}.", "Lower its learning rate.")


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
