"""What an ensemble is distilled into: all weights of a network, or an embedding with its space's decoder frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from netspace_models.architectures import Architecture
from torch import Tensor, nn

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner, kept_random_state
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.finetune import restored_module

from .optimisers import Optimiser, adam, adam_and_muon


class Student(Protocol):
    """A network that can be taught."""

    @property
    def lr(self) -> float:
        """The first rate of its training."""
        ...

    def optimiser(self) -> Optimiser:
        """A new one, of what moves."""
        ...

    def values(self) -> list[Tensor]:
        """All numbers that it is made of, in place: parameters, and statistics of norms."""
        ...

    def logits(self, images: Tensor) -> Tensor:
        """(B, K) in training, differentiable."""
        ...

    def weights(self) -> Tensor:
        """(P,) as it is now, on the processor."""
        ...


@dataclass(frozen=True)
class WeightStudent:
    """All weights of a module.

    Attributes:
        architecture: of the module.
        module: on the runner's device, in training mode.
        lr: as in `Student`.
    """

    architecture: Architecture
    module: nn.Module
    lr: float

    def optimiser(self) -> Optimiser:
        """Muon and Adam on the module's parameters."""
        return adam_and_muon([each for each in self.module.parameters() if each.requires_grad])

    def values(self) -> list[Tensor]:
        """Parameters and buffers, without counters."""
        return [value for value in self.module.state_dict().values() if value.is_floating_point()]

    def logits(self, images: Tensor) -> Tensor:
        """As the module gives them in training: norms by the batch."""
        outputs: Tensor = self.module(images)
        return outputs

    def weights(self) -> Tensor:
        """Batch norms folded."""
        return self.architecture.to_weights({n: t.detach().cpu() for n, t in self.module.state_dict().items()})


@dataclass(frozen=True)
class EmbeddingStudent:
    """An embedding, decoded to one architecture.

    Attributes:
        architecture: of the space.
        space: on the runner's device.
        embedding: (1, E) with a gradient.
        lr: as in `Student`.
    """

    architecture: Architecture
    space: Space
    embedding: Tensor
    lr: float

    def optimiser(self) -> Optimiser:
        """Adam on the embedding alone."""
        return adam([self.embedding])

    def values(self) -> list[Tensor]:
        """The embedding alone."""
        return [self.embedding.detach()]

    def logits(self, images: Tensor) -> Tensor:
        """Logits of the network that the embedding decodes to."""
        return self.architecture.run(self.space.model.decode(self.architecture.name, self.embedding)[0], images)

    def weights(self) -> Tensor:
        """What it decodes to."""
        return decode_row(self.embedding.detach()[0], self.space, arch=self.architecture.name).weights.cpu()


def fresh_student(architecture: Architecture, lr: float, runner: Runner) -> WeightStudent:
    """New weights, drawn by the runner's seed."""
    with kept_random_state():
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=runner.generator("merge", "fresh"))))
        module = fresh_module(architecture.name, architecture.io)
    return WeightStudent(architecture, runner.place(module).train(), lr)


def weight_student(network: Network, data: LabelledData, lr: float, runner: Runner) -> WeightStudent:
    """A network's own weights; `data` on the runner's device."""
    module = restored_module(network.architecture, network.weights, data, runner)
    return WeightStudent(network.architecture, module.train(), lr)


def embedding_student(embedding: Tensor, architecture: Architecture, space: Space, runner: Runner) -> EmbeddingStudent:
    """An embedding (E,), which moves at the rate that its space records for the architecture."""
    start = runner.place(embedding)[None].clone().requires_grad_(True)
    return EmbeddingStudent(architecture, runner.place(space), start, space.recipe.lso.rate(architecture.name))
