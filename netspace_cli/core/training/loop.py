"""Train a space on a zoo in stages; a stopped run continues from its checkpoint with the same result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from netspace_models.errors import CheckpointError, DataUnavailable, ProcessLost
from netspace_models.training.unfolded import learns_unfolded
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.networks.network import Network, check_teacher
from netspace_cli.core.runtime.memory import larger_blocks_kept
from netspace_cli.core.runtime.provenance import provenance
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.stop import StopRequest
from netspace_cli.core.spaces.recipe import Recipe, check_method
from netspace_cli.core.spaces.space import Space, save_space
from netspace_cli.core.zoos.zoo import Zoo

from .checks import check_images_of_starts, check_objective
from .extension import check_extension, extended_recipe, extension_of
from .first_model import new_state
from .image_views import image_views
from .record import record_of
from .run_folder import MADE_WITH, RunFolder, WatchedFolder, check_run
from .sharing import begin_together, check_sharing
from .step import Task, TrainState, take_step, validate
from .teacher_answers import with_answers
from .training_set import load_training_set


def train(
    zoo: Zoo,
    output: Path | str,
    recipe: Recipe,
    data: Data,
    runner: Runner,
    *,
    teacher: Network | Sequence[Network] | None = None,
    resume: bool = False,
    force: bool = False,
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
        teacher: for eq. 3; needed where the space has several architectures. Several teach together, by the mean of
            their probabilities.
        resume: continue from the last checkpoint; ends with the same bits as a run never stopped (on one
            processor, with the same versions and threads).
        force: replace an output and a run that exist.
    Raises:
        ConfigError: several architectures without a teacher, nothing to resume, other settings than before,
            an output that is no .safetensors.
        CheckpointError: the checkpoint to resume from is damaged.
        RunFailed: a loss that is not finite.
        Interrupted: stopped on a signal.
    """
    output = Path(output)
    check_run(output, resume=resume, force=force)
    task = prepare(zoo, recipe.named(output), data, runner, teacher=teacher)
    return train_prepared(task, zoo, output, resume=resume, force=force)


def extend(
    space: Space,
    zoo: Zoo,
    output: Path | str,
    recipe: Recipe,
    data: Data,
    runner: Runner,
    *,
    resume: bool = False,
    force: bool = False,
) -> Space:
    """Add starting points to a finished space, and write it; the rest of the space is kept bit for bit.

    Starting points are recombined from the zoo's instances, and learn as in the training of a space with several.

    Args:
        space: with one starting point per architecture.
        zoo: instances of some or all of its architectures.
        recipe: its sections `[space]` and `[train]` are used.
        output, data, runner, resume, force: as in `train`.
    Raises:
        As in `train` and `extended_recipe`.
    """
    output = Path(output)
    check_run(output, resume=resume, force=force)
    recipe = extended_recipe(space, recipe, zoo).named(output)
    task = prepare(zoo, recipe, data, runner, extend=space)
    return train_prepared(task, zoo, output, resume=resume, force=force)


def train_prepared(
    task: Task,
    zoo: Zoo,
    output: Path,
    *,
    resume: bool = False,
    force: bool = False,
    on_stop: Callable[[], None] | None = None,
) -> Space:
    """Train with what `prepare` has read and checked.

    Args:
        on_stop: called once, from another thread, when a signal asks the run to stop: the step under way is
            finished first.
    """
    folder = check_run(output, resume=resume, force=force)
    processes = task.runner.processes
    if processes.number > 0:
        folder = WatchedFolder(folder.path)
    with _saying_how_to_continue(folder):
        with folder.locked(), StopRequest(on_stop) as stop:
            state = new_state(task)
            settings = _settings(task, zoo)
            if resume:
                _go_on(state, folder, settings)
            else:
                folder.begin(settings, force=force)
            begin_together(processes, state, settings)
            _loop(task, state, folder, stop)
        state.model.load_state_dict(state.best)
        state.model.eval().requires_grad_(False).zero_grad()
        space = Space(state.model, record_of(task, state, zoo), _embeddings(task, state))
    return space if processes.number > 0 else save_space(output, space, force=force)


def step_to_resume(task: Task, zoo: Zoo, folder: RunFolder) -> int:
    """The step that `train_prepared` would resume a run from.

    Raises:
        ConfigError, InputFileError: as `RunFolder.resumed_step`.
    """
    return folder.resumed_step(_settings(task, zoo))


@contextmanager
def _saying_how_to_continue(folder: RunFolder) -> Iterator[None]:
    """Add to the loss of a process where the run's checkpoint is."""
    try:
        yield
    except ProcessLost as lost:
        lost.hint = folder.how_to_continue()
        raise


def _embeddings(task: Task, state: TrainState) -> Tensor:
    """(N, E) embeddings of the instances in the space's record."""
    if task.extension is not None:
        return task.extension.space.embeddings
    return torch.cat(list(task.training.embeddings(state.model, task.runner).values()))


