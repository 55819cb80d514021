"""Fidelity against embedding size, for learnt spaces and random subspaces.

Each size has a space of its own, and beside it a random subspace of as many dimensions around the best training
instance: nothing learnt, the same steps of refining on the same images, its rate tuned on validation. Optimising starts
from the median instance as each method represents it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.lso import parametrisation_of
from netspace_cli.core.search.search import Parametrisation
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.memory import footprint
from netspace_cli.core.zoos.zoo import Zoo

from .curves import Point, fidelity_over_size
from .fidelity import MEASURE_COLUMNS, MEASURES, Measured, measure
from .held_out import Scale, check_held_out, encoded_input, objective_for, refined_input, settings_of, trained_space
from .optimising import tuned
from .report import Column, Report, Table
from .run_log import run_log
from .several import middling
from .subspace_fit import Fitted, evaluate_fits, fit_held_out

SIZES = (64, 256, 1024, 4096, 16384)
METHODS = ("learnt, encoded", "learnt, refined", "random subspace, refined")


@dataclass(frozen=True)
class Told:
    """Fidelity of the held-out instances at one size, by one method.

    Attributes:
        size, method: of the embedding.
        steps, lr: of refining; lr is None without.
        seconds: a network.
        summary: of the evaluation (`Evaluation.summary`).
        search: {lr, step, before, after} of optimising from the median instance; None where it was not done.
    """

    size: int
    method: str
    steps: int
    lr: float | None
    seconds: float
    summary: dict[str, Any]
    search: dict[str, Any] | None


def rate(
    zoo: Zoo,
    folder: Path,
    recipe: Recipe,
    data: ImageData,
    runner: Runner,
    *,
    sizes: Sequence[int] = SIZES,
    scale: Scale,
    teacher: Network | None = None,
) -> Report:
    """Train a space of each size, and measure held-out instances in it and in a random subspace.

    Each size leaves `folder`/<size>/space.safetensors and a line in runs.jsonl; what is there is not done
    again, and a training that was stopped continues.

    Args:
        zoo: of one architecture; its test instances are seen by no space.
        recipe: of all spaces but for the size; refined are as many steps as it says.
        scale: of optimising alone; 0 search steps for none.
        teacher: for optimising; None for the labels alone.
    Raises:
        ConfigError: a zoo of several architectures, or without validation or test instances; sizes that are invalid,
            repeated or not for this backbone; a recipe that does not refine; results of other
            settings in the folder.
    """
    names = [a.name for a in zoo.architectures()]
    if len(names) != 1:
        raise ConfigError(f"{zoo.path} has {', '.join(names)}; this experiment is for one.", "Give a zoo of one.")
    check_held_out(zoo)
    recipes = _checked_recipes(zoo, recipe, sizes, folder)
    prepare(zoo, recipes[sizes[0]], data, runner)  # refuses before a file is written
    scale = replace(scale, refine_steps=recipe.refine.steps)
    settings = settings_of("rate", zoo, data, runner, teacher)
    settings |= {"search": {k: v for k, v in vars(scale).items() if k.startswith(("search", "teacher"))}}
    settings["search"]["starts"] = list(METHODS)
    found: list[Told] = []
    spaces: dict[int, str] = {}
    with run_log(folder / "runs.jsonl", settings) as log:
        for size, own in recipes.items():
            key = {"size": size, "recipe": own.model_dump(mode="json")}
            done = log.find(key)
            if done is None:
                space = trained_space(zoo, folder / str(size), own, data, runner)
                rows = _measured(zoo, space, data, runner, scale, teacher)
                done = log.add({**key, "space_sha256": space.sha256, "told": [asdict(row) for row in rows]})
            found += [Told(**row) for row in done["told"]]
            spaces[size] = done["space_sha256"]
    facts = {"scale": vars(scale), "recipe": recipe.model_dump(mode="json"), "space_sha256": spaces}
    return _report(zoo.architectures()[0], found, {**facts, "adapted": adapted(recipe, recipes)})


def _checked_recipes(zoo: Zoo, recipe: Recipe, sizes: Sequence[int], folder: Path) -> dict[int, Recipe]:
    """The recipe of each size.

    Raises:
        ConfigError: sizes or a recipe that measure nothing.
    """
    if not sizes or min(sizes) < 1 or len(set(sizes)) < len(sizes):
        raise ConfigError(
            f"sizes {', '.join(map(str, sizes)) or '(none)'}: each must be above zero and given once.",
            f"Give others: {setting('sizes', (64, 256, 1024))}.",
        )
    if not recipe.refine.steps:
        raise ConfigError(
            "the recipe refines by 0 steps, so a random subspace could not be fitted.",
            f"Set some: {setting('refine.steps', 300)}.",
        )
    recipes = {size: recipe_of_size(recipe, size).named(folder / "space.safetensors") for size in sizes}
    for own in recipes.values():
        footprint(own, zoo)
    return recipes


def recipe_of_size(recipe: Recipe, size: int) -> Recipe:
    """Change a recipe's embedding size, and its granularity so that it divides.

    The granularity is the latents of the tokens backbone, or the side of conv's picture: the largest that divides the
    size and is no more than the recipe's own.

    Raises:
        ConfigError: the backbone has no such cut.
    """
    return recipe.model_copy(update={"backbone": recipe.backbone.with_embedding_size(size)})


def adapted(recipe: Recipe, recipes: Mapping[int, Recipe]) -> dict[int, str]:
    """By size, how the recipe's granularity was changed: "latents 16, not 32"."""
    name, given = recipe.backbone.granularity
    cuts = {size: own.backbone.granularity[1] for size, own in recipes.items()}
    return {size: f"{name} {cut}, not {given}" for size, cut in cuts.items() if cut != given}


