"""Feedback: an encoder that looks at what its embedding decodes to, and mends it.

One round compares a network's answers to the learnt probes with those of its predicted instance. Two things
follow from the difference: what attention makes of it, and how the embedding would have to move to lessen
it, which is the gradient. Both are one pass, need no data, and are learnt from: a round takes of the gradient, value
by value, as much as has served. (Learnt descent: Andrychowicz et al., 2016; as an encoder: functa, Dupont et al.,
2022.)

At the second order, what trains the space also sees how the gradient depends on the decoder (MAML: Finn et al.,
2017): decoders are found from which few steps lead far. A step of training takes about twice as long.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .attention import Attention

# The least gradient, squared, that is a direction and not rounding.
FLAT = 1e-20
# Of the gradient a round takes so much before it has learnt how much serves, where that is to teach the decoder.
FIRST_SHARE = 0.3


class Correction(nn.Module):
    """A round of feedback, from what differs to a change of the embedding.

    Args:
        tokens: of answers T; features: of each F.
        latents: M; values: of an embedding for each latent vector, E / M.
        share: of the gradient that it begins to take.
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

    def forward(self, latents: Tensor, wanted: Tensor, found: Tensor, descent: Tensor) -> Tensor:
        """(B, M, D) latents of the first look, twice (B, T, F) answers, and the (B, E) `descent` to (B, E)."""
        tokens = self.read(torch.cat([wanted, found, wanted - found], dim=-1)) + self.positions
        descent = descent.unflatten(1, self.share.shape)  # (B, M, E / M)
        length = descent.square().mean(dim=(1, 2), keepdim=True).sqrt()
        latents = latents + self.read_descent(descent / (length + FLAT))
        latents = self.gather(latents, tokens)
        return (self.write(self.norm(self.mix(latents, latents))) + self.share * descent).flatten(1)


class GradientStep(nn.Module):
    """A round of feedback that follows the gradient alone, value by value as far as has served.

    Args:
        size: E; share: of the gradient that it begins to take.
    """

    def __init__(self, size: int, *, share: float) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.full((size,), share))

    def forward(self, descent: Tensor) -> Tensor:
        """(B, E) to (B, E)."""
        return self.share * descent


def _twice_differentiable(wanted: bool) -> AbstractContextManager[None]:
    """Attention by plain products where gradients of gradients are wanted: the fused kernels have none."""
    return sdpa_kernel(SDPBackend.MATH) if wanted else nullcontext()


def differences(
    answer: Callable[[Tensor], Tensor], embeddings: Tensor, wanted: Tensor, *, second_order: bool = False
) -> tuple[Tensor, Tensor]:
    """What embeddings answer, and how they would have to move to answer as wanted.

    Args:
        answer: from embeddings (B, E) to their predicted instances' answers (B, T, F), each row by itself.
        embeddings: (B, E); wanted: (B, T, F).
        second_order: whether gradients go through the movement, where any are asked for at all.
    Returns:
        (B, T, F) answers and (B, E): minus the gradient of the mean squared difference, as long as would bring the
        difference to zero if it fell evenly (Polyak's step). Answers and length are constants, and without
        `second_order` so is the direction.
    """
    through = second_order and torch.is_grad_enabled()
    with torch.enable_grad(), _twice_differentiable(through):
        at = embeddings if through and embeddings.requires_grad else embeddings.detach().requires_grad_(True)
        found = answer(at)
        difference = (found - wanted.detach()).square().mean(dim=(1, 2))
        (gradient,) = torch.autograd.grad(difference.sum(), at, create_graph=through)
    length = difference.detach() / (gradient.detach().square().sum(dim=1) + FLAT)
    return found.detach(), -gradient * length[:, None]
