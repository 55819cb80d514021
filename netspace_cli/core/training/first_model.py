"""The model and optimiser at the start of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from netspace_models.backbones import ArchitectureInit
from netspace_models.second_order.curvature import curvature_moments
from netspace_models.space_model import SpaceModel
from netspace_models.training.contrast import ProjectionHead
from torch import Tensor, nn

from netspace_cli.core.data.data import Data
from netspace_cli.core.runtime.runner import Runner, kept_random_state
from netspace_cli.core.spaces.model import build_model

from .extension import extended_model
from .starts import recombined_starts
from .step import Task, TrainState
from .training_set import fresh_weights, initial_values, without_instance

CURVATURE_INPUTS = 512


def new_state(task: Task) -> TrainState:
    """The model before its first step, and its optimiser; the same for the same seed."""
    if task.extension is not None:
        model = extended_model(task.extension, task.recipe, task.training, task.runner)
        return TrainState(model, _optimizer_of(model.backbone.further_starts(), [], task))
    inputs, generator = curvature_inputs(task.data, task.runner)
    inits = initial_values(task.training, task.recipe, task.runner, inputs)
    if task.recipe.space.starts > 1:
        inits = _with_further_starts(inits, task, inputs)
    if task.recipe.backbone.needs_curvature:
        inits = _with_moments(inits, task, inputs, generator)
    with kept_random_state():
        torch.manual_seed(task.runner.seed)
        model = task.runner.place(build_model(task.recipe, task.training.architectures, inits))
        head = _projection_head(model, task)
    _begin_at_inputs(model, task)
    return TrainState(model, _optimizer(model, head, task), head)


def _projection_head(model: SpaceModel, task: Task) -> ProjectionHead | None:
    """Projection head of the contrastive term, if the recipe has one."""
    contrast = task.recipe.train.contrast
    return task.runner.place(ProjectionHead(model.embedding_size, contrast.width)) if contrast.gamma else None


def _optimizer(model: SpaceModel, head: ProjectionHead | None, task: Task) -> torch.optim.Optimizer:
    """Adam. Decoder biases that start untrained get a learning rate scaled to the weights that they replace.

    Biases that start at a trained instance get the usual rate.
    """
    starts = model.backbone.starts(without_instance(task.training, task.recipe)) + model.backbone.further_starts()
    apart = {id(start) for start, _ in starts}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.ordered_parameters() if id(p) not in apart], "pace": 1.0}
    ]
    return _optimizer_of(starts, groups, task, head)


def _optimizer_of(
    starts: Sequence[tuple[nn.Parameter, float]],
    groups: list[dict[str, Any]],
    task: Task,
    head: ProjectionHead | None = None,
) -> torch.optim.Optimizer:
    """Adam on groups of parameters, then starting points at their own rates, then the projection head."""
    groups += [{"params": [start], "pace": task.recipe.train.untrained_lr_factor * pace} for start, pace in starts]
    groups += [] if head is None else [{"params": list(head.parameters()), "pace": 1.0}]
    return torch.optim.Adam(groups, task.recipe.train.lr, fused=True)


def _with_further_starts(inits: dict[str, ArchitectureInit], task: Task, inputs: Tensor) -> dict[str, ArchitectureInit]:
    """Set starting points after the first, for decoders with several.

    They are recombined if the first one is a training instance, else newly initialised.
    """
    found, recipe, training = {}, task.recipe.space, task.training
    for a in training.architectures:
        if recipe.starts_of(a.name) == 1:
            found[a.name] = inits[a.name]
            continue
        if a.name in without_instance(training, task.recipe):
            further = fresh_weights(a, task.runner, inputs, count=recipe.starts)[1:]
        else:
            key = ("train", a.name)
            further = recombined_starts(a, training.weights[key], training.instances[key], recipe, task.runner)
        found[a.name] = replace(inits[a.name], further=further, starts=recipe.starts)
    return found


def _with_moments(
    inits: dict[str, ArchitectureInit], task: Task, inputs: Tensor, generator: torch.Generator
) -> dict[str, ArchitectureInit]:
    """Add curvature of each starting point on the inputs, for decoders along directions of curvature."""
    found = {}
    for architecture in task.training.architectures:
        init = inits[architecture.name]
        assert init.start is not None  # only a model whose values are loaded afterwards has none
        state = task.runner.place(architecture.spec.unflatten(init.start))
        moments = curvature_moments(
            architecture.fused, state, inputs, generator=generator, values=not architecture.io.logits
        )
        found[architecture.name] = replace(init, moments=moments)
    return found


def curvature_inputs(data: Data, runner: Runner) -> tuple[Tensor, torch.Generator]:
    """Draw training images or points for curvature; also returns the generator to continue with."""
    generator = runner.generator("curvature")
    return data.sample("train", CURVATURE_INPUTS, generator)[0], generator


def _begin_at_inputs(model: SpaceModel, task: Task) -> None:
    """Start probes at training images or points."""
    if model.backbone.probe_count:
        inputs, _ = task.data.sample("train", model.backbone.probe_count, task.runner.generator("probes"))
        model.backbone.begin_at(inputs)
