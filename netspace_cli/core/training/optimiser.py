"""The optimiser of a space's training: Adam on all that learns, or Muon on the weights of the backbone's layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netspace_models.errors import ConfigError
from netspace_models.space_model import SpaceModel
from netspace_models.training.contrast import ProjectionHead
from netspace_models.training.unfolded import UnfoldedStarts
from netspace_models.wording import setting
from torch import Tensor, nn
from torch.optim import Optimizer

from netspace_cli.core.runtime.muon import Muon
from netspace_cli.core.runtime.optimisers import Adam, Together

from .step import Task
from .training_set import without_instance

# Modules whose weight is a matrix from inputs to outputs.
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def optimizer_of(
    model: SpaceModel, head: ProjectionHead | None, unfolded: Mapping[str, UnfoldedStarts], task: Task
) -> Optimizer | Together:
    """A new optimiser of all that learns, as `train.optimizer` says; a group's "pace" is its rate over `train.lr`.

    Muon moves the weights of the backbone's linear layers and convolutions. Adam moves the rest: biases, norms,
    positions, queries, probes, learnt directions, starting points, the classifier of ClassIds, the projection head.

    Raises:
        ConfigError: Muon, and no such weight learns.
    """
    recipe, groups = task.recipe.train, _groups(model, head, unfolded, task)
    if recipe.optimizer == "adam":
        return Adam(groups, recipe.lr, fused=True)
    matrices = _weights_of_layers(model)
    usual = groups[0]["params"] if groups else []
    by_muon = [p for p in usual if p in matrices]
    if not by_muon:
        raise ConfigError(
            f"{setting('train.optimizer', 'muon')} moves weights of linear layers and convolutions, and this space "
            "learns none.",
            f"Use {setting('train.optimizer', 'adam')}.",
        )
    groups[0]["params"] = [p for p in usual if p not in matrices]
    adam = Adam([group for group in groups if group["params"]], recipe.lr, fused=True)
    return Together({"muon": Muon([{"params": by_muon, "pace": 1.0}], recipe.lr), "adam": adam})


def _groups(
    model: SpaceModel, head: ProjectionHead | None, unfolded: Mapping[str, UnfoldedStarts], task: Task
) -> list[dict[str, Any]]:
    """All that learns, by its pace; the usual one first.

    Decoder biases that start untrained or recombined, and starting points that learn with their norms, have a pace of
    their own, scaled to the weights that they replace. Biases that start at a trained instance get the usual rate.
    """
    factor = task.recipe.train.untrained_lr_factor
    starts = [
        *model.backbone.starts(without_instance(task.training, task.recipe)),
        *model.backbone.further_starts([a.name for a in model.architectures]),
    ]
    apart = {id(start) for start, _ in starts}
    usual = [p for p in model.ordered_parameters() if id(p) not in apart and p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": usual, "pace": 1.0}] if usual else []
    groups += [{"params": [start], "pace": factor * pace} for start, pace in starts if start.requires_grad]
    groups += [{"params": list(each.parameters()), "pace": factor} for each in unfolded.values()]
    return groups + ([] if head is None else [{"params": list(head.parameters()), "pace": 1.0}])


def _weights_of_layers(model: SpaceModel) -> set[Tensor]:
    return {module.weight for module in model.backbone.modules() if isinstance(module, LAYERS)}
