"""The model and optimiser at the start of training."""

from __future__ import annotations

from dataclasses import replace

import torch
from netspace_models.backbones import ArchitectureInit
from netspace_models.second_order.curvature import curvature_moments
from netspace_models.space_model import SpaceModel
from netspace_models.training.contrast import ProjectionHead
from netspace_models.training.unfolded import UnfoldedStarts, learns_unfolded, scale_as_fresh
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.runtime.runner import Runner, kept_random_state
from netspace_cli.core.spaces.model import build_model
from netspace_cli.core.zoos.finetune import restored_module

from .extension import extended_model
from .optimiser import optimizer_of
from .starts import recombined_starts
from .step import Task, TrainState
from .training_set import fresh_weights, initial_values, without_instance

CURVATURE_INPUTS = 512


def new_state(task: Task) -> TrainState:
    """The model before its first step, and its optimiser; the same for the same seed."""
    if task.extension is not None:
        model = extended_model(task.extension, task.recipe, task.training, task.runner)
        unfolded = unfolded_starts(model, task)
        return TrainState(model, optimizer_of(model, None, unfolded, task), unfolded=unfolded)
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
    unfolded = unfolded_starts(model, task)
    return TrainState(model, optimizer_of(model, head, unfolded, task), head, unfolded=unfolded)


def _projection_head(model: SpaceModel, task: Task) -> ProjectionHead | None:
    """Projection head of the contrastive term, if the recipe has one."""
    contrast = task.recipe.train.contrast
    return task.runner.place(ProjectionHead(model.embedding_size, contrast.width)) if contrast.gamma else None


def unfolded_starts(model: SpaceModel, task: Task) -> dict[str, UnfoldedStarts]:
    """Further starting points that learn with their batch norms in place, by architecture.

    The model's own do not learn; they are set to these, folded, where they are read.
    """
    found: dict[str, UnfoldedStarts] = {}
    for a in task.training.seen():
        if model.backbone.starts_of(a.name) == 1 or not learns_unfolded(a):
            continue
        weights = model.backbone.further_weights(a.name).detach()
        modules = [restored_module(a, each, task.data, task.runner) for each in weights]
        with kept_random_state():
            torch.manual_seed(task.runner.seed)
            fresh = task.runner.place(fresh_module(a.name, a.io))
        for module in modules:
            scale_as_fresh(a, module, fresh)
        found[a.name] = UnfoldedStarts(a, modules)
        for start, _ in model.backbone.further_starts([a.name]):
            start.requires_grad_(False)
    return found


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
