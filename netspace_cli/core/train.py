"""Train a space on a zoo: told in stages; stops with a checkpoint and goes on as if it never had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from netspace_models.architectures import FieldSignal
from netspace_models.backbones import ArchitectureInit
from netspace_models.curvature import curvature_moments
from netspace_models.errors import CheckpointError, ConfigError, DataUnavailable
from netspace_models.space_model import SpaceModel
from netspace_models.stretch import check_stretching
from torch import Tensor

from .checks import check_run
from .fields.data import Data, FieldData
from .fields.near import near_surfaces
from .networks import Network, check_teacher
from .progress import Progress, Silent
from .provenance import provenance
from .recipe import Recipe
from .refine import check_method
from .run_folder import MADE_WITH, RunFolder
from .runner import Runner, kept_random_state
from .signals import StopRequest
from .space import Space, build_model, save_space
from .train_set import TrainingSet, initial_values, load_training_set, without_instance
from .train_step import Task, TrainState, take_step, validate
from .zoo import Instance, Zoo

CURVATURE_INPUTS = 512
STRETCHED_POINTS = 256
ENCODED_AT_ONCE = 16
FEWER = "Lower train.images or train.instances, e.g. -s train.images=64."


def train(
    zoo: Zoo,
    output: Path,
    recipe: Recipe,
    data: Data,
    runner: Runner,
    *,
    teacher: Network | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    on_stop: Callable[[], None] | None = None,
) -> Space:
    """Train a space on a zoo's training instances and write it.

    Beside the output a folder `<output stem>.run/` holds the settings, metrics.jsonl and the last
    checkpoint. SIGINT and SIGTERM end the run after a whole step, with a checkpoint.

    Args:
        zoo: instances; its validation instances choose the best step, its test instances are not opened.
        output: the space's file.
        recipe: all settings; a space without a name gets that of its file.
        data: the zoo's images.
        runner: device and root seed.
        teacher: for eq. 3; needed where the space has several architectures.
        resume: go on from the last checkpoint; ends with the same bits as a run never stopped (on one
            processor, with the same versions and threads).
        force: replace an output and a run that exist.
        on_stop: called once, from another thread, when a signal asks the run to stop: the step under way is
            finished first.
    Raises:
        ConfigError: several architectures without a teacher, nothing to resume, other settings than before,
            an output that is no .safetensors.
        CheckpointError: the checkpoint to resume from is damaged.
        RunFailed: a loss that is not finite.
        Interrupted: stopped on a signal.
    """
    folder = check_run(output, resume=resume, force=force)
    task = prepare(zoo, recipe.named(output), data, runner, teacher=teacher)
    with folder.locked(), StopRequest(on_stop) as stop:
        state = new_state(task)
        settings = _settings(task, zoo)
        if resume:
            saved = folder.resume(settings, runner.device)
            try:
                state.load_state_dict(saved)
            except (RuntimeError, KeyError, ValueError, TypeError) as failure:
                raise CheckpointError(
                    folder.checkpoint, f"holds no state of this run ({failure}).", "Begin again with --force."
                ) from failure
        else:
            folder.begin(settings, force=force)
        _loop(task, state, folder, stop, progress or Silent())
    state.model.load_state_dict(state.best)
    state.model.eval().requires_grad_(False).zero_grad()
    embeddings = zoo_embeddings(task.training, state.model, progress)
    return save_space(output, Space(state.model, record_of(task, state, zoo), embeddings), force=force)


def prepare(zoo: Zoo, recipe: Recipe, data: Data, runner: Runner, *, teacher: Network | None = None) -> Task:
    """Read and check all that training needs, on the runner's device.

    Raises:
        ConfigError: several architectures without a teacher or of signals, one with a teacher or with `own`, a teacher
            for other images or classes, a split of the zoo without instances, a method of refining that is not for such
            networks, or a precision that training does not have.
        DataUnavailable: the data are not the zoo's.
    """
    if data.signal != zoo.signal:
        raise DataUnavailable(
            f"{zoo.path} is a zoo for {zoo.signal.describe()}; {data.name} has {data.signal.describe()}.",
            "Give the zoo's own data.",
        )
    check_method(recipe, data)
    training = load_training_set(zoo, recipe, runner)
    if len(training.architectures) > 1 and isinstance(data, FieldData):
        raise ConfigError(
            f"{zoo.path} has networks that are signals of several architectures "
            f"({', '.join(a.name for a in training.architectures)}); a space of them has one: there is no teacher that "
            "all could imitate.",
            "Train a space of each.",
        )
    if len(training.architectures) > 1 and teacher is None:
        names = ", ".join(a.name for a in training.architectures)
        raise ConfigError(
            f"a space of several architectures ({names}) is trained with a teacher.",
            "Give one: --teacher FILE.",
        )
    if len(training.architectures) == 1 and teacher is not None:
        raise ConfigError(
            f"a space of one architecture ({training.architectures[0].name}) learns from its own instances (eq. 1); "
            "a teacher has no part in it.",
            "Leave out --teacher.",
        )
    if len(training.architectures) == 1 and recipe.train.own > 0:
        raise ConfigError(
            f"train.own = {recipe.train.own:g} is for several architectures; in a space of one "
            f"({training.architectures[0].name}) networks imitate themselves alone (eq. 1).",
            "Leave it out.",
        )
    runner.check_gradients()
    if teacher is not None:
        check_teacher(teacher, data.signal)
        teacher = replace(teacher, vector=runner.place(teacher.vector))
    data, near = runner.place(data), None
    if isinstance(data, FieldData):
        (architecture,) = training.architectures
        vectors = training.vectors["train", architecture.name]
        stretch = recipe.train.stretch > 1 and data.has_surface
        near = near_surfaces(architecture, vectors, data, runner, share=1 if stretch else recipe.train.near)
        if stretch:
            points, _ = data.draw("train", STRETCHED_POINTS, runner.generator("stretch"))
            check_stretching(architecture, vectors[0], points)
    return Task(recipe, training, data, teacher, runner, near)


def new_state(task: Task) -> TrainState:
    inputs, generator = curvature_inputs(task.data, task.runner)
    inits = initial_values(task.training, task.recipe, task.runner, inputs)
    if getattr(task.recipe.backbone, "path", "sketch") != "sketch":
        inits = _with_moments(inits, task, inputs, generator)
    with kept_random_state():
        torch.manual_seed(task.runner.seed)
        model = task.runner.place(build_model(task.recipe, task.training.architectures, inits))
    _begin_at_inputs(model, task)
    return TrainState(model, _optimizer(model, task))


def _optimizer(model: SpaceModel, task: Task) -> torch.optim.Optimizer:
    """Adam. What stands for a network before anything is known of it moves as a network's own weights do, where
    nothing trained it; a decoder that starts at an instance has no use for such steps."""
    starts = model.backbone.starts(without_instance(task.training, task.recipe))
    apart = {id(start) for start, _ in starts}
    groups: list[dict[str, Any]] = [{"params": [p for p in model.parameters() if id(p) not in apart], "pace": 1.0}]
    groups += [{"params": [start], "pace": task.recipe.train.fresh * pace} for start, pace in starts]
    return torch.optim.Adam(groups, task.recipe.train.lr)


def _with_moments(
    inits: dict[str, ArchitectureInit], task: Task, inputs: Tensor, generator: torch.Generator
) -> dict[str, ArchitectureInit]:
    """For a decoder that writes along directions of curvature: those of each starting point, on the inputs."""
    found = {}
    for architecture in task.training.architectures:
        init = inits[architecture.name]
        assert init.start is not None  # only a model whose values are loaded afterwards has none
        state = task.runner.place(architecture.spec.unflatten(init.start))
        values = isinstance(architecture.signal, FieldSignal)
        moments = curvature_moments(architecture.fused, state, inputs, generator=generator, values=values)
        found[architecture.name] = replace(init, moments=moments)
    return found


def curvature_inputs(data: Data, runner: Runner) -> tuple[Tensor, torch.Generator]:
    """The training images, or points, that curvature is taken on, and the generator to go on with."""
    generator = runner.generator("curvature")
    return data.sample("train", CURVATURE_INPUTS, generator)[0], generator


def _begin_at_inputs(model: SpaceModel, task: Task) -> None:
    """Probes are learnt, but noise tells little of a network at first: they begin at training images, or points."""
    probes = getattr(model.backbone, "probes", None)
    if probes is not None:
        inputs, _ = task.data.sample("train", len(probes), task.runner.generator("probes"))
        with torch.no_grad():
            probes[: len(inputs)] = inputs


def _loop(task: Task, state: TrainState, folder: RunFolder, stop: StopRequest, progress: Progress) -> None:
    recipe = task.recipe.train
    progress.start("training the space", recipe.steps)
    progress.advance(state.step)
    try:
        while state.step < recipe.steps:
            with task.runner.guard("in a training step", FEWER):
                terms = take_step(task, state)
            task.runner.count(1, "steps")
            last = state.step == recipe.steps
            line: dict[str, Any] = {"step": state.step, **terms}
            if state.step % recipe.validate_every == 0 or last:
                with task.runner.guard("while validating", FEWER):
                    line["val"] = validate(task, state)
            folder.log(line)
            progress.advance(1, loss=terms["loss"], **({"val": state.best_loss} if state.best else {}))
            if state.step % recipe.checkpoint_every == 0 or last or stop.requested:
                folder.save(state.state_dict())
            if stop.requested and not last:
                raise stop.interrupted(
                    f"stopped after step {state.step} of {recipe.steps}; the checkpoint is in {folder.path}.",
                    "The same command with --resume goes on.",
                )
    finally:
        progress.stop()


def _settings(task: Task, zoo: Zoo) -> dict[str, Any]:
    """All that must be the same when a run is resumed."""
    return {
        "recipe": task.recipe.model_dump(mode="json"),
        "zoo": [[i.id, i.sha256] for i in zoo.instances if i.split != "test"],
        "data": task.data.record(),
        "teacher": task.teacher.sha256 if task.teacher else None,
        "seed": task.runner.seed,
        **({"precision": str(task.runner.precision)} if task.runner.precision != torch.float32 else {}),
        MADE_WITH: provenance(task.runner),
    }


def record_of(task: Task, state: TrainState, zoo: Zoo) -> dict[str, Any]:
    rows = [i for key in _rows(task.training) for i in task.training.instances[key]]
    return {
        "name": task.recipe.space.name,
        "architectures": [a.name for a in task.training.architectures],
        "signal": asdict(task.data.signal),
        "data": task.data.record(),
        "recipe": task.recipe.model_dump(mode="json"),
        "zoo": [_row(i) for i in rows],
        "zoo_licence": zoo.about.get("licence", ""),
        "teacher": {"arch": task.teacher.architecture.name, "sha256": task.teacher.sha256} if task.teacher else None,
        "best": {"step": state.best_step, "val_loss": state.best_loss},
        "seed": task.runner.seed,
        **provenance(task.runner),
    }


def _row(i: Instance) -> dict[str, Any]:
    return {"id": i.id, "arch": i.arch, "split": i.split, "sha256": i.sha256, "accuracy": i.accuracy}


def _rows(training: TrainingSet) -> list[tuple[str, str]]:
    """Splits and architectures in the order of the space's embeddings."""
    return [(s, a.name) for a in training.architectures for s in ("train", "val") if (s, a.name) in training.vectors]


def zoo_embeddings(training: TrainingSet, model: SpaceModel, progress: Progress | None = None) -> Tensor:
    """(N, E) of all training and validation instances, in the order of the space's record; `model` is in eval mode."""
    progress, found = progress or Silent(), []
    rows = [training.vectors[key] for key in _rows(training)]
    progress.start("encoding the zoo", sum(len(vectors) for vectors in rows))
    try:
        with torch.no_grad():
            for (_, arch), vectors in zip(_rows(training), rows, strict=True):
                for some in vectors.split(ENCODED_AT_ONCE):
                    found.append(model.encode(arch, some))
                    progress.advance(len(some))
    finally:
        progress.stop()
    return torch.cat(found)