def prepare(
    zoo: Zoo,
    recipe: Recipe,
    data: Data,
    runner: Runner,
    *,
    teacher: Network | Sequence[Network] | None = None,
    extend: Space | None = None,
) -> Task:
    """Read and check all that training needs, on the runner's device.

    Raises:
        ConfigError: several architectures without a teacher or of neural fields, one with a teacher or imitating
            itself, a teacher for other images or classes, a split of the zoo without instances, a method of refining
            that is not for such networks, or a precision that training does not have.
        DataUnavailable: the data are not the zoo's.
    """
    if data.io != zoo.io:
        raise DataUnavailable(
            f"{zoo.path} is a zoo for {zoo.io.describe()}; {data.name} has {data.io.describe()}.",
            "Give the zoo's own data.",
        )
    check_method(recipe, zoo.kind)
    training = load_training_set(zoo, recipe, runner, () if extend is None else extend.architectures)
    check_images_of_starts(training.seen(), recipe)
    teachers = [teacher] if isinstance(teacher, Network) else list(teacher or ())
    if extend is None:
        check_objective(training, teachers[0] if teachers else None, recipe)
    else:
        check_extension(extend, teachers[0] if teachers else None, recipe)
    zoo.kind.check_architectures([a.name for a in training.architectures], str(zoo.path))
    runner.check_gradients()
    for each in teachers:
        check_teacher(each, data.io)
    placed = [replace(each, weights=runner.place(each.weights)) for each in teachers]
    data = runner.place(data)
    extension = None if extend is None else extension_of(extend, training, runner)
    seen = training.seen()
    weights = {a.name: training.weights["train", a.name] for a in seen}
    share, stretch = recipe.train.near_surface_share, recipe.train.stretch
    vary = zoo.kind.variation(weights, seen, data, runner, near_surface_share=share, stretch=stretch)
    first, beside = (placed[0] if placed else None), tuple(placed[1:])
    views = image_views(data, first, recipe.train, runner)
    task = Task(recipe, training, data, first, runner, vary, zoo.kind, beside, extension, views)
    counts = {name: min(recipe.train.instances, len(w)) for name, w in weights.items()}
    check_sharing(task.share, recipe, counts, [a.name for a in seen if learns_unfolded(a)])
    return task


def _go_on(state: TrainState, folder: RunFolder, settings: Mapping[str, Any]) -> None:
    """Replace a new state by a run's last checkpoint."""
    saved = folder.resume(settings)
    try:
        state.load_state_dict(saved)
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as failure:
        raise CheckpointError(
            folder.checkpoint,
            f"holds no state of this run ({failure}).",
            f"Start again with {setting('force', True)}.",
        ) from failure


def _loop(task: Task, state: TrainState, folder: RunFolder, stop: StopRequest) -> None:
    recipe = task.recipe.train
    task = _having_asked(task, state, folder, stop)
    fewer = f"Lower train.images or train.instances, e.g. {setting('train.images', 64)}."
    # Its layers' outputs are hundreds of megabytes, the same in each step.
    large = larger_blocks_kept(task.recipe.backbone.kind == "conv")
    with task.runner.progress("training the space", recipe.steps, state.step) as tick, large:
        while state.step < recipe.steps:
            with task.runner.guard("in a training step", fewer):
                terms = take_step(task, state)
            task.runner.count(1, "steps")
            last = state.step == recipe.steps
            line: dict[str, Any] = {"step": state.step, **terms}
            if state.step % recipe.validate_every == 0 or last:
                with task.runner.guard("while validating", fewer):
                    line["val"] = validate(task, state)
            folder.log(line)
            tick(1, loss=terms["loss"], **({"val": state.best_loss} if state.best else {}))
            stopping = stop.requested_by_any(task.runner.processes)
            if state.step % recipe.checkpoint_every == 0 or last or stopping:
                folder.save(state.state_dict())
            if stopping and not last:
                raise stop.interrupted(
                    f"stopped after step {state.step} of {recipe.steps}; the checkpoint is in {folder.path}.",
                    f"The same command with {setting('resume', True)} continues.",
                )


def _having_asked(task: Task, state: TrainState, folder: RunFolder, stop: StopRequest) -> Task:
    """The task with the teacher's answers, where it is asked once; a resumed run asks again, in the same order."""
    asked = with_answers(task, lambda: stop.requested_by_any(task.runner.processes))
    if asked is None:
        folder.save(state.state_dict())
        raise stop.interrupted(
            f"stopped while asking the teacher, before step {state.step + 1}; the checkpoint is in {folder.path}.",
            f"The same command with {setting('resume', True)} continues, and asks again.",
        )
    return asked


def _settings(task: Task, zoo: Zoo) -> dict[str, Any]:
    """All settings that must be the same when a run is resumed."""
    return {
        "recipe": task.recipe.model_dump(mode="json"),
        "zoo": [[i.id, i.sha256] for i in zoo.instances if i.split != "test"],
        "data": task.data.record(),
        "teacher": [t.sha256 for t in task.teachers] if task.beside else task.teacher.sha256 if task.teacher else None,
        "seed": task.runner.seed,
        **({"extends": task.extension.space.sha256} if task.extension else {}),
        **({"precision": str(task.runner.precision)} if task.runner.precision != torch.float32 else {}),
        MADE_WITH: provenance(task.runner),
    }
