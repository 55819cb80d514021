"""The attention block of the token backbones."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Pre-norm multi-head attention and feed-forward layer with residuals; queries may differ from the context."""

    def __init__(self, width: int, *, heads: int, expansion: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm_queries, self.norm_context = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_out = nn.LayerNorm(width)
        self.to_queries, self.to_context = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.merge = nn.Linear(width, width)
        self.forward_in = nn.Linear(width, expansion * width)
        self.forward_out = nn.Linear(expansion * width, width)

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """Attend from queries (B, M, D), or (1, M, D) for all, to context (B, N, D): (B, M, D)."""
        q = self._split(self.to_queries(self.norm_queries(queries))).expand(len(context), -1, -1, -1)
        k, v = (self._split(t) for t in self.to_context(self.norm_context(context)).chunk(2, dim=-1))
        gathered = F.scaled_dot_product_attention(q, k, v)  # (B, heads, M, D / heads)
        x = queries + self.merge(gathered.transpose(1, 2).flatten(2))
        return x + self.forward_out(F.gelu(self.forward_in(self.norm_out(x))))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
