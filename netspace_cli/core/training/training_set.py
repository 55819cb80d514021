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
from netspace_cli.core.runtime.runner import Runner, kept_random_state, memory_of
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .starts import check_starts
from .stored_rows import SHARE, StoredRows

# Instances, and of large ones so many values.
ENCODED_AT_ONCE, VALUES_AT_ONCE = 16, 2**24
# Modules that tell how large the layers of an architecture without instances are.
FRESH = 4
# Values of a layer, of all instances together, that are copied at once, 268 MB; of more, so many are summed at once.
MOST_AT_ONCE, SUMMED_AT_ONCE = 2**26, 2**22
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class TrainingSet:
    """The zoo as tensors.

    Attributes:
        architectures: of the space, in the order of their ClassIds; unseen ones among them.
        weights: (N, P) by split and architecture; absent where a split has none. Some of them are had by `rows_of`.
        instances: the manifest's lines in the order of the rows.
        stored: what reads the weights of a zoo that is too large for the device's memory; None where they are in it.
    """

    architectures: tuple[Architecture, ...]
    weights: Mapping[tuple[str, str], Tensor]
    instances: Mapping[tuple[str, str], tuple[Instance, ...]]
    stored: StoredRows | None = None

    def rows_of(self, split: str, arch: str, rows: Tensor | slice) -> Tensor:
        """(B, P) some of the weights, on the device."""
        found = self.weights[split, arch][rows]
        return found if self.stored is None else self.stored.take(found)

    def seen(self) -> tuple[Architecture, ...]:
        """Architectures that have training instances."""
        return tuple(a for a in self.architectures if ("train", a.name) in self.weights)

    def rows(self) -> list[tuple[str, str]]:
        """Splits and architectures that have instances, in the order of a space's embeddings."""
        return [(s, a.name) for a in self.architectures for s in ("train", "val") if (s, a.name) in self.weights]

    def scale_of(self, architecture: Architecture) -> Tensor:
        """(L,) `layer_scale` of the training instances, on the device."""
        scale = layer_scale(architecture, self.weights["train", architecture.name], self.stored)
        return scale if self.stored is None else scale.to(self.stored.device)

    def embeddings(self, model: SpaceModel, runner: Runner) -> dict[tuple[str, str], Tensor]:
        """Encode all training and validation instances by a model in evaluation mode: (N, E) by `rows`.

        Several processes share the work.
        """
        found, processes = {}, runner.processes
        with runner.progress("encoding the zoo", sum(len(w) for w in self.weights.values())) as tick, torch.no_grad():
            for key in self.rows():
                count, size = self.weights[key].shape
                most = min(ENCODED_AT_ONCE, max(1, VALUES_AT_ONCE // size))
                encoded = torch.zeros(count, model.embedding_size, device=runner.device)
                for place, first in enumerate(range(0, count, most)):
                    some = self.rows_of(*key, slice(first, first + most))
                    if place % processes.count == processes.number:
                        encoded[first : first + most] = model.encode(key[1], some)
                    tick(len(some))
                found[key] = processes.add_up(encoded)
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
    stored = _store_for(zoo, known, runner)
    for split in ("train", "val"):
        for a in known:
            found = zoo.select(split=split, arch=a.name)
            if found:
                weights[split, a.name] = _read(zoo, found, a, runner, stored)
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
    return TrainingSet(order, weights, instances, stored)


def _store_for(zoo: Zoo, architectures: Sequence[Architecture], runner: Runner) -> StoredRows | None:
    """What to store weights in, if they would take too much of the device's memory.

    Those of neural fields stay in memory, since training looks at all of them first.
    """
    counts = {a.name: sum(i.split != "test" for i in zoo.select(arch=a.name)) for a in architectures}
    needed = sum(4 * a.parameter_count * counts[a.name] for a in architectures)
    return StoredRows(runner.device) if zoo.io.labelled and needed > SHARE * memory_of(runner.device) else None


def _read(
    zoo: Zoo, instances: Sequence[Instance], architecture: Architecture, runner: Runner, stored: StoredRows | None
) -> Tensor:
    """(N, P) weights, read one by one: nothing else of the zoo is in memory."""
    each = (zoo.network(instance, architecture).weights for instance in instances)
    size = architecture.parameter_count
    if stored is not None:
        return stored.store(each, len(instances), size)
    weights = torch.empty(len(instances), size)
    for row, own in zip(weights, each, strict=True):
        row.copy_(own)
    return runner.place(weights)


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
        scale = layer_scale(a, weights.cpu(), training.stored)
        inits[a.name] = ArchitectureInit(a.spec, start, scale, a.run_several, architecture=a)
    return inits


def without_instance(training: TrainingSet, recipe: Recipe) -> tuple[str, ...]:
    """Architectures whose decoder does not start from a trained network."""
    seen = [a.name for a in training.seen()] if recipe.space.start == "best" else []
    return tuple(a.name for a in training.architectures if a.name not in seen)


def _best(instances: Sequence[Instance]) -> int:
    """Row with the highest accuracy on validation images."""
    return max(range(len(instances)), key=lambda i: instances[i].accuracy.get("val", 0.0))


def layer_scale(architecture: Architecture, weights: Tensor, stored: StoredRows | None = None) -> Tensor:
    """(L,) standard deviation of each layer's values over all instances, with a floor for dead layers.

    Args:
        weights: (N, P); stored: what reads them, where they are in no memory.
    """
    parts = (weights[:, layer.start : layer.stop] for layer in architecture.spec.layers)
    return torch.cat([_deviation_of(part, stored) for part in parts]).clamp_min(1e-4)


def _deviation_of(part: Tensor, stored: StoredRows | None) -> Tensor:
    """(1,) standard deviation of a layer's values (N, n); of very many, from the sums of values and of squares."""
    at_once = max(1, min(ROWS_AT_ONCE, SUMMED_AT_ONCE // part.shape[1]))
    if part.numel() <= MOST_AT_ONCE or len(part) == 1:
        whole = part if stored is None else stored.copied(part, at_once)
        return deviation(whole.reshape(1, -1), dim=1)[0]
    total, squares = torch.zeros(2, dtype=torch.float64, device=part.device)
    for rows in part.split(at_once):
        values = rows.double()
        total, squares = total + values.sum(), squares + values.square().sum()
        if stored is not None:
            stored.release()
    variance = (squares - total.square() / part.numel()) / (part.numel() - 1)
    return variance.clamp_min(0).sqrt().float()[None]


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
