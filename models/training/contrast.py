"""The contrastive term: views of one network get similar embeddings, views of others different ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """Two linear layers that map embeddings to where they are contrasted; used only in training.

    Args:
        embedding_size: E; width: D of the hidden layer, and of what comes out.
    """

    def __init__(self, embedding_size: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(embedding_size, width)
        self.out = nn.Linear(width, width)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, E) to (B, D)."""
        projected: Tensor = self.out(F.relu(self.hidden(embeddings)))
        return projected


def nt_xent(one: Tensor, other: Tensor, *, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy of two views (SimCLR, eq. 1), mean over all 2 B.

    Each view is to find the other view of its network among all 2 B - 1 others, by cosine.

    Args:
        one, other: (B, D), row i of both of the same network.
        temperature: T > 0.
    """
    views = F.normalize(torch.cat([one, other]), dim=1)
    count = len(one)
    likeness = views @ views.T / temperature
    itself = torch.eye(2 * count, dtype=torch.bool, device=views.device)
    partners = torch.arange(2 * count, device=views.device).roll(count)
    return F.cross_entropy(likeness.masked_fill(itself, -torch.inf), partners)
