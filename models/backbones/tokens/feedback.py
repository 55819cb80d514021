"""Feedback: compare a network with what its embedding decodes to, and correct the embedding.

One round compares a network's answers to the learnt probes with those of its predicted instance. Two things
follow from the difference: what attention makes of it, and how the embedding would have to move to lessen
it, which is the gradient. Both are one pass, need no data, and are learnt from: a round takes of the gradient, value
by value, as much as has served. (Learnt descent: Andrychowicz et al., 2016; as an encoder: functa, Dupont et al.,
2022.)

At the second order, what trains the space also sees how the gradient depends on the decoder (MAML: Finn et al.,
2017): decoders are found from which few steps lead far. A step of training takes about twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..attention import Attention

# Added to squared gradients: below it there is rounding, not a direction.
FLAT = 1e-20
# Share of the gradient that a round takes before it has learnt how much serves, where it is to teach the decoder.
FIRST_SHARE = 0.3


class Correction(nn.Module):
    """One round of feedback: turns differences of answers into a change of the embedding."""

    def forward(self, latents: Tensor, answers: Tensor, predicted: Tensor, descent: Tensor) -> Tensor:
        """Compute the change (B, E).

        Args:
            latents: (B, M, D) of the reader.
            answers, predicted: (B, T, F) of the networks and of their predicted instances.
            descent: (B, E) as in `differences`.
        """
        raise NotImplementedError


class AttendingCorrection(Correction):
    """A round that attends to the answers, and also follows the gradient with a learnt step per value.

    Args:
        tokens: of answers T; features: of each F.
        latents: M; values: of an embedding for each latent vector, E / M.
        share: of the gradient that it takes before it has learnt.
    """

    def __init__(
        self, tokens: int, features: int, *, width: int, heads: int, latents: int, values: int, share: float = 0.0
    ) -> None:
        super().__init__()
        self.read = nn.Linear(3 * features, width)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.read_descent = nn.Linear(values, width)
        self.gather, self.mix = Attention(width, heads=heads), Attention(width, heads=heads)
        self.norm = nn.LayerNorm(width)
        self.write = nn.Linear(width, values)
        self.share = nn.Parameter(torch.full((latents, values), share))
        with torch.no_grad():  # begin with no change
            self.write.weight.zero_()
            self.write.bias.zero_()

    def forward(self, latents: Tensor, answers: Tensor, predicted: Tensor, descent: Tensor) -> Tensor:
        tokens = self.read(torch.cat([answers, predicted, answers - predicted], dim=-1)) + self.positions
        descent = descent.unflatten(1, self.share.shape)  # (B, M, E / M)
        length = descent.square().mean(dim=(1, 2), keepdim=True).sqrt()
        latents = latents + self.read_descent(descent / (length + FLAT))
        latents = self.gather(latents, tokens)
        return (self.write(self.norm(self.mix(latents, latents))) + self.share * descent).flatten(1)


class GradientCorrection(Correction):
    """A round that only follows the gradient, with a learnt step per value.

    Args:
        size: E; share: of the gradient that it takes before it has learnt.
    """

    def __init__(self, size: int, *, share: float) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.full((size,), share))

    def forward(self, latents: Tensor, answers: Tensor, predicted: Tensor, descent: Tensor) -> Tensor:
        return self.share * descent


class Feedback(nn.Module):
    """All rounds of feedback, in order.

    Args:
        corrections: a round each.
        second_order: whether training sees through the gradients that are followed.
    """

    def __init__(self, corrections: Sequence[Correction], *, second_order: bool) -> None:
        super().__init__()
        self.corrections = nn.ModuleList(corrections)
        self.second_order = second_order

    def forward(
        self, predict: Callable[[Tensor], Tensor], latents: Tensor, answers: Tensor, embeddings: Tensor
    ) -> Tensor:
        """Correct embeddings: (B, E).

        Args:
            predict: from embeddings (B, E) to their predicted instances' answers (B, T, F).
            latents: (B, M, D); answers: (B, T, F) of the networks themselves; embeddings: (B, E) of the reader.
        """
        for correction in self.corrections:
            predicted, descent = differences(predict, embeddings, answers, second_order=self.second_order)
            embeddings = embeddings + correction(latents, answers, predicted, descent)
        return embeddings


def _twice_differentiable(needed: bool) -> AbstractContextManager[None]:
    """Compute attention by plain products where second derivatives are needed: fused kernels have none."""
    return sdpa_kernel(SDPBackend.MATH) if needed else nullcontext()


def differences(
    predict: Callable[[Tensor], Tensor], embeddings: Tensor, answers: Tensor, *, second_order: bool = False
) -> tuple[Tensor, Tensor]:
    """Answers of predicted instances, and the step of embeddings towards the networks' answers.

    Args:
        predict: from embeddings (B, E) to their predicted instances' answers (B, T, F), each row by itself.
        embeddings: (B, E); answers: (B, T, F) of the networks themselves.
        second_order: whether gradients go through the movement, if gradients are needed at all.
    Returns:
        (B, T, F) answers and (B, E): minus the gradient of the mean squared difference, as long as would bring the
        difference to zero if it fell evenly (Polyak's step). Answers and length are constants, and without
        `second_order` so is the direction.
    """
    through = second_order and torch.is_grad_enabled()
    with torch.enable_grad(), _twice_differentiable(through):
        at = embeddings if through and embeddings.requires_grad else embeddings.detach().requires_grad_(True)
        predicted = predict(at)
        loss = (predicted - answers.detach()).square().mean(dim=(1, 2))
        (gradient,) = torch.autograd.grad(loss.sum(), at, create_graph=through)
    # Polyak's step: loss / |gradient|^2 along the gradient.
    length = loss.detach() / (gradient.detach().square().sum(dim=1) + FLAT)
    return predicted.detach(), -gradient * length[:, None]
