"""The tokens backbone: networks read and asked, and written, by attention.

In: each chunk of a layer's weights, each layer's statistics, and each of the network's answers to a few
learnt probe inputs is a token; a few latent vectors gather them (cross-attention, then self-attention).
The answers do not depend on the order of hidden units, and tell what the network computes.

Out: the embedding is cut into latent vectors again, a learnt query for each chunk of each architecture
gathers them, and

    weight i = sigma_layer · (bias i + attention i + gain · sign(i) · z[hash(i)])

where the last term is the sketch (sketch.py) and the bias starts at a training instance. In place of the sketch
there can be the directions in which changes of each layer show most (bases.py).

Either side may do with less: an encoder that reads nothing begins at the same embedding for every network and goes
by feedback alone (feedback.py); a direct decoder has no attention. Networks that are signals can be solved for in
the end (solving.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import vmap

from ..errors import ConfigError
from ..spec import NetworkSpec
from .attention import Attention
from .base import ArchitectureInit, Backbone, Directions
from .codecs import STATISTICS, ArchitectureCodec
from .feedback import FIRST_SHARE, Correction, GradientStep, differences
from .solving import Solving

# Tokens that tell answers; more probes share them.
MOST_ANSWERS = 256
# Values of a signal that are near zero.
NEAR = 0.1


def _group(probes: int) -> int:
    """Answers that one token tells: as few as leave MOST_ANSWERS tokens at most."""
    return next(size for size in range(1, probes + 1) if probes % size == 0 and probes // size <= MOST_ANSWERS)


def _of_logits(answers: Tensor) -> Tensor:
    """(B, R, K) to (B, R, 2 K): logits grow without bound as training goes on; their signed logarithm does not."""
    centred = answers - answers.mean(dim=-1, keepdim=True)
    return torch.cat([centred.sign() * centred.abs().log1p(), answers.softmax(dim=-1)], dim=-1)


def _of_values(answers: Tensor) -> Tensor:
    """(B, R, K) to (B, R, 2 K): values as they are, and enlarged about zero, where a surface lies."""
    return torch.cat([answers, (answers / NEAR).tanh()], dim=-1)


def _check_sizes(embedding_size: int, latents: int, *, chunk: int, width: int, depth: int, heads: int) -> None:
    if min(embedding_size, latents, chunk, width, depth, heads) < 1:
        raise ConfigError(
            f"sizes of the tokens backbone must be 1 or more, not embedding_size {embedding_size}, "
            f"latents {latents}, chunk {chunk}, width {width}, depth {depth}, heads {heads}.",
            "Choose larger ones.",
        )
    if embedding_size % latents or width % heads:
        raise ConfigError(
            f"an embedding of {embedding_size} values cannot be cut into {latents} latents, "
            f"or a width of {width} into {heads} heads.",
            "Choose sizes that divide.",
        )


def _check_asking(read: str, *, probes: int, feedback: int, solve: int, solvable: bool) -> None:
    if read == "answers" and not probes:
        raise ConfigError("an encoder of answers alone needs probes, not 0.", "Give some: backbone.probes = 64.")
    if feedback and not probes:
        raise ConfigError("feedback compares answers, so it needs probes, not 0.", "Give some: backbone.probes = 64.")
    if solve and not solvable:
        raise ConfigError(
            "only networks that are signals can be solved for, by decoders that write along directions.",
            "Set backbone.solve to 0; or backbone.path to 'learnt'.",
        )
    if read == "none" and not feedback:
        raise ConfigError(
            "an encoder that reads nothing gives all networks the same embedding to learn from.",
            "Let it ask: backbone.feedback = 3; or set backbone.read to 'answers'.",
        )
    if feedback < 0:
        raise ConfigError(f"there cannot be {feedback} rounds of feedback.", "Give 0 or more: backbone.feedback.")


class TokensBackbone(Backbone):
    """Attention over chunks in, attention over latents and a sketch out.

    Args:
        architectures: what is known of each.
        embedding_size: E = latents x values a latent.
        latents: number of latent vectors M.
        chunk: weights a token C.
        width: of the encoder and the decoder D.
        depth: rounds of cross- and self-attention in the encoder.
        heads: of every attention.
        path: the embedding's own way to every weight: "sketch"; "curvature" for the directions in which
            changes of each layer show most; or "learnt" for directions that begin as those and are learnt.
        gain: of that path (0 turns it off).
        read: "all", weights and answers; or "answers" alone: then an embedding does not depend on the order of
            hidden units, or on anything else but what the network computes; or "none": the first embedding is the
            same for all networks, and feedback follows the gradient alone.
        write: "all", or "direct" for the embedding's own way alone: then weights are linear in the embedding.
        feedback: so many times the encoder also asks what its embedding decodes to, and corrects itself by the
            difference (feedback.py).
        second_order: whether training sees through the gradients that feedback follows.
        solve: of networks that are signals, Gauss-Newton steps on the embedding at the end towards the network's
            values (solving.py). Training goes without them.
        solve_points: where each network is asked for its values then.
        solve_near: share of these points that are where its values are nearest to zero, of signed distances.
        probes: number of probe inputs R (0: networks are read, not run).
        probe_shape: of one probe input, e.g. (C, S, S).
        outputs: values K that a network answers to one probe.
        values: whether these are values of a signal, not logits.
    Raises:
        ConfigError: sizes that do not divide, or a layer whose scale is not above zero.
    """

    def __init__(
        self,
        architectures: Mapping[str, ArchitectureInit],
        *,
        embedding_size: int = 4096,
        latents: int = 32,
        chunk: int = 256,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        path: str = "sketch",
        gain: float = 1.0,
        read: str = "all",
        write: str = "all",
        feedback: int = 0,
        second_order: bool = False,
        solve: int = 0,
        solve_points: int = 8192,
        solve_near: float = 0.0,
        probes: int = 0,
        probe_shape: tuple[int, ...] = (),
        outputs: int = 0,
        values: bool = False,
    ) -> None:
        super().__init__()
        _check_sizes(embedding_size, latents, chunk=chunk, width=width, depth=depth, heads=heads)
        solvable = values and path != "sketch" and gain > 0
        _check_asking(read, probes=probes, feedback=feedback, solve=solve, solvable=solvable)
        self.embedding_size, self.gain, self.values = embedding_size, gain, values
        self.read, self.write = read, write
        self.second_order, self.solving = second_order, Solving(solve, solve_points, solve_near)
        self.specs: Mapping[str, NetworkSpec] = {n: a.spec for n, a in architectures.items()}
        # Names of architectures may hold dots and colons, which module names may not.
        self.place = {name: i for i, name in enumerate(architectures)}
        self.codecs = nn.ModuleList(
            ArchitectureCodec(
                n, a, chunk=chunk, width=width, embedding_size=embedding_size, path=path, read=read, write=write
            )
            for n, a in architectures.items()
        )
        if read == "all":
            self.read_chunk, self.read_statistics = nn.Linear(chunk, width), nn.Linear(STATISTICS, width)
        self.runs = [a.run for a in architectures.values()]
        self.asked = [a.architecture for a in architectures.values()]
        self.probes = nn.Parameter(torch.randn(probes, *probe_shape)) if probes else None
        share, of_each = FIRST_SHARE if second_order else 0.0, embedding_size // latents
        if probes:
            self.group = _group(probes)
        if read == "none":
            self.first = nn.Parameter(torch.zeros(embedding_size))
            self.corrections = nn.ModuleList(GradientStep(embedding_size, share=share) for _ in range(feedback))
        else:
            if probes:
                self.read_answer = nn.Linear(2 * outputs * self.group, width)
                self.probe_positions = nn.Parameter(0.02 * torch.randn(probes // self.group, width))
            self.start = nn.Parameter(torch.randn(latents, width))
            self.gather = nn.ModuleList(Attention(width, heads=heads) for _ in range(depth))
            self.mix = nn.ModuleList(Attention(width, heads=heads) for _ in range(depth))
            self.norm_latents = nn.LayerNorm(width)
            self.to_embedding = nn.Linear(width, of_each)
        if write == "all":
            self.from_embedding = nn.Linear(embedding_size // latents, width)
            self.latent_positions = nn.Parameter(0.02 * torch.randn(latents, width))
            self.unmix = Attention(width, heads=heads)
            self.spread = Attention(width, heads=heads)
            self.norm_chunks = nn.LayerNorm(width)
            self.write_chunk = nn.Linear(width, chunk)
        if read != "none":
            tokens, features = (probes // self.group, 2 * outputs * self.group) if probes else (0, 0)
            self.corrections = nn.ModuleList(
                Correction(tokens, features, width=width, heads=heads, latents=latents, values=of_each, share=share)
                for _ in range(feedback)
            )
        self._start_small()

    def _start_small(self) -> None:
        """Before training every embedding is short, so that decoding gives each architecture's start."""
        with torch.no_grad():
            if self.read != "none":
                self.to_embedding.weight.mul_(0.1)
                self.to_embedding.bias.zero_()
            if self.write == "all":
                self.write_chunk.weight.mul_(0.1)
                self.write_chunk.bias.zero_()

    def starts(self, archs: Collection[str]) -> list[tuple[nn.Parameter, float]]:
        """The bias of each, which is in units of its layers' deviations."""
        codecs = [self.codec(arch) for arch in archs]
        return [(codec.bias, 1 / float(codec.sigma().mean())) for codec in codecs]

    def directions(self, arch: str) -> Mapping[str, Directions] | None:
        codec = self.codec(arch)
        if codec.bases is None or not self.gain:
            return None
        sigma = {p.name: self.gain * codec.sigma()[p.offset] for p in codec.spec.parameters}
        known = codec.bases.directions()
        return {name: (sigma[name] * left, right, places) for name, (left, right, places) in known.items()}

    def codec(self, arch: str) -> ArchitectureCodec:
        """What is learnt for one architecture."""
        codec = self.codecs[self.place[arch]]
        assert isinstance(codec, ArchitectureCodec)
        return codec

    def encode(self, arch: str, vectors: Tensor) -> Tensor:
        answers = self._answers(arch, vectors)
        latents, embeddings = self._first_look(arch, vectors, answers)
        if answers is not None:
            for correction in self.corrections:
                found, descent = differences(
                    partial(self._predicted_answers, arch), embeddings, answers, second_order=self.second_order
                )
                change = correction(descent) if latents is None else correction(latents, answers, found, descent)
                embeddings = embeddings + change
        architecture = self.asked[self.place[arch]]
        if not self.solving.steps or self.training or architecture is None:
            return embeddings
        directions = self.directions(arch)
        assert directions is not None  # refused otherwise
        return self.solving.solve(architecture, partial(self.decode, arch), directions, vectors, embeddings)

    def _first_look(self, arch: str, vectors: Tensor, answers: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """(B, M, D) latents, None where nothing is read, and (B, E) embeddings."""
        if self.read == "none":
            return None, self.first.expand(len(vectors), -1)
        told = [] if answers is None else [self.read_answer(answers) + self.probe_positions]
        tokens = torch.cat([*self._weights(arch, vectors), *told], dim=1)  # (B, N + L + R, D)
        latents = self.start.expand(len(vectors), -1, -1)
        for gather, mix in zip(self.gather, self.mix, strict=True):
            latents = gather(latents, tokens)
            latents = mix(latents, latents)
        return latents, self.to_embedding(self.norm_latents(latents)).flatten(1)

    def _predicted_answers(self, arch: str, embeddings: Tensor) -> Tensor:
        answers = self._answers(arch, self.decode(arch, embeddings))
        assert answers is not None  # those of the network itself were there
        return answers

    def _weights(self, arch: str, vectors: Tensor) -> list[Tensor]:
        """[(B, N, D), (B, L, D)]: each chunk of weights, each layer's statistics; [] where they are not read."""
        if self.read != "all":
            return []
        codec = self.codec(arch)
        values = vectors / codec.sigma()
        chunks = self.read_chunk(codec.chunks.cut(values)) + codec.positions
        return [chunks, self.read_statistics(codec.chunks.statistics(values)) + codec.layers]

    def _answers(self, arch: str, vectors: Tensor) -> Tensor | None:
        """(B, R / group, F): what each network answers to the probes; None where it is not to be run."""
        run = self.runs[self.place[arch]]
        if self.probes is None or run is None:
            return None
        if self.values:
            # Perceptrons gain by running together, convolutions do not.
            features = _of_values(vmap(run, in_dims=(0, None))(vectors, self.probes))
        else:
            features = _of_logits(torch.stack([run(vector, self.probes) for vector in vectors]))
        return features.unflatten(1, (-1, self.group)).flatten(2)

    def decode(self, arch: str, embeddings: Tensor) -> Tensor:
        codec = self.codec(arch)
        values = codec.bias + self.gain * codec.direct(embeddings)
        if self.write == "all":
            values = values + self._written(codec, embeddings)
        return values * codec.sigma()

    def _written(self, codec: ArchitectureCodec, embeddings: Tensor) -> Tensor:
        """(B, E) to (B, P): what attention makes of embeddings, in units of each layer."""
        latents = embeddings.unflatten(1, (len(self.latent_positions), -1))
        latents = self.from_embedding(latents) + self.latent_positions
        latents = self.unmix(latents, latents)
        queries = codec.queries.expand(len(embeddings), -1, -1)
        return codec.chunks.join(self.write_chunk(self.norm_chunks(self.spread(queries, latents))))