def _measured(
    zoo: Zoo,
    space: Space,
    data: ImageData,
    runner: Runner,
    scale: Scale,
    teacher: Network | None,
) -> list[Told]:
    """Measure one size: the space, encoded and refined, and the random subspace."""
    space, data = runner.place(space), runner.place(data)
    architecture, recipe, size = space.architectures[0], space.recipe, space.model.embedding_size
    measured = measure(zoo, space, data, runner, refine_steps=scale.refine_steps)
    fitted = fit_held_out(zoo, architecture, size, recipe, data, runner)
    known = measured["encoded"].evaluation.instances
    targets = runner.place(torch.stack(zoo.weights(zoo.select(split="test"), architecture)))
    beside = Measured(evaluate_fits(fitted, known, targets, data, runner), scale.refine_steps, fitted.seconds)
    searches = _searches(zoo, space, fitted, data, runner, scale, teacher)
    return [
        Told(size, method, m.steps, lr, m.seconds, m.evaluation.summary(), searches.get(method))
        for method, m, lr in zip(
            METHODS,
            (measured["encoded"], measured["refined"], beside),
            (None, recipe.refine.lr, fitted.lr),
            strict=True,
        )
    ]


def _searches(
    zoo: Zoo,
    space: Space,
    fitted: Fitted,
    data: ImageData,
    runner: Runner,
    scale: Scale,
    teacher: Network | None,
) -> dict[str, dict[str, Any]]:
    """By method, optimise from the held-out instance of median validation accuracy, as it is at this size."""
    if not scale.search_steps:
        return {}
    arch = space.architectures[0].name
    median = middling(zoo, arch)
    row = [i.id for i in zoo.select(split="test")].index(median.id)
    encoded = encoded_input(zoo, median, space, data, runner).embedding
    refined = refined_input(zoo, median, space, data, runner, scale).embedding
    starts: dict[str, tuple[str, Parametrisation]] = {
        METHODS[0]: ("space", parametrisation_of(space, runner.place(encoded)[None], arch)),
        METHODS[1]: ("space", parametrisation_of(space, runner.place(refined)[None], arch)),
        METHODS[2]: ("random subspace", replace(fitted.parametrisation, start=fitted.embeddings[row : row + 1])),
    }
    objective = objective_for(space, data, runner, teacher, scale)
    options: dict[str, Any] = {"steps": scale.search_steps, "images": scale.search_images}
    found = {
        method: tuned(kind, parametrisation, objective, **options) for method, (kind, parametrisation) in starts.items()
    }
    return {method: {k: v for k, v in asdict(best).items() if k != "method"} for method, best in found.items()}


def _report(architecture: Architecture, found: Sequence[Told], facts: dict[str, Any]) -> Report:
    curves = {
        method: [
            Point(t.size, t.summary["mae"], t.summary["agreement"], _gain(t.search))
            for t in found
            if t.method == method
        ]
        for method in METHODS
    }
    unrelated = found[0].summary["unrelated_agreement"]
    return Report(
        f"Fidelity by embedding size: {architecture.name}, {architecture.parameter_count:,} parameters",
        (rate_table(found, architecture.parameter_count),),
        {"figure": lambda: fidelity_over_size(curves, unrelated)},
        facts,
    )


def _gain(search: Mapping[str, Any] | None) -> float | None:
    return search["after"] - search["before"] if search else None


def rate_table(found: Sequence[Told], parameters: int) -> Table:
    """One row per size and method.

    Compression is parameters by values of the embedding; one decoder serves all networks.
    """
    columns = (
        Column("size", "count"),
        Column("bytes", "count"),
        Column("compression", "number"),
        Column("method"),
        Column("n", "count"),
        Column("refining steps", "count"),
        Column("refining rate", "number"),
        Column("seconds a network", "number"),
        *MEASURE_COLUMNS[1:],  # one architecture: nothing to recognise
        Column("search rate", "number"),
        Column("best step", "count"),
        Column("before", "share"),
        Column("after", "share"),
        Column("gain", "share"),
    )
    rows = []
    for t in found:
        s = t.search
        searched = (s["lr"], s["step"], s["before"], s["after"], _gain(s)) if s else (None,) * 5
        measures = [t.summary[name] for name in MEASURES if name != "arch_accuracy"]
        told = (t.size, 4 * t.size, parameters / t.size, t.method, t.summary["n"], t.steps, t.lr, t.seconds)
        rows.append((*told, *measures, *searched))
    title = "Held-out instances by embedding size, with its bytes; optimised from the median instance"
    return Table("rate", title, columns, tuple(rows))
