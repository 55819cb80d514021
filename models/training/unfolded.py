"""Further starting points of an architecture with batch norms, which learn with their norms in place.

Folded into the layers before them (parameters/folding.py), norms no longer normalise, and a network then learns far
less from as many images. So a starting point is a module while it learns, normalised by the batch as any network in
training, and is folded when it is read. What an embedding changes of folded weights is changed of the module's, at the
scale that folding will give them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..architectures import Architecture
from ..parameters.folding import NORMS

# A channel whose norm nearly turns it off is changed as if it gave this share of what its layer gives.
LEAST_SCALE = 0.05


def learns_unfolded(architecture: Architecture) -> bool:
    """Whether an architecture has batch norms, each with a scale and a shift."""
    return bool(architecture.pairs) and all(pair.affine for pair in architecture.pairs)


def scale_as_fresh(architecture: Architecture, module: nn.Module, fresh: nn.Module) -> None:
    """Scale the layers before a module's norms, in place, to weights as large as those of a fresh module.

    The function stays, as a norm undoes the scale of its input; but a step of an optimiser turns larger weights less.

    Args:
        module, fresh: of the architecture; `module` with statistics of its layers' outputs.
    """
    with torch.no_grad():
        for pair in architecture.pairs:
            weight, wanted = (each.get_parameter(f"{pair.layer}.weight") for each in (module, fresh))
            size = weight.square().mean().sqrt()
            if size == 0:
                continue
            factor = wanted.square().mean().sqrt() / size
            weight.mul_(factor)
            if pair.biased:
                module.get_parameter(f"{pair.layer}.bias").mul_(factor)
            norm = module.get_submodule(pair.norm)
            norm.get_buffer("running_mean").mul_(factor)
            norm.get_buffer("running_var").mul_(factor**2)


class UnfoldedStarts(nn.Module):
    """Starting points of one architecture after the first, as modules.

    Norms are in training mode, all else is not: a dropout would draw numbers that no seed decides.

    Args:
        architecture: for which `learns_unfolded`.
        modules: starting points 1 to K - 1, whose norms have statistics of the layers' outputs.
    """

    def __init__(self, architecture: Architecture, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.architecture = architecture
        self.modules_by_start = nn.ModuleList(modules)
        self.train()

    def train(self, mode: bool = True) -> UnfoldedStarts:
        """Put norms, and nothing else, into training mode."""
        super().train(False)
        for module in self.modules_by_start.modules():
            if isinstance(module, NORMS):
                module.train(mode)
        return self

    def run(self, start: int, change: Tensor, inputs: Tensor) -> Tensor:
        """Compute outputs of a starting point whose folded weights are changed, normalised by these inputs.

        The norms' running statistics move on.

        Args:
            start: from 1 to K - 1; change: (P,) of its folded weights, with their gradient.
            inputs: (B, C, S, S).
        Returns:
            (B, K).
        """
        module = self.modules_by_start[start - 1]
        outputs: Tensor = functional_call(module, self._changed(module, change), (inputs,))
        return outputs

    def weights(self) -> Tensor:
        """(K - 1, P) all of them, folded by their running statistics."""
        states = ({n: t.detach() for n, t in module.state_dict().items()} for module in self.modules_by_start)
        return torch.stack([self.architecture.to_weights(state) for state in states])

    def statistics(self) -> list[Tensor]:
        """What norms know of their inputs, in place: all that moves without a gradient."""
        return [buffer for buffer in self.buffers() if buffer.is_floating_point()]

    def _changed(self, module: nn.Module, change: Tensor) -> dict[str, Tensor]:
        """The module's parameters by name, after a change of its folded weights."""
        parts, own = self.architecture.spec.unflatten(change), dict(module.named_parameters())
        for pair in self.architecture.pairs:
            norm = module.get_submodule(pair.norm)
            assert isinstance(norm, NORMS) and norm.running_var is not None  # as `learns_unfolded`
            scale = norm.weight.detach() / torch.sqrt(norm.running_var + pair.eps)
            least = torch.where(scale < 0, -LEAST_SCALE, LEAST_SCALE)
            scale = torch.where(scale.abs() < LEAST_SCALE, least, scale)
            weight = parts[f"{pair.layer}.weight"]
            parts[f"{pair.layer}.weight"] = weight / scale.reshape(-1, *[1] * (weight.dim() - 1))
            parts[f"{pair.norm}.bias"] = parts.pop(f"{pair.layer}.bias")
        return {name: own[name] + part for name, part in parts.items()}
