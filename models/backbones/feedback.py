"""Feedback: an encoder that looks at what its embedding decodes to, and mends it.

One round compares a network's answers to the learnt probes with those of its predicted instance. Two things
follow from the difference: what attention makes of it, and how the embedding would have to move to lessen
it, which is the gradient. Both are one pass, need no data, and are learnt from: a round takes of the gradient, value
by value, as much as has served. (Learnt descent: Andrychowicz et al., 2016; as an encoder: functa, Dupont et al.,
2022.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .attention import Attention

# The least gradient, squared, that is a direction and not rounding.
FLAT = 1e-20


class Correction(nn.Module):
    """A round of feedback, from what differs to a change of the embedding.

    Args:
        tokens: of answers T; features: of each F.
        latents: M; values: of an embedding for each latent vector, E / M.
    """

    def __init__(self, tokens: int, features: int, *, width: int, heads: int, latents: int, values: int) -> None:
        super().__init__()
        self.read = nn.Linear(3 * features, width)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.read_descent = nn.Linear(values, width)
        self.gather, self.mix = Attention(width, heads=heads), Attention(width, heads=heads)
        self.norm = nn.LayerNorm(width)
        self.write = nn.Linear(width, values)
        self.share = nn.Parameter(torch.zeros(latents, values))
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


def differences(answer: Callable[[Tensor], Tensor], embeddings: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """What embeddings answer, and how they would have to move to answer as wanted.

    Args:
        answer: from embeddings (B, E) to their predicted instances' answers (B, T, F), each row by itself.
        embeddings: (B, E); wanted: (B, T, F).
    Returns:
        (B, T, F) answers and (B, E): minus the gradient of the mean squared difference, as long as would bring the
        difference to zero if it fell evenly (Polyak's step). Both are constants: no gradient goes through them.
    """
    with torch.enable_grad():
        at = embeddings.detach().requires_grad_(True)
        found = answer(at)
        difference = (found - wanted.detach()).square().mean(dim=(1, 2))
        (gradient,) = torch.autograd.grad(difference.sum(), at)
    length = difference.detach() / (gradient.square().sum(dim=1) + FLAT)
    return found.detach(), -gradient * length[:, None]
