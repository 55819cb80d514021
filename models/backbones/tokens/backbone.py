"""The tokens backbone: reads networks and runs them, encodes and decodes by attention.

In: each chunk of a layer's weights, each layer's statistics, and each of the network's answers to a few
learnt probe inputs is a token; a few latent vectors gather them (cross-attention, then self-attention).
The answers do not depend on the order of hidden units, and tell what the network computes.

Out: the embedding is cut into latent vectors again, a learnt query for each chunk of each architecture
gathers them, and

    weight i = sigma_layer · (bias i + attention i + gain · sign(i) · z[hash(i)])

where the last term is the sketch (sketch.py) and the bias starts at a training instance. An architecture may have
several biases, its starting points: an embedding decodes from each of them to another network. In place of the sketch
there can be the directions in which changes of each layer show most (directions.py).

Either side may do with less: an encoder that reads nothing begins at the same embedding for every network and goes
by feedback alone (feedback.py); a direct decoder has no attention. Neural fields can be solved for in the end
(solving.py). `TokensSettings.build` chooses the parts and puts them together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...parameters.spec import NetworkSpec
from ..backbone import Backbone, Directions
from .feedback import Feedback
from .head import ArchitectureHead
from .old_names import ordered, renamed
from .probes import Probes
from .reader import Reader
from .solving import Solving
from .writer import Writer


class TokensBackbone(Backbone):
    """A reader, rounds of feedback and optionally a solver as encoder; a writer as decoder.

    Args:
        embedding_size: E.
        heads: what is known of each architecture, by name.
        reader: from networks to first embeddings.
        writer: from embeddings to weights, in units of each layer.
        feedback: that corrects embeddings by the networks' answers.
        probes: inputs that networks are run on; None where they are read, not run.
        solving: the end of encoding, where networks are fields and all heads write along directions; training goes
            without it. None for none.
    """

    def __init__(
        self,
        embedding_size: int,
        heads: Mapping[str, ArchitectureHead],
        reader: Reader,
        writer: Writer,
        feedback: Feedback,
        probes: Probes | None,
        solving: Solving | None,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.specs: Mapping[str, NetworkSpec] = {name: head.spec for name, head in heads.items()}
        # Names of architectures may hold dots and colons, which module names may not.
        self.index = {name: i for i, name in enumerate(heads)}
        self.solving = solving
        # The order is that of `ordered_parameters`.
        self.probes = probes
        self.reader = reader
        self.writer = writer
        self.heads = nn.ModuleList(heads.values())
        self.feedback = feedback

    def head(self, arch: str) -> ArchitectureHead:
        """The head of one architecture."""
        head = self.heads[self.index[arch]]
        assert isinstance(head, ArchitectureHead)
        return head

    def encode(self, arch: str, weights: Tensor) -> Tensor:
        head, answers = self.head(arch), self.answers(arch, weights)
        latents, embeddings = self.reader(self.index[arch], head, weights, answers)
        if answers is not None:
            embeddings = self.feedback(partial(self._predicted_answers, arch), latents, answers, embeddings)
        if self.solving is None or self.training or head.architecture is None:
            return embeddings
        directions = self.directions(arch)
        assert directions is not None  # as in `solving`
        return self.solving.solve(head.architecture, partial(self.decode, arch), directions, weights, embeddings)

    def answers(self, arch: str, weights: Tensor) -> Tensor | None:
        """(B, T, F) answers of networks (B, P) to the probes; None if networks are not run."""
        run = self.head(arch).run
        if self.probes is None or run is None:
            return None
        answers: Tensor = self.probes(run, weights)
        return answers

    def _predicted_answers(self, arch: str, embeddings: Tensor) -> Tensor:
        answers = self.answers(arch, self.decode(arch, embeddings))
        assert answers is not None  # those of the network itself were there
        return answers

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        self.check_start(arch, start)
        head = self.head(arch)
        written: Tensor = self.writer(self.index[arch], head, embeddings, start)
        return written * head.sigma()

    def starts_of(self, arch: str) -> int:
        return self.head(arch).start_count

    def set_further_starts(self, arch: str, weights: Tensor) -> None:
        head = self.head(arch)
        if len(weights) != head.start_count - 1:
            raise ValueError(
                f"{arch} has {head.start_count} starting points; {len(weights)} were given after the first"
            )
        if head.further is not None:
            with torch.no_grad():
                head.further.copy_(weights / head.sigma())

    def directions(self, arch: str) -> Mapping[str, Directions] | None:
        return self.head(arch).directions()

    def starts(self, archs: Collection[str]) -> list[tuple[nn.Parameter, float]]:
        """Biases of the heads, which are in units of the layers' standard deviations."""
        heads = [self.head(arch) for arch in archs]
        return [(head.bias, 1 / float(head.sigma().mean())) for head in heads]

    def further_weights(self, arch: str, starts: Sequence[int] | None = None) -> Tensor:
        head = self.head(arch)
        if head.further is None:
            return super().further_weights(arch, starts)
        rows = head.further if starts is None else head.further[[start - 1 for start in starts]]
        return rows * head.sigma()

    def further_starts(self, archs: Collection[str]) -> list[tuple[nn.Parameter, float]]:
        heads = [self.head(arch) for arch in archs]
        return [(head.further, 1 / float(head.sigma().mean())) for head in heads if head.further is not None]

    @property
    def probe_count(self) -> int:
        return 0 if self.probes is None else len(self.probes.inputs)

    def begin_at(self, inputs: Tensor) -> None:
        """Set the first probes. Probes are learnt, but at first, noise as input shows little about a network."""
        if self.probes is not None:
            with torch.no_grad():
                self.probes.inputs[: len(inputs)] = inputs

    def ordered_parameters(self) -> list[nn.Parameter]:
        parameters = dict(self.named_parameters())
        return [parameters[name] for name in ordered(parameters)]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any, **options: Any) -> None:
        """Rename values of files from before the parts were separate modules."""
        known = self.state_dict(prefix=prefix, keep_vars=True).keys()
        for name in [name for name in state_dict if name.startswith(prefix) and name not in known]:
            today = prefix + renamed(name.removeprefix(prefix))
            if today not in state_dict:
                state_dict[today] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *arguments, **options)
