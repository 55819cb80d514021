"""What every experiment starts from: a space trained on the zoo, and its held-out instances."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.networks.network import Network
from netspace_cli.core.requests.inputs import Input
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.image_objective import ImageObjective
from netspace_cli.core.search.lso import image_objective
from netspace_cli.core.spaces.embeddings import Origin
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.training.loop import train
from netspace_cli.core.training.run_folder import RunFolder
from netspace_cli.core.zoos.zoo import Instance, Zoo


@dataclass(frozen=True)
class Scale:
    """How much work an experiment is.

    Attributes:
        refine_steps: for held-out instances.
        path_steps: between the weakest and the strongest.
        search_steps, search_images: of each optimisation; 0 steps for none.
        teacher_images: the first so many training images, unchanged, are what is optimised on: the teacher
            is asked once for each. 0 for all, shifted and mirrored anew each time.
    """

    refine_steps: int = 300
    path_steps: int = 100
    search_steps: int = 600
    search_images: int = 128
    teacher_images: int = 10_000


def trained_space(
    zoo: Zoo,
    folder: Path,
    recipe: Recipe,
    data: ImageData,
    runner: Runner,
    *,
    teacher: Network | None = None,
) -> Space:
    """The space of an experiment, `folder`/space.safetensors: opened where it is there, else trained.

    A training that was stopped goes on.

    Raises:
        ConfigError: the space there was trained with another recipe.
    """
    path = folder / "space.safetensors"
    recipe = recipe.named(path)
    if path.exists():
        space = load_space(path)
        if space.recipe != recipe:
            raise ConfigError(
                f"{path} was trained with another recipe than the one given.",
                f"Choose another folder with {setting('folder')}.",
            )
        return space
    folder.mkdir(parents=True, exist_ok=True)
    begun = RunFolder(folder / "space.run").checkpoint.exists()
    return train(zoo, path, recipe, data, runner, teacher=teacher, resume=begun)


def weakest_and_strongest(zoo: Zoo, arch: str) -> tuple[Instance, Instance]:
    """The held-out (test) instances of an architecture with the lowest and the highest validation accuracy.

    Raises:
        ConfigError: fewer than two.
    """
    rows = by_validation(zoo, arch, "test")
    if len(rows) < 2:
        raise ConfigError(
            f"{zoo.path} has {len(rows)} test instances of {arch}; this experiment needs 2.", "Train more: zoo train."
        )
    return rows[0], rows[-1]


def by_validation(zoo: Zoo, arch: str, split: str) -> list[Instance]:
    """The instances of a split by their accuracy on the validation images, lowest first."""
    return sorted(zoo.select(split=split, arch=arch), key=lambda i: (i.accuracy["val"], i.id))


def refined_input(
    zoo: Zoo,
    instance: Instance,
    space: Space,
    data: ImageData,
    runner: Runner,
    scale: Scale,
) -> Input:
    """An instance of a zoo as the commands see a checkpoint: encoded, and refined by the scale's steps."""
    network = zoo.network(instance, space.model.architecture(instance.arch))
    found = encode([network], space, runner, data=data, refine_steps=scale.refine_steps)
    how = "refined" if scale.refine_steps else "encoded"
    origin = Origin(instance.arch, network.form, network.source, network.sha256, how, scale.refine_steps)
    return Input(zoo.file_of(instance), found.vectors[0], origin, network)


def encoded_input(zoo: Zoo, instance: Instance, space: Space, data: ImageData, runner: Runner) -> Input:
    """`refined_input` without refining."""
    return refined_input(zoo, instance, space, data, runner, Scale(refine_steps=0))


def placed(end: Input, runner: Runner) -> Network:
    """The network an input was, on the device of the work."""
    assert end.network is not None
    return Network(end.network.architecture, runner.place(end.network.weights), end.network.form)


def objective_for(
    space: Space, data: ImageData, runner: Runner, teacher: Network | None, scale: Scale
) -> ImageObjective:
    """What is optimised for, on the images of the scale."""
    objective = image_objective(space, data, runner, teacher)
    if not scale.teacher_images:
        return objective
    index = torch.arange(min(scale.teacher_images, len(data.splits["train"])))
    return ImageObjective(
        objective.data, runner, objective.teacher, objective.temperature, objective.alpha, index, augment=False
    )


def check_held_out(zoo: Zoo) -> None:
    """Refuse a zoo that nothing can be chosen or measured on.

    Raises:
        ConfigError: it has no validation or no test instances.
    """
    counts = {split: len(zoo.select(split=split)) for split in ("val", "test")}
    if not all(counts.values()):
        raise ConfigError(
            f"{zoo.path} has {counts['val']} validation and {counts['test']} test instances; this experiment needs "
            "both.",
            f"Train some, e.g. zoo train {setting('counts', (16, 2, 8))}.",
        )


def settings_of(experiment: str, zoo: Zoo, data: ImageData, runner: Runner, teacher: Network | None) -> dict[str, Any]:
    """What every result of an experiment depends on, as JSON."""
    return {
        "experiment": experiment,
        "zoo": [[i.id, i.sha256] for i in zoo.instances],
        "data": data.record(),
        "teacher": teacher.sha256 if teacher else None,
        "seed": runner.seed,
        "precision": runner.precision_name,
    }
