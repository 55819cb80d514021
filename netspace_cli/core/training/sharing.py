"""What each of several processes does of a training step; added up, it is the step of one process.

All processes draw the same networks and inputs, from the same seed, and then each takes its part: of the networks, or
of the inputs that all networks are run on. Losses are means over either, so each part counts by its size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from netspace_models.errors import ConfigError
from netspace_models.training.objectives import Batch, Terms
from netspace_models.wording import setting
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from netspace_cli.core.runtime.processes import Processes
from netspace_cli.core.spaces.recipe import Recipe

from .run_folder import MADE_WITH

if TYPE_CHECKING:
    from .step import TrainState

Shown = Mapping[str, Tensor]
Projection = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Part:
    """What one process does of a step.

    Attributes:
        views, targets, batch: as an objective takes them.
        weight: what its terms count for, beside the others'.
        gather: embeddings of all networks of the step from those of this part; None if the part has all networks.
    """

    views: Sequence[Shown]
    targets: Shown
    batch: Batch
    weight: float = 1.0
    gather: Projection | None = None

    def projecting(self, head: Projection) -> Projection:
        """Project embeddings (B, E) of all networks of the step, where this part has some of them."""
        gather = self.gather
        return head if gather is None else lambda own: head(gather(own))

    def weighted(self, terms: Terms) -> Terms:
        """Terms of this part, such that those of all parts add up to those of the step."""
        return terms if self.weight == 1 else {name: self.weight * term for name, term in terms.items()}


@dataclass(frozen=True)
class Share:
    """How the work of a step is dealt out to processes.

    Attributes:
        processes: that it is dealt out to.
        of: "networks", each with all of its inputs; or "inputs", on which every process runs all networks.
    """

    processes: Processes
    of: Literal["networks", "inputs"]

    def rows(self, drawn: Mapping[str, Tensor], batch: Batch) -> tuple[dict[str, Tensor], Batch, float]:
        """Networks of this process among rows of a zoo, by architecture; their batch, and their share of all."""
        own, starts, dealt = {}, {}, 0
        for name, rows in drawn.items():
            mine = self._mine(len(rows), dealt)
            dealt += len(rows)
            if len(mine):
                own[name] = rows[mine]
                starts[name] = [batch.starts[name][i] for i in mine]
        return own, replace(batch, starts=starts), sum(map(len, own.values())) / dealt

    def part(self, views: Sequence[Shown], targets: Shown, batch: Batch) -> Part:
        """Part of a step for this process."""
        if self.processes.count == 1:
            return Part(views, targets, batch)
        return (
            self._of_inputs(views, targets, batch) if self.of == "inputs" else self._of_networks(views, targets, batch)
        )

    def _mine(self, total: int, dealt: int = 0) -> list[int]:
        """Places, among `total` networks, of those that this process gets; `dealt` were dealt before them."""
        return [i for i in range(total) if (dealt + i) % self.processes.count == self.processes.number]

    def _of_networks(self, views: Sequence[Shown], targets: Shown, batch: Batch) -> Part:
        ((name, all_of_them),) = targets.items()
        mine = self._mine(len(all_of_them))
        own_points = batch.inputs.dim() == 3  # (B, N, D)
        batch = replace(
            batch,
            inputs=batch.inputs[mine] if own_points else batch.inputs,
            gammas=None if batch.gammas is None else batch.gammas[mine],
            starts={arch: [starts[i] for i in mine] for arch, starts in batch.starts.items()},
        )
        weight = len(mine) / len(all_of_them)

        def gather(embeddings: Tensor) -> Tensor:
            gathered: Tensor = _AllRows.apply(embeddings, mine, len(all_of_them), weight, self.processes)
            return gathered

        return Part([{name: view[name][mine]} for view in views], {name: all_of_them[mine]}, batch, weight, gather)

    def _of_inputs(self, views: Sequence[Shown], targets: Shown, batch: Batch) -> Part:
        # Paths between fields take one network's points at even places and the next one's at odd places.
        together = 1 if batch.gammas is None else 2
        axis = 1 if batch.inputs.dim() == 3 else 0
        total = batch.inputs.shape[axis]
        places = torch.arange(total, device=batch.inputs.device)
        mine = places[places // together % self.processes.count == self.processes.number]
        batch = replace(
            batch,
            inputs=batch.inputs.index_select(axis, mine),
            labels=None if batch.labels is None else batch.labels[mine],
            teacher=None if batch.teacher is None else batch.teacher[mine],
        )
        return Part(views, targets, batch, len(mine) / total)


class _AllRows(torch.autograd.Function):
    """Rows of all processes, from those of this one. Gradients are such that weighted losses add up to the whole."""

    @staticmethod
    def forward(context: Any, own: Tensor, mine: list[int], total: int, weight: float, processes: Processes) -> Tensor:
        context.mine, context.weight = mine, weight
        rows = own.new_zeros(total, *own.shape[1:])
        rows[mine] = own
        return processes.add_up(rows)

    @staticmethod
    @once_differentiable
    def backward(context: Any, *outer: Tensor) -> tuple[Tensor, None, None, None, None]:
        # Each process has the whole loss, which counts by its weight; only one of them differentiates by these rows.
        return outer[0][context.mine] / context.weight, None, None, None, None


def add_up(processes: Processes, parameters: Iterable[nn.Parameter], terms: Terms) -> Terms:
    """Add up terms, and gradients in place, over all processes, at once.

    A parameter without a gradient anywhere is left without one.

    Raises:
        ProcessLost: another process is gone.
    """
    found = {name: term.detach() for name, term in terms.items()}
    if processes.count == 1:
        return found
    parameters = list(parameters)
    has = torch.tensor([float(p.grad is not None) for p in parameters])
    head = torch.cat([torch.stack(list(found.values())).float(), has.to(parameters[0].device)])
    gradients = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    summed = processes.add_up(torch.cat([head, *gradients]))
    sums, anywhere, flat = summed.split([len(found), len(has), len(summed) - len(head)])
    whole = flat.split([p.numel() for p in parameters])
    for parameter, gradient, known in zip(parameters, whole, anywhere.tolist(), strict=True):
        if known:
            parameter.grad = gradient.view_as(parameter)
    return dict(zip(found, sums, strict=True))


class Summed:
    """Values that each process changes for itself in a step, such as norms' statistics: all get the sum of the changes.

    Args:
        values: changed in place, made where this is.
    """

    def __init__(self, processes: Processes, values: Sequence[Tensor]) -> None:
        self._processes, self._values = processes, values if processes.count > 1 else ()
        self._before = [value.clone() for value in self._values]

    def add_up(self) -> None:
        """Let all processes have each other's changes.

        Raises:
            ProcessLost: another process is gone.
        """
        if not self._values:
            return
        own = [(value - old).flatten() for value, old in zip(self._values, self._before, strict=True)]
        changes = self._processes.add_up(torch.cat(own)).split([len(each) for each in own])
        for value, old, change in zip(self._values, self._before, changes, strict=True):
            value.copy_(old + change.view_as(old))


def begin_together(processes: Processes, state: TrainState, settings: Mapping[str, Any]) -> None:
    """Begin a training at the same values everywhere.

    Raises:
        ConfigError: the processes were given different trainings.
        ProcessLost: another process is gone.
    """
    same = {key: value for key, value in settings.items() if key != MADE_WITH}
    text = json.dumps([same, state.step], sort_keys=True, default=str)
    if not processes.agree_on(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")):
        raise ConfigError(
            f"the {processes.count} processes were given different trainings: recipes, zoos, data, teachers, seeds or "
            "checkpoints differ.",
            "Start all of them with the same command, where they find the same files.",
        )
    head = {} if state.contrast is None else state.contrast.state_dict()
    unfolded = [t for u in state.unfolded.values() for t in u.state_dict().values()]
    processes.copy_from_first([*state.model.state_dict().values(), *head.values(), *unfolded])


def check_sharing(share: Share, recipe: Recipe, counts: Mapping[str, int], normed: Collection[str] = ()) -> None:
    """Refuse a step with fewer parts than processes, or one that cannot be dealt out exactly.

    Args:
        counts: networks of a step, by architecture.
        normed: architectures whose further starting points learn with batch norms.
    Raises:
        ConfigError: says why, and what would help.
    """
    train, count = recipe.train, share.processes.count
    if count == 1:
        return
    alone = f"leave out {setting('devices')}"
    if share.of == "networks":
        total = sum(counts.values())
        if total < count:
            raise ConfigError(
                f"a step has {total} networks ({setting('train.instances', train.instances)}), and there are {count} "
                "processes to share them.",
                f"Give train.instances, and the zoo, at least {count}; or use {setting('devices', total)}.",
            )
        return
    inputs = train.images // (1 if len(counts) > 1 else 2)
    if inputs < count:
        raise ConfigError(
            f"a step has {train.images} inputs ({setting('train.images', train.images)}), too few for {count} "
            "processes to share.",
            f"Give more, e.g. {setting('train.images', 16 * count)}; or {alone}.",
        )
    if train.structure == 1:
        raise ConfigError(
            "the weights of several architectures are learnt without inputs (train.objective = 'reconstruct'), and "
            f"inputs are what {count} processes would share.",
            f"Use {setting('train.objective', 'both')}; or {alone}.",
        )
    _check_starts_shared(recipe, counts, normed, f"{count} processes", alone)


def _check_starts_shared(
    recipe: Recipe, counts: Mapping[str, int], normed: Collection[str], processes: str, alone: str
) -> None:
    """Refuse further starting points that learn something of all images of a step."""
    several = [name for name in counts if recipe.space.starts_of(name) > 1]
    if recipe.train.level == 0 or not several:
        return
    with_norms = [name for name in several if name in normed]
    if with_norms:
        raise ConfigError(
            f"further starting points of {', '.join(with_norms)} learn with batch norms, whose statistics are of all "
            f"images of a step, which {processes} cannot share.",
            f"Add starting points afterwards ({setting('extend')}); or {alone}.",
        )
    if recipe.train.level_loss == "matched":
        raise ConfigError(
            "further starting points of several architectures learn a mean over all images of a step "
            f"(train.level_loss = 'matched'), which {processes} cannot share.",
            f"Use {setting('train.level_loss', 'labels')}; or add starting points afterwards ({setting('extend')}); or "
            f"{alone}.",
        )
