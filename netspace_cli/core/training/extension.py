"""Add starting points to a finished space; everything else of it keeps its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netspace_models.errors import ConfigError, WrongSpace
from netspace_models.space_model import SpaceModel
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.model import build_model
from netspace_cli.core.spaces.recipe import Recipe, backbone_from
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

from .starts import recombined_starts
from .training_set import TrainingSet


@dataclass(frozen=True)
class Extension:
    """A finished space that gets further starting points.

    Attributes:
        space: on the runner's device.
        embeddings: of the zoo's instances in this space, by split and architecture.
    """

    space: Space
    embeddings: Mapping[tuple[str, str], Tensor]


def extended_recipe(space: Space, given: Recipe, zoo: Zoo) -> Recipe:
    """The recipe of an extended space: the settings given for `[space]` and `[train]`, the rest from the space.

    Starting points are for the zoo's architectures.

    Raises:
        ConfigError: the space has several starting points already, no more are asked for, or settings that only a new
            space has.
        WrongSpace: the zoo has networks for other images, or for images normalised otherwise, or an architecture that
            the space does not have.
    """
    names = [a.name for a in zoo.architectures()]
    _check_zoo(space, zoo, names)
    if space.starts > 1:
        raise ConfigError(
            f"space {space.name!r} has {space.starts} starting points already; more cannot be added.",
            "Extend the space that it was made from.",
        )
    if given.space.starts < 2:
        raise ConfigError(
            f"space.starts = {given.space.starts}: extending a space adds starting points.",
            f"Say how many it is to have: {setting('space.starts', 10)}.",
        )
    if given.backbone != backbone_from({}):
        raise ConfigError(
            f"the backbone of space {space.name!r} cannot be changed by extending it.",
            "Leave out the recipe's [backbone] settings.",
        )
    if given.space.start != "best" or given.space.unseen:
        raise ConfigError(
            "space.start and space.unseen say how a new space begins; they are not for extending one.",
            "Leave them out.",
        )
    every = {a.name for a in space.architectures} == set(names)
    section = given.space.model_copy(update={"starts_for": () if every else tuple(names)})
    changed: dict[str, Any] = {"space": section, "train": given.train}
    changed |= {name: getattr(given, name) for name in ("refine", "lso") if name in given.model_fields_set}
    return space.recipe.model_copy(update=changed)


def _check_zoo(space: Space, zoo: Zoo, names: list[str]) -> None:
    if zoo.io != space.io:
        raise WrongSpace(
            f"{zoo.path} is a zoo for {zoo.io.describe()}; space {space.name!r} is for {space.io.describe()}.",
            "Give a zoo of the space's images.",
        )
    known = [a.name for a in space.architectures]
    strange = [name for name in names if name not in known]
    if strange:
        raise WrongSpace(
            f"space {space.name!r} has no {', '.join(strange)}; it has {', '.join(known)}.",
            "Give a zoo of its architectures alone.",
        )
    for key in ("mean", "std"):
        ours, theirs = (data.get(key) for data in (space.record["data"], zoo.data))
        if ours != theirs:
            raise WrongSpace(
                f"{zoo.path} knows images normalised by a {key} of {theirs}; space {space.name!r} by {ours}.",
                "Give a zoo that was trained on images as the space has them.",
            )


def check_extension(space: Space, teacher: Network | None, recipe: Recipe) -> None:
    """Refuse a teacher, or settings of training that an extension does not use.

    Raises:
        ConfigError: says which.
    """
    if teacher is not None:
        raise ConfigError(
            f"extending space {space.name!r} needs no teacher: starting points learn from labels.",
            f"Leave out {setting('teacher')}.",
        )
    if recipe.train.objective != "imitate" or recipe.train.contrast.gamma:
        raise ConfigError(
            f"extending space {space.name!r} trains its further starting points alone; train.objective = "
            f"{recipe.train.objective!r} and train.contrast are for new spaces.",
            "Leave them out; train.level_loss says what starting points learn.",
        )
    if recipe.train.optimizer != "adam":
        raise ConfigError(
            f"extending space {space.name!r} trains its further starting points alone, by Adam; "
            f"{setting('train.optimizer', recipe.train.optimizer)} is for new spaces.",
            f"Use {setting('train.optimizer', 'adam')}.",
        )


def extension_of(space: Space, training: TrainingSet, runner: Runner) -> Extension:
    """Encode the zoo's instances by the space, on the runner's device."""
    space = runner.place(space)
    return Extension(space, training.embeddings(space.model, runner))


def extended_model(extension: Extension, recipe: Recipe, training: TrainingSet, runner: Runner) -> SpaceModel:
    """The space's model with further starting points, recombined from the zoo's instances; nothing else learns."""
    model = build_model(recipe, extension.space.architectures)
    values: dict[str, Tensor] = {**model.state_dict(), **extension.space.model.state_dict()}
    model.load_state_dict(values)
    for a in training.seen():
        key = ("train", a.name)
        further = recombined_starts(a, training.weights[key], training.instances[key], recipe.space, runner)
        model.backbone.set_further_starts(a.name, further)
    model = runner.place(model).requires_grad_(False)
    for start, _ in model.backbone.further_starts([a.name for a in training.seen()]):
        start.requires_grad_(True)
    return model


def extended_record(record: Mapping[str, Any], extension: Extension) -> dict[str, Any]:
    """The record of an extended space: of its new training, and of the zoo that it was first trained on.

    Args:
        record: as of a space trained on this zoo.
    """
    base = extension.space
    keys = [key for key in ("architectures", "data", "zoo", "zoo_licence", "teacher") if key in base.record]
    kept: dict[str, Any] = {key: base.record[key] for key in keys}
    origin = {"space": base.name, "sha256": base.sha256, "recipe": base.record["recipe"], "zoo": record["zoo"]}
    return {**record, **kept, "extends": origin}
