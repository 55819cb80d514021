"""The neurons backbone: one token per neuron, transformers, and one latent between them.

After "Hyper-Representations as Generative Models" (NeurIPS 2022). In: the incoming weights and the bias of each output
neuron or kernel are a token, embedded by a linear layer of its layer's; blocks of self-attention; all tokens together
through one linear layer to the embedding. Out: a linear layer to as many tokens, blocks of self-attention again, and a
linear layer for each layer's rows. Several architectures share the blocks; all else each has for itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from ...parameters.spec import NetworkSpec
from ..attention import Attention
from ..backbone import Backbone
from .architecture import ArchitectureTokens


class Blocks(nn.Module):
    """Pre-norm transformer blocks of self-attention, with a final norm.

    There is no dropout: its draws would not come from the step's generator.
    """

    def __init__(self, width: int, *, depth: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Attention(width, heads=heads, expansion=expansion) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform tokens (B, T, D) to (B, T, D)."""
        for block in self.blocks:
            tokens = block(tokens, tokens)
        normed: Tensor = self.norm(tokens)
        return normed


class NeuronsBackbone(Backbone):
    """Encode tokens of neurons as one latent, and decode them again.

    Args:
        embedding_size: E.
        architectures: what it has of each, by name.
        reader, writer: (B, T, D) to (B, T, D), for any T.
        bounded: whether embeddings are kept between -1 and 1 by a tanh.
    """

    def __init__(
        self,
        embedding_size: int,
        architectures: Mapping[str, ArchitectureTokens],
        reader: nn.Module,
        writer: nn.Module,
        *,
        bounded: bool,
    ) -> None:
        super().__init__()
        self.embedding_size, self.bounded = embedding_size, bounded
        self.specs: Mapping[str, NetworkSpec] = {name: own.spec for name, own in architectures.items()}
        # Names of architectures may hold dots and colons, which module names may not.
        self.index = {name: i for i, name in enumerate(architectures)}
        self.own = nn.ModuleList(architectures.values())
        self.reader, self.writer = reader, writer

    def of(self, arch: str) -> ArchitectureTokens:
        """The parts for one architecture."""
        own = self.own[self.index[arch]]
        assert isinstance(own, ArchitectureTokens)
        return own

    def encode(self, arch: str, weights: Tensor) -> Tensor:
        own = self.of(arch)
        embeddings = own.embed(self.reader(own.tokens(weights)))
        return embeddings.tanh() if self.bounded else embeddings

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        self.check_start(arch, start)
        own = self.of(arch)
        return own.weights(self.writer(own.unfold(embeddings)))

    def starts(self, archs: Collection[str]) -> list[tuple[nn.Parameter, float]]:
        """Starting points, if the decoder has them, in the units that weights are written in."""
        own = [self.of(arch) for arch in archs]
        return [(each.start, 1 / float(each.sigma().mean())) for each in own if each.start is not None]
