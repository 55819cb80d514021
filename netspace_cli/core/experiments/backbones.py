"""Compare recipes on one zoo after the same wall time of training.

The learning rate follows the clock: before each step a recipe's `train.steps` are the steps done and those that
fit into the time left at the speed so far, and its warm-up is at most a tenth of them. So every recipe's rate has
fallen as far as it is to fall when the time is over, whatever a step takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from netspace_models.errors import ConfigError, RunFailed

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.evaluation.evaluate import evaluate
from netspace_cli.core.kinds.images import require_images
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.space import Space, save_space
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.memory import footprint
from netspace_cli.core.training.record import record_of
from netspace_cli.core.training.step import Task, TrainState, take_step, validate
from netspace_cli.core.zoos.zoo import Zoo

from .curves import Point, fidelity_over_time
from .fidelity import measure
from .held_out import check_held_out, settings_of
from .report import Column, Report, Table
from .run_log import run_log

# Of the steps that fit, so that a slow recipe's rate rises at all.
MOST_WARMUP = 0.1


@dataclass(frozen=True)
class Mark:
    """A space at one moment of its training, measured on validation instances.

    Attributes:
        mark: the moment, in seconds of training.
        seconds, steps: what the whole steps until then took, and how many they are.
        pearson, mae, agreement: of the encoded instances; None where the training had failed by then.
    """

    mark: float
    seconds: float
    steps: int
    pearson: float | None = None
    mae: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class Ran:
    """The result of one recipe.

    Attributes:
        name, kind, parameters: of the recipe, its backbone and its space.
        pace: seconds a step.
        best_step: of the lowest validation loss at the marks: the space measured in the end.
        marks: in the order of time.
        end: by way of embedding, the summary of the held-out (test) instances, `steps` of refining and
            `seconds` a network; empty where the training failed before the first mark.
        remark: why there is less than was asked for; "" where nothing is missing.
    """

    name: str
    kind: str
    parameters: int
    pace: float
    best_step: int
    marks: tuple[Mark, ...]
    end: dict[str, dict[str, Any]]
    remark: str


@dataclass
class Clock:
    """Counts seconds of work, only inside `running`."""

    seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside the block."""
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds += perf_counter() - began


def backbones(
    zoo: Zoo,
    folder: Path,
    recipes: Mapping[str, Recipe],
    data: ImageData,
    runner: Runner,
    *,
    seconds: float,
    marks: int = 8,
    teacher: Network | None = None,
) -> Report:
    """Train a space with each recipe for the same time, and measure it along the way.

    The clock stops while measuring. Each recipe leaves `folder`/<name>/space.safetensors and a line in
    runs.jsonl; one with a line there is not trained again, one that was stopped begins again.

    Args:
        recipes: by name.
        seconds: of training, for each; the recipe's number of steps is not used.
        marks: evenly spaced, the last one at the end.
        teacher: for a zoo of several architectures.
    Raises:
        ConfigError: no recipe, no time, sizes that do not go together, a zoo without validation or test
            instances, or results of other settings in the folder.
        DoesNotFit: an architecture is too large for a recipe.
    """
    if not recipes or seconds <= 0 or marks < 1:
        raise ConfigError(
            f"cannot compare {len(recipes)} recipes in {seconds:g} s with {marks} marks.", "Give at least one of each."
        )
    check_held_out(zoo)
    recipes = {name: recipe.named(Path(f"{name}.safetensors")) for name, recipe in recipes.items()}
    sizes = {name: footprint(recipe, zoo).parameters for name, recipe in recipes.items()}
    prepare(zoo, next(iter(recipes.values())), data, runner, teacher=teacher)  # refuses before a file is written
    settings = settings_of("backbones", zoo, data, runner, teacher)
    settings |= {"seconds": seconds, "marks": marks, "device": str(runner.device)}
    found = []
    with run_log(folder / "runs.jsonl", settings) as log:
        for name, recipe in recipes.items():
            key = {"name": name, "recipe": recipe.model_dump(mode="json")}
            done = log.find(key)
            if done is None:
                task = prepare(zoo, recipe, data, runner, teacher=teacher)
                ran = _run(name, sizes[name], task, zoo, folder / name, seconds, marks)
                done = log.add({**key, "ran": asdict(ran)})
            found.append(_ran(done["ran"]))
    facts = {"seconds": seconds, "marks": marks, "remarks": {r.name: r.remark for r in found if r.remark}}
    return _report(found, {**facts, "recipes": {n: r.model_dump(mode="json") for n, r in recipes.items()}})


