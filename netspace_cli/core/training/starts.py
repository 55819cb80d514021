"""Further starting points of a space's decoders: recombined from good training instances, or new."""

from __future__ import annotations

import math
from collections.abc import Sequence

from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.parameters.alignment import align_weights
from netspace_models.parameters.recombine import recombine_weights
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import SpaceRecipe
from netspace_cli.core.zoos.zoo import Instance

# Share of an architecture's training instances, the best by validation accuracy, that parents are drawn from.
TOP = 0.3
# Of each starting point. Filters of several parents go together worse than units of layers that see everything.
PARENTS_CONVOLUTIONAL, PARENTS = 2, 4


def ranked(instances: Sequence[Instance]) -> list[int]:
    """Rows sorted by accuracy on validation images, highest first; equal ones keep their order."""
    return sorted(range(len(instances)), key=lambda i: -instances[i].accuracy.get("val", 0.0))


def parents_each(architecture: Architecture, recipe: SpaceRecipe) -> int:
    """Number of instances that each starting point is recombined from."""
    if recipe.parents is not None:
        return recipe.parents
    convolutional = any(len(p.shape) > 2 for p in architecture.spec.parameters)
    return PARENTS_CONVOLUTIONAL if convolutional else PARENTS


def recombined_starts(
    architecture: Architecture, weights: Tensor, instances: Sequence[Instance], recipe: SpaceRecipe, runner: Runner
) -> Tensor:
    """Starting points 1 to K - 1, each recombined unit by unit from some of the best instances.

    Parents are aligned to the best instance. A starting point is the same however many come after it.

    Args:
        architecture: with known hidden groups.
        weights: (N, P) its training instances; instances: their lines in the manifest.
        recipe: says how many starting points, and how many parents each.
        runner: its seed draws parents and units.
    Returns:
        (K - 1, P), on the processor.
    """
    parents = parents_each(architecture, recipe)
    best = ranked(instances)[: max(parents, math.ceil(TOP * len(instances)))]
    candidates = weights[best].cpu()
    generator = runner.generator("starts", architecture.name)
    aligned = align_weights(architecture, candidates[0], candidates, generator)
    return recombine_weights(architecture, aligned, parents, recipe.starts - 1, generator)


def check_starts(recipe: SpaceRecipe, counts: Sequence[tuple[Architecture, int]]) -> None:
    """Refuse several starting points if they cannot be made or trained.

    Args:
        counts: the space's architectures, and how many training instances each has.
    Raises:
        ConfigError: neural fields, an unseen architecture, hidden units that are not known, or fewer instances than
            parents.
    """
    _check_named(recipe, [a.name for a, _ in counts])
    asked = f"space.starts = {recipe.starts}"
    for architecture, count in counts:
        if recipe.starts_of(architecture.name) == 1:
            continue
        if not architecture.io.labelled:
            raise ConfigError(
                f"{asked} is for classifiers and regressors: further starting points learn from labels, and "
                f"{architecture.name} is a neural field, which has none.",
                f"Leave it at {setting('space.starts', 1)}.",
            )
        if architecture.name in recipe.unseen:
            raise ConfigError(
                f"{asked} is for architectures with training instances, and {architecture.name} is unseen.",
                f"Leave it at {setting('space.starts', 1)}, or train instances of {architecture.name}.",
            )
        if recipe.start == "best":
            _check_recombining(architecture, count, asked, recipe)


def _check_named(recipe: SpaceRecipe, known: Sequence[str]) -> None:
    """Refuse names of `starts_for` that the space will not have, or any without several starting points."""
    named = ", ".join(recipe.starts_for)
    if recipe.starts_for and recipe.starts == 1:
        raise ConfigError(
            f"space.starts_for names {named}, and space.starts is 1.",
            f"Say how many starting points they are to have: {setting('space.starts', 10)}.",
        )
    strange = [name for name in recipe.starts_for if name not in known]
    if strange:
        raise ConfigError(
            f"space.starts_for names {', '.join(strange)}, which the space will not have; it will have "
            f"{', '.join(known)}.",
            "Correct the name, or leave it out.",
        )


def _check_recombining(architecture: Architecture, count: int, asked: str, recipe: SpaceRecipe) -> None:
    if not architecture.hidden_groups:
        raise ConfigError(
            f"{asked}: starting points are recombined from aligned instances, and the hidden units of "
            f"{architecture.name} are not known.",
            f"Give its module a method hidden_groups(), or start at random: {setting('space.start', 'random')}.",
        )
    parents = parents_each(architecture, recipe)
    if count < parents:
        raise ConfigError(
            f"{asked}: each starting point is recombined from {parents} training instances of {architecture.name}, "
            f"and the zoo has {count}.",
            f"Train more, or ask for fewer: {setting('space.parents', max(1, count))}.",
        )
