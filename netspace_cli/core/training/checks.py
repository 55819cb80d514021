"""Check before any work that an objective has all that it needs, and nothing that it does not use."""

from __future__ import annotations

from collections.abc import Iterable

from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.training.unfolded import learns_unfolded
from netspace_models.wording import Call, setting

from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.trainable import check_images_a_step
from netspace_cli.core.spaces.recipe import Recipe

from .training_set import TrainingSet


def check_objective(training: TrainingSet, teacher: Network | None, recipe: Recipe) -> None:
    """Refuse an objective that does not fit the architectures, the teacher or the rest of the recipe.

    Raises:
        ConfigError: says what does not go together.
    """
    if recipe.space.starts > 1 and (recipe.train.objective != "imitate" or recipe.train.contrast.gamma):
        raise ConfigError(
            f"space.starts = {recipe.space.starts} is for the objective 'imitate' without a contrastive term; this is "
            f"{recipe.train.objective!r} with train.contrast.gamma = {recipe.train.contrast.gamma:g}.",
            f"Leave it at {setting('space.starts', 1)}, or set train.objective to 'imitate' and the term to 0.",
        )
    if recipe.train.objective == "imitate":
        _check_imitation(training, teacher, recipe)
    else:
        _check_reconstruction(teacher, recipe)
    if recipe.train.contrast.gamma and recipe.train.instances < 2:
        raise ConfigError(
            "train.contrast.gamma contrasts the networks of a step, and train.instances is 1.",
            f"Take more: {setting('train.instances', 16)}.",
        )


def check_images_of_starts(architectures: Iterable[Architecture], recipe: Recipe) -> None:
    """Refuse one image a step where further starting points learn with batch norms that cannot do with it.

    Args:
        architectures: that have training instances.
    Raises:
        ConfigError: names the architecture.
    """
    images = recipe.train.images
    for a in architectures:
        if recipe.space.starts_of(a.name) > 1 and learns_unfolded(a):
            check_images_a_step(a, images, setting("train.images", images), setting("train.images", 2))


def _check_imitation(training: TrainingSet, teacher: Network | None, recipe: Recipe) -> None:
    """Several architectures need a teacher (eq. 3); one does not use it (eq. 1)."""
    several, names = len(training.architectures) > 1, ", ".join(a.name for a in training.architectures)
    if several and teacher is None:
        raise ConfigError(
            f"a space of several architectures ({names}) is trained with a teacher.",
            f"Give one: {setting('teacher', Call('read_network', 'FILE'))}.",
        )
    if several and recipe.train.contrast.gamma:
        raise ConfigError(
            f"train.contrast.gamma = {recipe.train.contrast.gamma:g} cannot be combined with a teacher ({names}): the "
            "teacher makes all networks of an architecture alike.",
            "Set train.objective to 'reconstruct' or 'both', or leave the term out.",
        )
    if not several and teacher is not None:
        raise ConfigError(
            f"a space of one architecture ({names}) learns from its own instances (eq. 1); it does not use a teacher.",
            f"Leave out {setting('teacher')}.",
        )
    if not several and recipe.train.self_imitation > 0:
        raise ConfigError(
            f"train.self_imitation = {recipe.train.self_imitation:g} is for several architectures; in a space of one "
            f"({names}) networks imitate only themselves (eq. 1).",
            "Leave it out.",
        )


def _check_reconstruction(teacher: Network | None, recipe: Recipe) -> None:
    """Reconstruction does not use a teacher: networks are to be returned unchanged."""
    asked = f"train.objective = {recipe.train.objective!r}"
    if teacher is not None:
        raise ConfigError(
            f"with {asked} a space learns from the zoo's own instances; it does not use a teacher.",
            f"Leave out {setting('teacher')}, or set train.objective to 'imitate'.",
        )
    if recipe.train.self_imitation > 0:
        raise ConfigError(
            f"train.self_imitation = {recipe.train.self_imitation:g} needs a teacher; {asked} has none.",
            "Leave it out.",
        )
    if recipe.space.unseen:
        raise ConfigError(
            f"nothing would train {', '.join(recipe.space.unseen)}: {asked} learns from instances, and unseen "
            "architectures have none.",
            "Leave it out, or set train.objective to 'imitate' and give a teacher.",
        )
