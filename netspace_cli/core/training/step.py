"""One step and one validation of a space's training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import RunFailed
from netspace_models.space_model import SpaceModel
from netspace_models.training.objectives import Batch, LossConstants, Terms, several_objective, single_objective
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.kinds.kind import Kind, Variation
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe, TrainRecipe

from .training_set import TrainingSet, deviation


@dataclass(frozen=True)
class Task:
    """What is trained on what; fixed for the whole run. `vary` is how a step varies its instances and inputs."""

    recipe: Recipe
    training: TrainingSet
    data: Data
    teacher: Network | None
    runner: Runner
    vary: Variation
    kind: Kind

    @property
    def constants(self) -> LossConstants:
        """Constants of the losses."""
        t = self.recipe.train
        return LossConstants(t.temperature, t.alpha, t.interpolation, t.own, t.level, t.level_loss)

    @property
    def several(self) -> bool:
        """Whether the space has several architectures (eq. 3-12) or one (eq. 1)."""
        return len(self.training.architectures) > 1


@dataclass
class TrainState:
    """All that changes while training; what a checkpoint holds.

    Attributes:
        model, optimizer: as they are after `step` steps.
        best: the model's values at the best validation so far; best_loss, best_step: that validation.
    """

    model: SpaceModel
    optimizer: torch.optim.Optimizer
    step: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_loss: float = math.inf
    best_step: int = 0

    def state_dict(self) -> dict[str, Any]:
        """As plain containers of tensors and numbers."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "best": self.best,
            "best_loss": self.best_loss,
            "best_step": self.best_step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Undo `state_dict`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best_step = state["step"], state["best_step"]
        self.best, self.best_loss = dict(state["best"]), state["best_loss"]


def take_step(task: Task, state: TrainState) -> dict[str, float]:
    """One step of the optimiser; all that is random in it is a function of the seed and the step's number.

    Returns:
        The loss and its terms.
    Raises:
        RunFailed: the loss or its gradient is not finite; the model is left as it was.
    """
    recipe = task.recipe.train
    generator = task.runner.generator("step", state.step)
    state.model.train()
    batch = _batch(task, generator)
    with task.runner.autocast():
        terms = _objective(task, state.model, batch, generator)
        loss = torch.stack(list(terms.values())).sum()
    if not torch.isfinite(loss):
        raise _diverged("loss", state.step + 1)
    for group in state.optimizer.param_groups:
        group["lr"] = group["pace"] * rate_at(state.step, recipe)
    state.optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.model.ordered_parameters(), recipe.clip or math.inf)
    if not torch.isfinite(norm):
        raise _diverged("gradient", state.step + 1)
    state.optimizer.step()
    state.step += 1
    return {"loss": loss.item(), **{name: term.item() for name, term in terms.items()}}


def _diverged(what: str, step: int) -> RunFailed:
    return RunFailed(
        f"the {what} is not finite at step {step}.",
        "The last checkpoint is kept; begin again with a lower train.lr.",
    )


def rate_at(step: int, recipe: TrainRecipe) -> float:
    """The learning rate of a step, counted from 0: a linear rise, then a cosine to zero or a constant."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.lr
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def validate(task: Task, state: TrainState) -> float:
    """The training loss on all validation instances and 512 validation images, or 4096 points (the same each
    time, drawn at random: files may lie in the order of their classes), without augmentation or reordering;
    the model is kept if it is the best so far.

    Returns:
        The loss; of several architectures its mean over groups of one instance of each.
    Raises:
        RunFailed: it is not finite.
    """
    state.model.eval()
    inputs, labels = task.data.sample("val", task.kind.validation_inputs, task.runner.generator("validation"))
    losses = []
    with torch.no_grad(), task.runner.autocast():
        batch = Batch(inputs, labels, _teacher_logits(task, inputs))
        rows = {a.name: task.training.weights.get(("val", a.name)) for a in task.training.architectures}
        present = {name: weights for name, weights in rows.items() if weights is not None}
        for i in range(max(len(weights) for weights in present.values())):
            batch = replace(batch, starts=_starts_by_turns(task, i))
            one = {name: v[i : i + 1] for name, v in present.items() if i < len(v)}
            terms = _terms(task, state.model, one, one, batch)
            losses.append(torch.stack(list(terms.values())).sum() / len(one))
    loss = torch.stack(losses).mean().item()
    if not math.isfinite(loss):
        raise _diverged("validation loss", state.step)
    if loss < state.best_loss:
        state.best_loss, state.best_step = loss, state.step
        state.best = {n: t.detach().clone() for n, t in state.model.state_dict().items()}
    return loss


def _objective(task: Task, model: SpaceModel, batch: Batch, generator: torch.Generator) -> Terms:
    targets = {}
    for a in task.training.seen():
        weights = task.training.weights["train", a.name]
        rows = _drawn_rows(weights, task.recipe.train.instances, generator)
        targets[a.name], batch = task.vary(a, weights[rows], rows, batch, generator)
    inputs = {a.name: _disguised(a, targets[a.name], task.recipe.train, generator) for a in task.training.seen()}
    return _terms(task, model, inputs, targets, batch)


def _terms(
    task: Task, model: SpaceModel, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], batch: Batch
) -> Terms:
    if task.several:
        return several_objective(model, inputs, targets, batch, task.constants)
    (name,) = inputs
    return single_objective(model, name, inputs[name], targets[name], batch, task.constants)


def _batch(task: Task, generator: torch.Generator) -> Batch:
    inputs, labels = task.data.draw("train", task.recipe.train.images, generator)
    with torch.no_grad(), task.runner.autocast():
        return Batch(inputs, labels, _teacher_logits(task, inputs), starts=_drawn_starts(task, generator))


def _drawn_starts(task: Task, generator: torch.Generator) -> dict[str, list[int]]:
    """By architecture a further starting point for each instance of a step; {} where there are none."""
    starts = task.recipe.space.starts
    if starts == 1:
        return {}
    counts = {a.name: len(task.training.weights["train", a.name]) for a in task.training.seen()}
    return {
        name: torch.randint(1, starts, (min(count, task.recipe.train.instances),), generator=generator).tolist()
        for name, count in counts.items()
    }


def _starts_by_turns(task: Task, turn: int) -> dict[str, list[int]]:
    """The same for one instance of each architecture, so that all starting points take part in a validation."""
    further = task.recipe.space.starts - 1
    return {a.name: [1 + turn % further] for a in task.training.seen()} if further else {}


def _teacher_logits(task: Task, inputs: Tensor) -> Tensor | None:
    if task.teacher is None:
        return None
    return task.teacher.architecture.run(task.teacher.weights, inputs)


def _drawn_rows(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(len(weights), generator=generator)[:count].to(weights.device)


def _disguised(architecture: Architecture, weights: Tensor, recipe: TrainRecipe, generator: torch.Generator) -> Tensor:
    """Networks (B, P) as the encoder is to see them: hidden units in another order, a little noise."""
    if recipe.shuffle:
        weights = torch.stack([architecture.shuffle(v, generator) for v in weights])
    if recipe.noise:
        noise = torch.randn(weights.shape, generator=generator).to(weights.device)
        weights = weights + recipe.noise * layer_deviations(architecture, weights) * noise
    return weights


def layer_deviations(architecture: Architecture, weights: Tensor) -> Tensor:
    """(B, P) the standard deviation of the layer that each value of (B, P) belongs to."""
    parts = [weights[:, layer.start : layer.stop] for layer in architecture.spec.layers]
    return torch.cat([deviation(part, dim=1).expand_as(part) for part in parts], dim=1)
