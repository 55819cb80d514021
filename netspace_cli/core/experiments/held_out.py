"""Shared by the experiments: a space trained on the zoo, and its held-out instances."""

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
    """Amount of work of an experiment.

    Attributes:
        refine_steps: for held-out instances.
        path_steps: between the weakest and the strongest.
        search_steps, search_images: of each optimisation; 0 steps for none.
        teacher_images: number of first training images, unchanged, to optimise on, so that the teacher is run once for
            each; 0 for all, shifted and mirrored differently each time.
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
    """Open the space of an experiment, `folder`/space.safetensors, or train it first.

    A training that was stopped continues.

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
    """Held-out (test) instances of an architecture with the lowest and the highest validation accuracy.

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
    """Instances of a split, sorted by validation accuracy, lowest first."""
    return sorted(zoo.select(split=split, arch=arch), key=lambda i: (i.accuracy["val"], i.id))


def refined_input(
    zoo: Zoo,
    instance: Instance,
    space: Space,
    data: ImageData,
    runner: Runner,
    scale: Scale,
) -> Input:
    """Encode an instance of a zoo and refine it by the scale's steps, as commands do with a checkpoint."""
    network = zoo.network(instance, space.model.architecture(instance.arch))
    found = encode([network], space, runner, data=data, refine_steps=scale.refine_steps)
    how = "refined" if scale.refine_steps else "encoded"
    origin = Origin(instance.arch, network.form, network.source, network.sha256, how, scale.refine_steps)
    return Input(zoo.file_of(instance), found.vectors[0], origin, network)


def encoded_input(zoo: Zoo, instance: Instance, space: Space, data: ImageData, runner: Runner) -> Input:
    """Same as `refined_input`, without refining."""
    return refined_input(zoo, instance, space, data, runner, Scale(refine_steps=0))


def placed(end: Input, runner: Runner) -> Network:
    """The network of an input, on the device of the work."""
    assert end.network is not None
    return Network(end.network.architecture, runner.place(end.network.weights), end.network.form)


def objective_for(
    space: Space, data: ImageData, runner: Runner, teacher: Network | None, scale: Scale
) -> ImageObjective:
    """The objective of optimisation, on the images of the scale."""
    objective = image_objective(space, data, runner, teacher)
    if not scale.teacher_images:
        return objective
    index = torch.arange(min(scale.teacher_images, len(data.splits["train"])))
    return ImageObjective(
        objective.data, runner, objective.teacher, objective.temperature, objective.alpha, index, augment=False
    )


def check_held_out(zoo: Zoo) -> None:
    """Refuse a zoo without instances to choose by or to measure on.

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
    """Everything that an experiment's results depend on, as JSON."""
    return {
        "experiment": experiment,
        "zoo": [[i.id, i.sha256] for i in zoo.instances],
        "data": data.record(),
        "teacher": teacher.sha256 if teacher else None,
        "seed": runner.seed,
        "precision": runner.precision_name,
    }
