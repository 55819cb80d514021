"""The `[backbone]` table of the tokens backbone, and the choice of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import torch
from annotated_types import Ge, Le
from torch import nn

from ...errors import ConfigError
from ...heads import MLPHead
from ...network_io import NetworkIO
from ..backbone import ArchitectureInit
from ..settings import MOST_PARTS, BackboneSettings, Count, Parts, Positive, Settings
from .backbone import TokensBackbone
from .chunks import Chunks
from .directions import LowRankDirections
from .feedback import FIRST_SHARE, AttendingCorrection, Correction, Feedback, GradientCorrection
from .head import ArchitectureHead, DirectPath, starting_biases
from .old_names import translated
from .probes import ClassifierProbes, FieldProbes, Probes
from .reader import AnswerTokens, AttendingReader, ChunkPositions, ConstantReader, Reader, WeightTokens
from .sketch import SketchPath
from .solving import Solving
from .writer import AttendingWriter, DirectWriter, Writer


@dataclass(frozen=True)
class ReaderSettings(Settings):
    """`[backbone.reader]`: what the encoder reads.

    Attributes:
        kind: "weights", and answers where there are probes; "answers" alone, so that an embedding depends on nothing
            but what the network computes; or "constant": the first embedding is the same for all networks, and feedback
            follows the gradient alone.
        probes: number of inputs that networks are run on, learnt with the rest; at 0 networks are read, not run.
    """

    kind: Literal["weights", "answers", "constant"] = "weights"
    probes: Count = 64


@dataclass(frozen=True)
class WriterSettings(Settings):
    """`[backbone.writer]`: what the decoder adds to the direct path.

    Attributes:
        kind: "attention"; or "direct" for nothing, so that weights are linear in the embedding.
    """

    kind: Literal["attention", "direct"] = "attention"


@dataclass(frozen=True)
class DirectSettings(Settings):
    """`[backbone.direct]`: the direct path from the embedding to every weight.

    Attributes:
        kind: directions of the weights: "sketch", random ones; "curvature", those in which changes of each layer show
            most; or "learnt", which begin as those and are learnt.
        gain: factor of this path; 0 turns it off.
    """

    kind: Literal["sketch", "curvature", "learnt"] = "sketch"
    gain: Annotated[float, Ge(0)] = 1.0


@dataclass(frozen=True)
class FeedbackSettings(Settings):
    """`[backbone.feedback]`: how the encoder corrects an embedding by what it decodes to.

    Attributes:
        rounds: number of corrections.
        second_order: let training see through the gradients that feedback follows.
    """

    rounds: Annotated[int, Ge(0), Le(MOST_PARTS)] = 0
    second_order: bool = False


@dataclass(frozen=True)
class SolveSettings(Settings):
    """`[backbone.solve]`: how embeddings of neural fields are solved for at the end.

    Attributes:
        steps: Gauss-Newton steps towards the network's values; 0 for none. Training does not use them.
        points: number of points at which these values are taken.
        near_surface_share: for signed distances, the share of points where values are nearest to zero.
    """

    steps: Count = 0
    points: Positive = 8192
    near_surface_share: Annotated[float, Ge(0), Le(1)] = 0.0


@dataclass(frozen=True)
class TokensSettings(BackboneSettings):
    """Sizes and parts of the tokens backbone.

    Attributes:
        embedding_size: values of an embedding E, a multiple of `latents`.
        latents: number of latent vectors M.
        chunk: weights of a token C.
        width: width D of the encoder and the decoder.
        depth: rounds of cross- and self-attention in the encoder.
        heads: heads of each attention.
        reader, writer, direct, feedback, solve: tables.
    """

    kind: Literal["tokens"] = "tokens"
    embedding_size: Positive = 4096
    latents: Positive = 32
    chunk: Positive = 256
    width: Positive = 128
    depth: Parts = 2
    heads: Positive = 4
    reader: ReaderSettings = ReaderSettings()
    writer: WriterSettings = WriterSettings()
    direct: DirectSettings = DirectSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    solve: SolveSettings = SolveSettings()

    def build(self, inits: Mapping[str, ArchitectureInit], io: NetworkIO) -> TokensBackbone:
        """Build the backbone from its parts.

        What is drawn at random is drawn in this order: a seed gives the same values for ever.
        """
        self._check(solvable=self.solvable and not io.labelled)
        positions: list[ChunkPositions] = []
        queries: list[nn.Parameter] = []
        heads: dict[str, ArchitectureHead] = {}
        for name, init in inits.items():
            chunks = Chunks(init.spec, self.chunk)
            count = len(chunks)
            if self.reader.kind == "weights":
                positions.append(ChunkPositions(count, len(init.spec.layers), self.width))
            if self.writer.kind == "attention":
                queries.append(nn.Parameter(torch.randn(count, self.width)))
            biases = starting_biases(name, init, chunks)
            heads[name] = ArchitectureHead(init, chunks, biases, self._direct_path(name, init), gain=self.direct.gain)
        weights = WeightTokens(positions, self.chunk, self.width) if self.reader.kind == "weights" else None
        probes = self._probes(io) if self.reader.probes else None
        reader = self._reader(weights, probes)
        writer = self._writer(queries)
        rounds = [self._correction(probes) for _ in range(self.feedback.rounds)] if probes is not None else []
        solve = self.solve
        return TokensBackbone(
            self.embedding_size,
            heads,
            reader,
            writer,
            Feedback(rounds, second_order=self.feedback.second_order),
            probes,
            Solving(solve.steps, solve.points, solve.near_surface_share) if solve.steps else None,
        )

    def build_head(self, architectures: int) -> nn.Module:
        return MLPHead(self.embedding_size, architectures)

    def _direct_path(self, name: str, init: ArchitectureInit) -> DirectPath:
        if self.direct.kind == "sketch":
            return SketchPath(name, init.spec.size, self.embedding_size)
        learnt = self.direct.kind == "learnt"
        loaded = init.start is None
        return LowRankDirections(init.spec, self.embedding_size, init.moments, learnt=learnt, loaded=loaded)

    def _probes(self, io: NetworkIO) -> Probes:
        kind = ClassifierProbes if io.logits else FieldProbes
        return kind(self.reader.probes, io.input_shape, io.outputs)

    def _reader(self, weights: WeightTokens | None, probes: Probes | None) -> Reader:
        if self.reader.kind == "constant":
            return ConstantReader(self.embedding_size)
        sources: dict[str, nn.Module] = {}
        if weights is not None:
            sources["weights"] = weights
        if probes is not None:
            sources["answers"] = AnswerTokens(probes.tokens, probes.features, self.width)
        return AttendingReader(
            sources,
            latents=self.latents,
            values=self._values,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
        )

    def _writer(self, queries: Sequence[nn.Parameter]) -> Writer:
        if self.writer.kind == "direct":
            return DirectWriter()
        return AttendingWriter(
            queries,
            latents=self.latents,
            values=self._values,
            chunk=self.chunk,
            width=self.width,
            heads=self.heads,
        )

    def _correction(self, probes: Probes) -> Correction:
        share = FIRST_SHARE if self.feedback.second_order else 0.0
        if self.reader.kind == "constant":
            return GradientCorrection(self.embedding_size, share=share)
        return AttendingCorrection(
            probes.tokens,
            probes.features,
            width=self.width,
            heads=self.heads,
            latents=self.latents,
            values=self._values,
            share=share,
        )

    @property
    def _values(self) -> int:
        """Embedding values per latent vector."""
        return self.embedding_size // self.latents

    def _check(self, *, solvable: bool) -> None:
        """Refuse sizes and parts that cannot be combined."""
        sizes = {name: getattr(self, name) for name in ("latents", "chunk", "width", "depth", "heads")}
        if min(self.embedding_size, *sizes.values()) < 1:
            named = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ConfigError(
                f"sizes of the tokens backbone must be 1 or more, not embedding_size {self.embedding_size}, {named}.",
                "Choose larger ones.",
            )
        if self.embedding_size % self.latents or self.width % self.heads:
            raise ConfigError(
                f"an embedding of {self.embedding_size} values cannot be cut into {self.latents} latents, "
                f"or a width of {self.width} into {self.heads} heads.",
                "Choose sizes that divide.",
            )
        self._check_encoder(solvable=solvable)

    def _check_encoder(self, *, solvable: bool) -> None:
        kind, probes, rounds = self.reader.kind, self.reader.probes, self.feedback.rounds
        some = "Give some: backbone.reader.probes = 64."
        if kind == "answers" and not probes:
            raise ConfigError("an encoder that reads only answers needs probes, not 0.", some)
        if rounds and not probes:
            raise ConfigError("feedback compares answers, so it needs probes, not 0.", some)
        if self.solve.steps and not solvable:
            raise ConfigError(
                "solving needs neural fields, and a decoder that writes along directions.",
                "Set backbone.solve.steps to 0; or backbone.direct.kind to 'learnt'.",
            )
        if kind == "constant" and not rounds:
            raise ConfigError(
                "an encoder that reads nothing gives all networks the same embedding.",
                "Add feedback (backbone.feedback.rounds = 3), or set backbone.reader.kind to 'answers'.",
            )
        if rounds < 0:
            raise ConfigError(f"feedback cannot have {rounds} rounds.", "Give 0 or more: backbone.feedback.rounds.")

    @classmethod
    def translate(cls, table: Mapping[str, Any]) -> dict[str, Any]:
        return translated(table)

    @property
    def needs_curvature(self) -> bool:
        return self.direct.kind != "sketch"

    @property
    def has_starts(self) -> bool:
        return True

    @property
    def solvable(self) -> bool:
        return self.direct.kind != "sketch" and self.direct.gain > 0

    def describe_decoder(self) -> str:
        return f"the {self.kind} backbone, direct.kind {self.direct.kind!r}, gain {self.direct.gain:g}"

    @property
    def granularity(self) -> tuple[str, int]:
        return "latents", self.latents

    def with_embedding_size(self, size: int) -> Self:
        most = min(self.latents, size)
        return replace(self, embedding_size=size, latents=max(n for n in range(1, most + 1) if size % n == 0))

    def settings_to_lower(self, by_weights: bool) -> tuple[str, ...]:
        if by_weights:
            return "backbone.width", "backbone.chunk"
        return "train.images", "backbone.reader.probes"