@dataclass
class TimedTraining:
    """The training of one recipe against the clock.

    Attributes:
        task: as the recipe has it.
        warm: seconds of a step before the clock was started.
    """

    task: Task
    state: TrainState
    warm: float
    clock: Clock = field(default_factory=Clock)

    @property
    def pace(self) -> float:
        """Seconds per step. The warm step counts as one, so that the first step alone does not set the pace."""
        return (self.warm + self.clock.seconds) / (1 + self.state.step)

    def step(self, seconds: float) -> None:
        """Take one training step, of a run of this many seconds.

        Raises:
            RunFailed: the loss or its gradient is not finite.
        """
        left = max(1, int((seconds - self.clock.seconds) / self.pace))
        task = paced(self.task, self.state.step + left)
        with self.clock.running():
            take_step(task, self.state)

    def space(self, zoo: Zoo) -> Space:
        """The present space, with the steps done in its record; its model is the one in training."""
        task = paced(self.task, max(1, self.state.step))
        embeddings = torch.cat(list(task.training.embeddings(self.state.model.eval(), task.runner).values()))
        return Space(self.state.model, record_of(task, self.state, zoo), embeddings)


def begin(task: Task, *, seconds: float) -> TimedTraining:
    """Prepare a training after two steps of another one that is thrown away.

    The first step may include one-off work; the second gives the pace. One step is enough if it takes `seconds` or
    more.
    """
    state, clock = new_state(task), Clock()
    for _ in range(2):
        clock = Clock()
        with clock.running():
            take_step(task, state)
        if clock.seconds >= seconds:
            break
    del state  # two models at once may not fit
    return TimedTraining(task, new_state(task), clock.seconds)


def paced(task: Task, steps: int) -> Task:
    """A copy of the task with this number of steps, and a warm-up that fits into them."""
    train = task.recipe.train
    train = train.model_copy(update={"steps": steps, "warmup": min(train.warmup, int(MOST_WARMUP * steps))})
    return replace(task, recipe=task.recipe.model_copy(update={"train": train}))


def _run(name: str, parameters: int, task: Task, zoo: Zoo, folder: Path, seconds: float, marks: int) -> Ran:
    """Train against the clock with measurements, then measure the best space on held-out instances."""
    due = [seconds * (i + 1) / marks for i in range(marks)]
    training, found, remark = begin(task, seconds=seconds), list[Mark](), ""
    try:
        _train(training, found, due, zoo, f"training {name}, seconds")
    except RunFailed as failure:
        remark = failure.message
        found += [Mark(mark, training.clock.seconds, training.state.step) for mark in due[len(found) :]]
    steps = training.state.step
    pace = training.clock.seconds / steps if steps else training.warm
    if not steps and not remark:
        remark = f"no step in {seconds:g} s: one takes {pace:.3g} s"
    end: dict[str, dict[str, Any]] = {}
    if training.state.best:
        end, unrefined = _measured_best(training, zoo, folder)
        remark = remark or unrefined
    kind = task.recipe.backbone.kind
    return Ran(name, kind, parameters, pace, training.state.best_step, tuple(found), end, remark)


def _train(training: TimedTraining, found: list[Mark], due: Sequence[float], zoo: Zoo, description: str) -> None:
    """Take whole steps until the last mark; add each mark to `found` when it is measured."""
    shown = 0
    with training.task.runner.progress(description, round(due[-1])) as tick:
        while len(found) < len(due):
            mark = due[len(found)]
            # A step that would end after the mark does not count for it.
            if training.clock.seconds + training.pace > mark:
                found.append(_measured(training, zoo, mark, found[-1] if found else None))
                continue
            training.step(due[-1])
            tick(int(training.clock.seconds) - shown, steps=training.state.step)
            shown = int(training.clock.seconds)


