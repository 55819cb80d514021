"""Probes: learnt inputs that networks are run on, and their answers as tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..backbone import Run

# Most tokens that answers make; where there are more probes they share tokens.
MOST_TOKENS = 256
# Values of a field that are near zero.
NEAR = 0.1


class Probes(nn.Module):
    """Probe inputs, and the features of the answers to them.

    Args:
        count: number of probes R; shape: of one, e.g. (C, S, S).
        outputs: values K that a network answers to one probe.
    """

    def __init__(self, count: int, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.inputs = nn.Parameter(torch.randn(count, *shape))
        self.group = _group(count)
        self.outputs = outputs

    @property
    def tokens(self) -> int:
        """Number of tokens T."""
        return len(self.inputs) // self.group

    @property
    def features(self) -> int:
        """Features per token F."""
        return 2 * self.outputs * self.group

    def forward(self, run: Run, weights: Tensor) -> Tensor:
        """(B, T, F) answers of networks (B, P)."""
        return self._features(run, weights).unflatten(1, (-1, self.group)).flatten(2)

    def _features(self, run: Run, weights: Tensor) -> Tensor:
        """(B, R, 2 K)."""
        raise NotImplementedError


class ClassifierProbes(Probes):
    """Images; logits are given as signed logarithms, since they grow without bound in training, and as softmax."""

    def _features(self, run: Run, weights: Tensor) -> Tensor:
        logits = run(weights, self.inputs)
        centred = logits - logits.mean(dim=-1, keepdim=True)
        return torch.cat([centred.sign() * centred.abs().log1p(), logits.softmax(dim=-1)], dim=-1)


class FieldProbes(Probes):
    """Points; values are given as they are, and enlarged around zero, where a surface is."""

    def _features(self, run: Run, weights: Tensor) -> Tensor:
        values = run(weights, self.inputs)
        return torch.cat([values, (values / NEAR).tanh()], dim=-1)


def _group(probes: int) -> int:
    """Answers per token: the fewest that give at most MOST_TOKENS tokens."""
    return next(size for size in range(1, probes + 1) if probes % size == 0 and probes // size <= MOST_TOKENS)
