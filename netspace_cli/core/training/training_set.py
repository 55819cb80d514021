"""Training data of a space: the zoo's weights by architecture and split, and facts about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from netspace_models.architectures import Architecture
from netspace_models.backbones import ArchitectureInit
from netspace_models.errors import ConfigError
from netspace_models.space_model import SpaceModel
from netspace_models.training.augmentations import deviation
from netspace_models.wording import Call
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from netspace_cli.core.networks.factories import fresh_module, resolve_architecture
from netspace_cli.core.runtime.runner import Runner, kept_random_state
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .starts import check_starts

ENCODED_AT_ONCE = 16
# Modules that tell how large the layers of an architecture without instances are.
FRESH = 4


@dataclass(frozen=True)
class TrainingSet:
    """The zoo as tensors.

    Attributes:
        architectures: of the space, in the order of their ClassIds; unseen ones among them.
        weights: (N, P) by split and architecture; absent where a split has none.
        instances: the manifest's lines in the order of the rows.
    """

    architectures: tuple[Architecture, ...]
    weights: Mapping[tuple[str, str], Tensor]
    instances: Mapping[tuple[str, str], tuple[Instance, ...]]

    def seen(self) -> tuple[Architecture, ...]:
        """Architectures that have training instances."""
        return tuple(a for a in self.architectures if ("train", a.name) in self.weights)

    def rows(self) -> list[tuple[str, str]]:
        """Splits and architectures that have instances, in the order of a space's embeddings."""
        return [(s, a.name) for a in self.architectures for s in ("train", "val") if (s, a.name) in self.weights]

    def embeddings(self, model: SpaceModel, runner: Runner) -> dict[tuple[str, str], Tensor]:
        """Encode all training and validation instances by a model in evaluation mode: (N, E) by `rows`.

        Several processes share the work.
        """
        found, processes = {}, runner.processes
        with runner.progress("encoding the zoo", sum(len(w) for w in self.weights.values())) as tick, torch.no_grad():
            for key in self.rows():
                encoded = []
                for place, some in enumerate(self.weights[key].split(ENCODED_AT_ONCE)):
                    mine = place % processes.count == processes.number
                    encoded.append(
                        model.encode(key[1], some) if mine else some.new_zeros(len(some), model.embedding_size)
                    )
                    tick(len(some))
                found[key] = processes.add_up(torch.cat(encoded))
        return found


def load_training_set(zoo: Zoo, recipe: Recipe, runner: Runner, extended: Sequence[Architecture] = ()) -> TrainingSet:
    """Read the training and validation instances of a zoo. Test instances are not opened.

    Args:
        extended: architectures of a finished space, of which the zoo may have a part; none for a new space.
    Raises:
        ConfigError: an architecture without training instances, an unseen one that is the smallest or the
            largest, a split without any, a rate for an architecture that the space will not have, or several starting
            points where they cannot be.
    """
    unseen = [resolve_architecture(name, zoo.io) for name in dict.fromkeys(recipe.space.unseen)]
    known = [a for a in zoo.architectures() if a.name not in recipe.space.unseen]
    weights, instances = {}, {}
    for split in ("train", "val"):
        for a in known:
            found = zoo.select(split=split, arch=a.name)
            if found:
                weights[split, a.name] = runner.place(torch.stack(zoo.weights(found, a)))
                instances[split, a.name] = found
            elif split == "train":
                raise ConfigError(
                    f"{zoo.path} has no training instances of {a.name}.",
                    "Train some, or name it under space.unseen in the recipe.",
                )
    if not any(split == "val" for split, _ in weights):
        raise ConfigError(
            f"{zoo.path} has no validation instances: the best epoch could not be chosen.",
            f"Train some ({Call('ZooPlan', counts=(16, 2, 8))}), or split an indexed zoo again "
            f"({Call('index_folder', force=True)}).",
        )
    order = tuple(extended) or tuple(sorted((*known, *unseen), key=lambda a: (a.parameter_count, a.name)))
    for a in (order[0], order[-1]):
        if a.name in recipe.space.unseen:
            raise ConfigError(
                f"{a.name} ({a.parameter_count:,} parameters) is unseen and not between two architectures of "
                f"{zoo.path}, so nothing would train it.",
                "Train instances of it, or choose one between the smallest and the largest of the zoo.",
            )
    _check_rates(recipe, [a.name for a in order])
    check_starts(recipe.space, [(a, len(instances.get(("train", a.name), ()))) for a in order])
    return TrainingSet(order, weights, instances)


def _check_rates(recipe: Recipe, known: Sequence[str]) -> None:
    for name in recipe.lso.rates:
        if name not in known:
            raise ConfigError(
                f"the recipe's lso.rates has {name}, which the space will not have; it will have {', '.join(known)}.",
                "Correct the name, or leave it out.",
            )


def initial_values(
    training: TrainingSet, recipe: Recipe, runner: Runner, inputs: Tensor
) -> dict[str, ArchitectureInit]:
    """Initial values of each decoder: a training instance, or a new module if it has no instance or if none is wanted.

    Args:
        inputs: (B, ...) training images or points that fresh modules' batch norms see.
    """
    inits = {}
    for a in training.architectures:
        if a.name in without_instance(training, recipe):
            fresh = fresh_weights(a, runner, inputs)
            start, weights = fresh[0], training.weights.get(("train", a.name), fresh)
        else:
            weights = training.weights["train", a.name]
            start = weights[_best(training.instances["train", a.name])].cpu()
        inits[a.name] = ArchitectureInit(a.spec, start, layer_scale(a, weights.cpu()), a.run_several, architecture=a)
    return inits


def without_instance(training: TrainingSet, recipe: Recipe) -> tuple[str, ...]:
    """Architectures whose decoder does not start from a trained network."""
    seen = [a.name for a in training.seen()] if recipe.space.start == "best" else []
    return tuple(a.name for a in training.architectures if a.name not in seen)


def _best(instances: Sequence[Instance]) -> int:
    """Row with the highest accuracy on validation images."""
    return max(range(len(instances)), key=lambda i: instances[i].accuracy.get("val", 0.0))


def layer_scale(architecture: Architecture, weights: Tensor) -> Tensor:
    """(L,) standard deviation of each layer's values over all instances, with a floor for dead layers."""
    parts = [weights[:, layer.start : layer.stop] for layer in architecture.spec.layers]
    return torch.cat([deviation(part.reshape(1, -1), dim=1)[0] for part in parts]).clamp_min(1e-4)


def fresh_weights(architecture: Architecture, runner: Runner, inputs: Tensor, *, count: int = FRESH) -> Tensor:
    """(count, P) newly initialised, folded modules.

    Signals in them are as wide as batch norms make them on the inputs, as at the first step of their own training. No
    trained network is used.
    """
    found = []
    with kept_random_state():
        torch.manual_seed(runner.seed)
        for _ in range(count):
            module = fresh_module(architecture.name, architecture.io)
            for layer in module.modules():
                if isinstance(layer, _BatchNorm):
                    layer.momentum = None  # statistics are those of the inputs alone
            with torch.no_grad():
                module.train()(inputs.cpu())
            found.append(architecture.to_weights(module.state_dict()))
    return torch.stack(found)