def _measured(training: TimedTraining, zoo: Zoo, mark: float, last: Mark | None) -> Mark:
    """Measure the space at a mark; keep it if its validation loss is the lowest so far."""
    task, state = training.task, training.state
    if last is not None and last.steps == state.step:
        return replace(last, mark=mark)
    validate(task, state)
    found = evaluate(zoo, training.space(zoo), require_images(task.data), task.runner, split="val").summary()
    return Mark(mark, training.clock.seconds, state.step, *(found[name] for name in ("pearson", "mae", "agreement")))


def _measured_best(training: TimedTraining, zoo: Zoo, folder: Path) -> tuple[dict[str, dict[str, Any]], str]:
    """Write the space of the best mark and measure it on held-out instances, refined as its recipe says.

    Returns the reason if refining failed.
    """
    state, task, remark = training.state, training.task, ""
    state.model.load_state_dict(state.best)
    state.model.requires_grad_(False).zero_grad()
    folder.mkdir(parents=True, exist_ok=True)
    space = save_space(folder / "space.safetensors", training.space(zoo), force=True)
    steps = task.recipe.refine.steps
    try:
        measured = measure(zoo, space, require_images(task.data), task.runner, refine_steps=steps)
    except RunFailed as failure:
        remark = f"refining: {failure.message}"
        measured = measure(zoo, space, require_images(task.data), task.runner, refine_steps=0)
    end = {how: {**m.evaluation.summary(), "steps": m.steps, "seconds": m.seconds} for how, m in measured.items()}
    return end, remark


def _ran(kept: Mapping[str, Any]) -> Ran:
    """Rebuild a `Ran` from `asdict`."""
    return Ran(**{**kept, "marks": tuple(Mark(**mark) for mark in kept["marks"])})


def _report(found: Sequence[Ran], facts: dict[str, Any]) -> Report:
    curves = {r.name: [Point(m.mark, m.mae, m.agreement) for m in r.marks] for r in found}
    title = f"Recipes compared, {facts['seconds']:g} s of training each"
    return Report(title, (end_table(found), mark_table(found)), {"figure": lambda: fidelity_over_time(curves)}, facts)


def mark_table(found: Sequence[Ran]) -> Table:
    """One row per recipe and mark."""
    columns = (
        Column("recipe"),
        Column("mark (s)", "number"),
        Column("trained (s)", "number"),
        Column("steps", "count"),
        Column("Pearson", "number"),
        Column("MAE", "share"),
        Column("agreement", "share"),
    )
    rows = [(r.name, m.mark, m.seconds, m.steps, m.pearson, m.mae, m.agreement) for r in found for m in r.marks]
    return Table("marks", "Along the way: validation instances, encoded", columns, tuple(rows))


def end_table(found: Sequence[Ran]) -> Table:
    """One row per recipe and way of embedding; a recipe that could not be measured has a row with a remark."""
    columns = (
        Column("recipe"),
        Column("backbone"),
        Column("parameters", "count"),
        Column("seconds a step", "number"),
        Column("steps", "count"),
        Column("best step", "count"),
        Column("embedding"),
        Column("refining steps", "count"),
        Column("seconds a network", "number"),
        Column("n", "count"),
        Column("Pearson", "number"),
        Column("MAE", "share"),
        Column("agreement", "share"),
        Column("of n with a peer", "count"),
        Column("their agreement", "share"),
        Column("peers' agreement", "share"),
        Column("remark"),
    )
    names = ("steps", "seconds", "n", "pearson", "mae", "agreement", "n_paired", "agreement_paired")
    rows = []
    for r in found:
        own = (r.name, r.kind, r.parameters, r.pace, r.marks[-1].steps, r.best_step)
        for how, s in r.end.items() or [(None, {})]:
            rows.append((*own, how, *(s.get(name) for name in (*names, "unrelated_agreement")), r.remark))
    return Table("end", "In the end: held-out instances", columns, tuple(rows))
