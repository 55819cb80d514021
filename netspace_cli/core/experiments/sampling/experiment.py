"""From a zoo to samples of every method, compared with training instances and plain rivals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.evaluation.same_data import check_zoo_images
from netspace_cli.core.experiments.held_out import settings_of, trained_space
from netspace_cli.core.experiments.report import Report
from netspace_cli.core.experiments.run_log import run_log
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.judge import LEARNT_FROM, TRAINING
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.training.memory import footprint
from netspace_cli.core.zoos.zoo import Zoo

from .runs import Bench, Run, Sampling, method_runs, reconstruction, rival_runs
from .sampling_figure import accuracy_and_novelty
from .tables import Group, criteria_table, grouped, reconstruction_table, sampling_table

NOISE = "noise copies"


def sampling(
    zoo: Zoo,
    folder: Path,
    sources: Mapping[str, Recipe | Space],
    data: ImageData,
    runner: Runner,
    *,
    plan: Sampling,
    teacher: Network | None = None,
) -> Report:
    """Train a space with each recipe, draw by every method that it allows, and judge all samples.

    Each recipe leaves `folder`/spaces/<name>/space.safetensors; each draw a line in runs.jsonl, with every network's
    accuracy and error overlap. What is there is not done again, and a training that was stopped continues.

    Args:
        zoo: of classifiers.
        sources: a recipe or a space of the zoo's, by name; the training instances of all are the same.
        data: the zoo's images.
        teacher: of spaces that are trained on several architectures.
    Raises:
        ConfigError: nothing to draw from, no such method, several architectures and none named, spaces of other
            instances, or results of other settings in the folder.
        WrongSpace: a space of other images.
    """
    plan.check()
    if not sources:
        raise ConfigError(
            "there is no space to draw from.", f"Name a recipe ({setting('recipe')}) or a space ({setting('space')})."
        )
    _check_architecture(zoo, plan.arch)
    for source in sources.values():
        if isinstance(source, Space):
            check_zoo_images(zoo, source)
        else:
            footprint(source, zoo)  # refuses before a file is written
    settings = settings_of("sampling", zoo, data, runner, teacher) | plan.settings()
    methods: dict[str, list[Run]] = {}
    decoded: dict[str, Run] = {}
    spaces: dict[str, str] = {}
    bench = None
    with run_log(folder / "runs.jsonl", settings) as log:
        for name, source in sources.items():
            space = source if isinstance(source, Space) else _trained(zoo, folder, name, source, data, runner, teacher)
            bench = bench or Bench(zoo, runner.place(data), runner, plan, log, space, [])
            decoded[name] = reconstruction(bench, space)
            methods[name] = list(method_runs(bench, space))
            spaces[name] = space.sha256
        assert bench is not None
        beside = list(rival_runs(bench))
        top, learnt_from = (Group("", name, (run,)) for name, run in zip((TRAINING, LEARNT_FROM), beside, strict=False))
    facts = {"plan": asdict(plan), "spaces": spaces, "remarks": [*bench.remarks, *_failed(methods)]}
    groups = {name: grouped(name, runs) for name, runs in methods.items()}
    others = [top, learnt_from, *grouped("", beside[2:])]
    return _report(bench, groups, others, reconstruction_table(decoded, _instances(zoo, bench)), facts)


def _check_architecture(zoo: Zoo, arch: str | None) -> None:
    names = [a.name for a in zoo.architectures()]
    if arch is None and len(names) == 1:
        return
    if arch not in names:
        raise ConfigError(
            f"{zoo.path} has {len(names)} architectures" + (f", and no {arch}." if arch else "."),
            f"Name one of {', '.join(names)}: {setting('arch')}." if names else "Give a zoo that has instances.",
        )


def _trained(
    zoo: Zoo, folder: Path, name: str, recipe: Recipe, data: ImageData, runner: Runner, teacher: Network | None
) -> Space:
    own = recipe.named(Path(f"{name}.safetensors"))
    guide = teacher if len({instance.arch for instance in zoo.instances}) > 1 else None
    return trained_space(zoo, folder / "spaces" / name, own, data, runner, teacher=guide)


def _instances(zoo: Zoo, bench: Bench) -> dict[str, float | None]:
    """Mean test accuracy of training and of unseen instances in the manifest; None where it is missing."""
    found: dict[str, float | None] = {}
    for name, split in (("training", "train"), ("unseen", "test")):
        known = [i.accuracy.get("test") for i in zoo.select(split=split, arch=bench.known.architecture.name)]
        rated = [value for value in known if value is not None]
        found[name] = mean(rated) if rated and len(rated) == len(known) else None
    return found


def _failed(methods: Mapping[str, Sequence[Run]]) -> list[str]:
    runs = [(name, run) for name, own in methods.items() for run in own if "error" in run]
    return [f"{name}, {run['method']}, draw {run['draw']}: {run['error']}" for name, run in runs]


def _report(
    bench: Bench, groups: Mapping[str, Sequence[Group]], others: Sequence[Group], decoded: Any, facts: dict[str, Any]
) -> Report:
    every = [group for own in groups.values() for group in own]
    top, learnt_from = others[:2]
    tables = (criteria_table(every, top, learnt_from), sampling_table([*others, *every]), decoded)
    # The top ones are among those learnt from.
    beside = [learnt_from, *(group for group in others if group.name == NOISE)]
    arch, path = bench.known.architecture.name, bench.zoo.path
    images = bench.data.record()["name"]
    caption = f"Samples of {arch}\nzoo {path.name}, images {images}"
    figures = {"figure": lambda: accuracy_and_novelty(caption, groups, beside)}
    return Report(f"Samples of {arch}: zoo {path.name}, images {images}", tables, figures, facts)
