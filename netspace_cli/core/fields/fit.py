"""Fit networks to signals, many at once, and make a zoo of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from netspace_models.architectures import Architecture, FieldSignal
from netspace_models.errors import ConfigError, RunFailed
from netspace_models.losses import output_matching
from torch import Tensor
from torch.autograd.function import once_differentiable

from netspace_cli.core.factories import fresh_module, resolve_architecture
from netspace_cli.core.files import sha256_of
from netspace_cli.core.optimise import Descent, descend
from netspace_cli.core.path_files import check_folder
from netspace_cli.core.progress import Progress, Silent
from netspace_cli.core.runner import Runner, kept_random_state
from netspace_cli.core.zoo import SPLITS, Instance, Zoo, append_instance, create_zoo, open_zoo, write_instance
from netspace_cli.core.zoo_splits import draw_splits

from .data import COLOURS, DISTANCES, FieldData
from .scoring import UNITS, mean_error, values_of, within
from .shape import Shape
from .sources import ShapeSource

# Splits where none are asked for, in proportion.
SHARES = (8, 1, 1)


@dataclass(frozen=True)
class FitPlan:
    """How signals are fitted.

    Attributes:
        arch: of all networks.
        counts: instances by split, (train, val, test); None for all there are, 8/1/1.
        steps, points, lr: of Adam; the rate falls to a hundredth as a cosine.
        together: networks fitted at once.
        shared_init: whether all start from the same network; each has a start of its own otherwise.
        licence: recorded with every instance.
    """

    arch: str = "siren"
    counts: tuple[int, int, int] | None = None
    steps: int = 8000
    points: int = 128
    lr: float = 3e-4
    together: int = 16
    shared_init: bool = False
    licence: str = "CC0-1.0"

    def settings(self) -> dict[str, Any]:
        """What every instance is fitted with, for the manifest."""
        return {"steps": self.steps, "points": self.points, "lr": self.lr, "shared_init": self.shared_init}


@dataclass(frozen=True)
class FitJob:
    """A network to fit: id and split of the instance, the signal, and its place among all (a seed)."""

    id: str
    split: str
    source: ShapeSource
    seed: int


def fit_jobs(sources: Sequence[ShapeSource], plan: FitPlan, seed: int) -> list[FitJob]:
    """Which signals are fitted and to which split each goes, drawn from the seed.

    Raises:
        ConfigError: fewer signals than counts, or none.
    """
    counts = plan.counts
    total = len(sources) if counts is None else sum(counts)
    if total < 1 or total > len(sources):
        raise ConfigError(
            f"{total} instances were asked for and there are {len(sources)} shapes.",
            "Give counts that fit: --counts TRAIN/VAL/TEST.",
        )
    draw = random.Random(f"{seed}/shapes")
    chosen = sorted(draw.sample(range(len(sources)), total))
    if counts is None:
        splits = draw_splits(total, SHARES, {}, draw)
    else:
        splits = [s for s, n in zip(SPLITS, counts, strict=True) for _ in range(n)]
        draw.shuffle(splits)
    return [FitJob(sources[i].name, split, sources[i], seed + i) for i, split in zip(chosen, splits, strict=True)]


def fit_zoo(
    path: Path, sources: Sequence[ShapeSource], plan: FitPlan, runner: Runner, *, progress: Progress | None = None
) -> Zoo:
    """Fit what a plan asks for and is not there yet; the manifest grows by a group of networks at a time.

    Args:
        path: the zoo's folder; a zoo of such signals is added to.
        sources: of one kind.
    Raises:
        ConfigError: the plan asks for more than there is, or the folder holds another zoo or other instances; fp16.
        InputFileError: a shape that cannot be fitted; none is begun before all have been looked at, as far as
            that is quick.
        RunFailed: a loss that is not finite; those finished are kept.
    """
    runner.check_gradients()
    jobs = fit_jobs(sources, plan, runner.seed)
    data = data_of(sources)
    architecture = resolve_architecture(plan.arch, data.signal)
    todo = fits_so_far(path, sources, jobs, plan)
    progress = progress or Silent()
    for start in range(0, len(todo), plan.together):
        group = todo[start : start + plan.together]
        name = f"fitting {start + 1}-{start + len(group)} of {len(todo)}"
        shapes = [job.source.read(runner.generator("shape", job.id)) for job in group]
        create_zoo(path, data.record(), {"licence": plan.licence})
        vectors = fit(starts(group, architecture, plan), shapes, architecture, plan, runner, progress, name)
        for job, shape, vector in zip(group, shapes, vectors, strict=True):
            append_instance(path, _write(path, job, shape, vector, architecture, plan, runner))
        runner.count(len(group), "instances")
    return open_zoo(path)


def fits_so_far(path: Path, sources: Sequence[ShapeSource], jobs: Sequence[FitJob], plan: FitPlan) -> list[FitJob]:
    """What is left to fit, before anything is made; shapes that cannot be fitted are refused.

    Raises:
        ConfigError, InputFileError: as `fit_zoo`.
    """
    data = data_of(sources)
    resolve_architecture(plan.arch, data.signal)
    todo = list(jobs)
    if (path / "zoo.json").is_file():
        zoo = create_zoo(path, data.record(), {})
        todo = left_to_fit(zoo, jobs, plan)
    else:
        check_folder(path)
    for job in todo:
        job.source.check()
    return todo


def data_of(sources: Sequence[ShapeSource]) -> FieldData:
    """The data of a zoo of such signals."""
    first = sources[0]
    what = COLOURS if first.kind == "picture" else DISTANCES
    return FieldData(FieldSignal(first.dimensions, first.values), {"values": what})


def left_to_fit(zoo: Zoo, jobs: Sequence[FitJob], plan: FitPlan) -> list[FitJob]:
    """Those of the jobs that a zoo has not.

    Raises:
        ConfigError: it has one that was fitted otherwise, or for another split.
    """
    done: Mapping[str, Instance] = {i.id: i for i in zoo.instances}
    for job in jobs:
        there = done.get(job.id)
        if there is None:
            continue
        wanted = _settings(job, plan)
        known = {k: v for k, v in there.training.items() if k in wanted}
        if (there.split, there.arch, there.seed, known) != (job.split, plan.arch, job.seed, wanted):
            raise ConfigError(
                f"{zoo.path} has {job.id} already, a {there.arch} of split {there.split} and seed {there.seed}, fitted "
                f"with {known}; this plan makes it a {plan.arch} of split {job.split} and seed {job.seed}, fitted with "
                f"{wanted}.",
                "Go on with the settings it was begun with, or choose another folder.",
            )
    return [job for job in jobs if job.id not in done]


def _settings(job: FitJob, plan: FitPlan) -> dict[str, Any]:
    """All that a network is a function of beside its architecture and seed."""
    return {**plan.settings(), "source": job.source.path.name, **job.source.about}


def starts(group: Sequence[FitJob], architecture: Architecture, plan: FitPlan) -> Tensor:
    """Fresh networks (N, P): each a function of its own seed, or all the same."""
    rows = []
    for job in group:
        with kept_random_state():
            torch.manual_seed(0 if plan.shared_init else job.seed)
            module = fresh_module(architecture.name, architecture.signal)
        rows.append(architecture.to_vector(module.state_dict()))
    return torch.stack(rows)


def fit(
    begin: Tensor,
    shapes: Sequence[Shape],
    architecture: Architecture,
    plan: FitPlan,
    runner: Runner,
    progress: Progress | None = None,
    description: str = "fitting",
) -> Tensor:
    """Fit networks to shapes, all in the same steps.

    The squared error (eq. 2) at points drawn from each shape's samples; what one network becomes does not depend on
    the others.

    Args:
        begin: (N, P) one network a shape.
    Returns:
        (N, P), on the processor.
    Raises:
        ConfigError: fp16.
        RunFailed: a loss or the weights found are not finite, or memory runs out.
    """
    points, values = (runner.place(torch.cat([getattr(s, what) for s in shapes])) for what in ("points", "values"))
    counts = torch.tensor([len(s.points) for s in shapes])[:, None]
    first = counts.cumsum(dim=0) - counts

    def loss_at(vectors: Tensor, step: int) -> Tensor:
        # The same numbers between 0 and 1 for all, which fall on some of each shape's samples however many it has.
        drawn = torch.rand(plan.points, generator=runner.generator("fit", step), dtype=torch.float64)
        places = runner.place(first + (drawn * counts).long())

        def loss_of(part: Tensor, rows: slice) -> Tensor:
            with runner.autocast():
                found = architecture.run_each(part, points[places[rows]])
                # A mean for each network, summed: that of all times their number.
                return len(part) * output_matching(found, values[places[rows]])

        return in_parts(loss_of, vectors, runner.rows_at_once(len(vectors), plan.points * UNITS))

    runner.check_gradients()
    descent = Descent(plan.steps, plan.points, plan.lr, plan.lr / 100)
    with runner.guard(f"fitting {len(shapes)} networks at once", "Lower --together or --points."):
        found = descend(
            runner.place(begin), loss_at, descent, progress or Silent(), description=description, fused=True
        )
    if not torch.isfinite(found).all():
        raise RunFailed(f"the weights are not finite after step {plan.steps} of {plan.steps}.", "Lower --lr.")
    return found.cpu()


@dataclass(frozen=True)
class FitErrors:
    """Mean absolute errors of a zoo's networks on points that nothing was fitted to.

    Attributes:
        n: of the networks.
        median, highest: of them.
        most: what 95 % of them do not exceed.
    """

    n: int
    median: float
    most: float
    highest: float


def fit_errors(zoo: Zoo) -> FitErrors:
    """How well the networks of a zoo made by `fit_zoo` are fitted, by its manifest."""
    errors = [i.training["error"] for i in zoo.instances]
    median, most, highest = np.quantile(errors, [0.5, 0.95, 1.0], method="inverted_cdf").tolist()
    return FitErrors(len(errors), median, most, highest)


def in_parts(loss_of: Callable[[Tensor, slice], Tensor], vectors: Tensor, size: int) -> Tensor:
    """A sum of losses of rows, whose gradient is taken some rows at a time.

    Args:
        loss_of: from rows (b, P) and their places to the sum of their losses.
        vectors: (N, P).
        size: rows at a time.
    Returns:
        A scalar with the value and the gradient of `loss_of` on all rows.
    """
    total, gradients = torch.zeros((), device=vectors.device), list[Tensor]()
    for start in range(0, len(vectors), size):
        rows = slice(start, start + size)
        part = vectors[rows].detach().requires_grad_(True)
        loss = loss_of(part, rows)
        gradients += torch.autograd.grad(loss, part)
        total = total + loss.detach()
    found: Tensor = _WithGradient.apply(vectors, total, torch.cat(gradients))
    return found


class _WithGradient(torch.autograd.Function):
    """A value whose gradient is known already."""

    @staticmethod
    def forward(context: Any, variables: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        context.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(context: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = context.saved_tensors
        return outer[0] * gradient, None, None


def _write(
    path: Path, job: FitJob, shape: Shape, vector: Tensor, architecture: Architecture, plan: FitPlan, runner: Runner
) -> Instance:
    file = write_instance(path, job.id, architecture.name, architecture.to_state(vector), plan.licence)
    found = values_of(architecture, runner.place(vector), runner.place(shape.held_points), runner)
    return Instance(
        id=job.id,
        arch=architecture.name,
        split=job.split,
        file=file,
        sha256=sha256_of(path / file),
        seed=job.seed,
        accuracy={"test": round(within(shape.held_values, found), 6)},
        licence=plan.licence,
        training={
            **_settings(job, plan),
            "error": round(mean_error(shape.held_values, found), 6),
        },
    )
