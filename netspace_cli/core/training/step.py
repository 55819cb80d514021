"""One step and one validation of a space's training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from netspace_models.errors import RunFailed
from netspace_models.sending import sent
from netspace_models.space_model import SpaceModel
from netspace_models.training.augmentations import augmented_view
from netspace_models.training.contrast import ProjectionHead
from netspace_models.training.losses import ensemble_outputs
from netspace_models.training.objectives import (
    Batch,
    LossConstants,
    Terms,
    level_losses,
    several_objective,
    single_objective,
)
from netspace_models.training.reconstruction import Representation, layer_sigma, representation_objective
from netspace_models.training.unfolded import UnfoldedStarts
from torch import Tensor, nn

from netspace_cli.core.data.data import Data
from netspace_cli.core.kinds.kind import Kind, Variation
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.optimisers import Together
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe, TrainRecipe

from .extension import Extension
from .image_views import ImageViews
from .sharing import Part, Projection, Share, Summed, add_up
from .training_set import TrainingSet


@dataclass(frozen=True)
class Task:
    """Data, recipe and teacher of a training, fixed for the whole run.

    `vary` changes instances and inputs in each step; `beside` are networks that teach together with the teacher. With
    `extension` a finished space gets further starting points, and nothing else is learnt. `views` are those of training
    images that steps show, where these are fixed.
    """

    recipe: Recipe
    training: TrainingSet
    data: Data
    teacher: Network | None
    runner: Runner
    vary: Variation
    kind: Kind
    beside: tuple[Network, ...] = ()
    extension: Extension | None = None
    views: ImageViews | None = None

    @property
    def teachers(self) -> tuple[Network, ...]:
        """All that teach together."""
        return () if self.teacher is None else (self.teacher, *self.beside)

    @property
    def constants(self) -> LossConstants:
        """Constants of the losses."""
        t = self.recipe.train
        return LossConstants(t.temperature, t.alpha, t.interpolation, t.self_imitation, t.level, t.level_loss)

    @property
    def several(self) -> bool:
        """Whether the space has several architectures (eq. 3-12) or one (eq. 1)."""
        return len(self.training.architectures) > 1

    @cached_property
    def share(self) -> Share:
        """How processes share a step. Networks that are compared with each other, or summed, are all run by each."""
        t = self.recipe.train
        paths = not self.data.io.labelled and t.interpolation > 0 and t.structure < 1
        whole = self.extension is None and (self.several or paths)
        return Share(self.runner.processes, "inputs" if whole else "networks")

    @cached_property
    def representation(self) -> Representation | None:
        """Settings for weights and contrasts; None if networks are only imitated."""
        t = self.recipe.train
        if t.objective == "imitate" and not t.contrast.gamma:
            return None
        sigma = None
        if t.reconstruct.layer_normalisation:
            sigma = {a.name: layer_sigma(a, self.training.scale_of(a)) for a in self.training.seen()}
        whole = t.reconstruct.target == "instance"
        return Representation(t.structure, sigma, whole, t.contrast.gamma, t.contrast.temperature)


@dataclass
class TrainState:
    """Everything that changes during training; the content of a checkpoint.

    Attributes:
        model, optimizer: as they are after `step` steps.
        contrast: the projection head of the contrastive term, which is not part of the space; None without the term.
        unfolded: starting points that learn with their batch norms in place, by architecture; the model gets them
            where it is validated.
        best: the model's values at the best validation so far, or at the last one, as `train.keep` says; best_loss,
            best_step: of that validation.
    """

    model: SpaceModel
    optimizer: torch.optim.Optimizer | Together
    contrast: ProjectionHead | None = None
    step: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_loss: float = math.inf
    best_step: int = 0
    unfolded: dict[str, UnfoldedStarts] = field(default_factory=dict)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that may learn, in one order."""
        beside = [] if self.contrast is None else list(self.contrast.parameters())
        return [*self.model.ordered_parameters(), *beside, *(p for u in self.unfolded.values() for p in u.parameters())]

    def state_dict(self) -> dict[str, Any]:
        """As plain containers of tensors and numbers."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "best": self.best,
            "best_loss": self.best_loss,
            "best_step": self.best_step,
            **({} if self.contrast is None else {"contrast": self.contrast.state_dict()}),
            **({"unfolded": {name: u.state_dict() for name, u in self.unfolded.items()}} if self.unfolded else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore from `state_dict`.

        Raises:
            RuntimeError, KeyError, ValueError, TypeError, AttributeError: it is of something else.
        """
        best, own = dict(state["best"]), self.model.state_dict()
        if best and {n: t.shape for n, t in best.items()} != {n: t.shape for n, t in own.items()}:
            raise ValueError("the values of its best step are of another model")
        if not all(isinstance(state[name], int | float) for name in ("step", "best_step", "best_loss")):
            raise TypeError("its steps or its loss is not a number")
        self.model.load_state_dict(state["model"])
        if self.contrast is not None:
            self.contrast.load_state_dict(state["contrast"])
        for name, unfolded in self.unfolded.items():
            unfolded.load_state_dict(state["unfolded"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best_step = state["step"], state["best_step"]
        self.best, self.best_loss = best, state["best_loss"]


def take_step(task: Task, state: TrainState) -> dict[str, float]:
    """Take one step of the optimiser. All randomness depends only on the seed and the step's number.

    Returns:
        The loss and its terms.
    Raises:
        RunFailed: the loss or its gradient is not finite; the model is left as it was.
    """
    recipe = task.recipe.train
    generator = task.runner.generator("step", state.step)
    state.model.train()
    batch = replace(_batch(task, state.step, generator), unfolded=state.unfolded)
    statistics = Summed(task.runner.processes, [t for u in state.unfolded.values() for t in u.statistics()])
    with task.runner.autocast():
        terms = _objective(task, state, batch, generator)
        loss = torch.stack(list(terms.values())).sum()
    for group in state.optimizer.param_groups:
        group["lr"] = group["pace"] * rate_at(state.step, recipe)
    state.optimizer.zero_grad()
    loss.backward()
    parameters = state.parameters
    terms = add_up(task.runner.processes, parameters, terms)
    statistics.add_up()
    norm = torch.nn.utils.clip_grad_norm_(parameters, recipe.clip or math.inf)
    found = list(terms.values())
    # An accelerator has to finish all it was given before a number can be read: once, and before the optimiser.
    total, size, *values = torch.stack([torch.stack(found).sum(), norm, *found]).tolist()
    _check_finite(total, "loss", state)
    _check_finite(size, "gradient", state)
    state.optimizer.step()
    state.step += 1
    return {"loss": total, **dict(zip(terms, values, strict=True))}


def _check_finite(value: float, what: str, state: TrainState) -> None:
    if not math.isfinite(value):
        raise _diverged(what, state.step + 1)


def _diverged(what: str, step: int) -> RunFailed:
    return RunFailed(
        f"the {what} is not finite at step {step}.",
        "The last checkpoint is kept; start again with a lower train.lr.",
    )


def rate_at(step: int, recipe: TrainRecipe) -> float:
    """Learning rate of a step, counted from 0: a linear rise, then a cosine to zero or a constant."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.lr
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def validate(task: Task, state: TrainState) -> float:
    """Compute the training loss on all validation instances, and keep the model if it is the best so far.

    Inputs are 512 validation images or 4096 points, the same each time, drawn at random since files may be in the order
    of their classes. There is no augmentation and no reordering, and so no contrastive term. With `train.keep = "last"`
    the model is always kept.

    Returns:
        The loss; of several architectures its mean over groups of one instance of each.
    Raises:
        RunFailed: it is not finite.
    """
    state.model.eval()
    for name, unfolded in state.unfolded.items():
        state.model.backbone.set_further_starts(name, unfolded.weights())
    inputs, labels = task.data.sample("val", task.kind.validation_inputs, task.runner.generator("validation"))
    processes = task.runner.processes
    with torch.no_grad(), task.runner.autocast():
        batch = Batch(inputs, labels, teacher_logits(task, inputs))
        found = {a.name: task.training.weights.get(("val", a.name)) for a in task.training.architectures}
        present = {name: weights for name, weights in found.items() if weights is not None}
        losses = torch.zeros(max(len(weights) for weights in present.values()), device=inputs.device)
        for i in range(processes.number, len(losses), processes.count):
            batch = replace(batch, starts=_starts_by_turns(task, i))
            some = slice(i, i + 1)
            one = {name: task.training.rows_of("val", name, some) for name, v in present.items() if i < len(v)}
            if task.extension is not None:
                terms = _level_terms(
                    task, task.extension, state.model, "val", dict.fromkeys(one, torch.tensor([i])), batch
                )
            else:
                terms = _terms(task, state.model, Part([one], one, batch))
            losses[i] = torch.stack(list(terms.values())).sum() / len(one)
    loss = processes.add_up(losses).mean().item()
    if not math.isfinite(loss):
        raise _diverged("validation loss", state.step)
    if loss < state.best_loss or task.recipe.train.keep == "last":
        state.best_loss, state.best_step = loss, state.step
        state.best = {n: t.detach().clone() for n, t in state.model.state_dict().items()}
    return loss


def _objective(task: Task, state: TrainState, batch: Batch, generator: torch.Generator) -> Terms:
    targets, drawn = {}, {}
    for a in task.training.seen():
        weights = task.training.weights["train", a.name]
        drawn[a.name] = rows = _drawn_rows(weights, task.recipe.train.instances, generator)
        chosen = task.training.rows_of("train", a.name, rows)
        targets[a.name], batch = task.vary(a, chosen, rows, batch, generator)
    if task.extension is not None:
        own, batch, weight = task.share.rows(drawn, batch)
        terms = _level_terms(task, task.extension, state.model, "train", own, batch)
        return {name: weight * term for name, term in terms.items()}
    changes = task.recipe.train.augmentations
    views = [
        {a.name: augmented_view(a, targets[a.name], changes, generator) for a in task.training.seen()}
        for _ in range(1 if state.contrast is None else 2)
    ]
    part = task.share.part(views, targets, batch)
    if part.batch.teacher is None:
        with torch.no_grad():
            part = replace(part, batch=replace(part.batch, teacher=teacher_logits(task, part.batch.inputs)))
    return part.weighted(_terms(task, state.model, part, state.contrast))


def _level_terms(
    task: Task, extension: Extension, model: SpaceModel, split: str, rows: Mapping[str, Tensor], batch: Batch
) -> Terms:
    """Loss of further starting points alone, mean over instances: rows of the zoo by architecture."""
    losses = []
    for name, chosen in rows.items():
        embeddings, targets = extension.embeddings[split, name][chosen], task.training.rows_of(split, name, chosen)
        losses.append(level_losses(model, name, embeddings, targets, batch, task.constants))
    return {"level": torch.cat(losses).mean()}


def _terms(task: Task, model: SpaceModel, part: Part, head: Projection | None = None) -> Terms:
    views, targets, batch = part.views, part.targets, part.batch
    if task.representation is not None:
        head = None if head is None else part.projecting(head)
        return representation_objective(model, views, targets, batch, task.constants, task.representation, head)
    (inputs,) = views
    if task.several:
        return several_objective(model, inputs, targets, batch, task.constants)
    (name,) = inputs
    return single_objective(model, name, inputs[name], targets[name], batch, task.constants)


def _batch(task: Task, step: int, generator: torch.Generator) -> Batch:
    if task.views is None:
        inputs, labels = task.data.draw("train", task.recipe.train.images, generator)
        return Batch(inputs, labels, starts=_drawn_starts(task, generator))
    places = task.views.places(step)
    inputs, labels = task.views.batch(places)
    return Batch(inputs, labels, task.views.answers_to(places), starts=_drawn_starts(task, generator))


def _drawn_starts(task: Task, generator: torch.Generator) -> dict[str, list[int]]:
    """A further starting point for each instance of a step, by architecture; none for one with one starting point."""
    space, most, found = task.recipe.space, task.recipe.train.instances, {}
    for name in (a.name for a in task.training.seen() if space.starts_of(a.name) > 1):
        count = min(most, len(task.training.weights["train", name]))
        found[name] = torch.randint(1, space.starts, (count,), generator=generator).tolist()
    return found


def _starts_by_turns(task: Task, turn: int) -> dict[str, list[int]]:
    """Starting points for one instance of each architecture, so that a validation includes all of them."""
    space = task.recipe.space
    names = [a.name for a in task.training.seen() if space.starts_of(a.name) > 1]
    return {name: [1 + turn % (space.starts - 1)] for name in names}


def teacher_logits(task: Task, inputs: Tensor) -> Tensor | None:
    """(N, K) what the teachers say of inputs; None without any."""
    said = (each.architecture.run(each.weights, inputs) for each in task.teachers)
    return ensemble_outputs(said, task.data.io.problem) if task.beside else next(said, None)


def _drawn_rows(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return sent(torch.randperm(len(weights), generator=generator)[:count], weights.device)
