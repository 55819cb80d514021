"""What the statistics that batch norms recorded say of a network's architecture.

A batch norm records means and variances of what flows through it in training. With the function that was trained they
come out the same again, up to what the last steps changed; with another one they are shifted, a little in each channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import torch
from netspace_models.parameters.folding import NORMS
from torch import Tensor, nn
from torch.func import functional_call

# Batches as in training, whose statistics normalise them: what an earlier layer changed last is then not carried on.
BATCH = 64
# Squared differences, in squared deviations, that count as none.
_NONE = 1e-8


@dataclass(frozen=True)
class Disagreement:
    """How far recorded statistics are from those of images.

    Attributes:
        rows: for each batch norm the mean squares of the difference of the means, in deviations, and of that of the
            logarithms of the variances.
        channels: number of each batch norm's channels.
    """

    rows: tuple[tuple[float, float], ...]
    channels: tuple[int, ...]

    @property
    def values(self) -> int:
        """How many values are compared."""
        return 2 * sum(self.channels)

    @property
    def misfit(self) -> float:
        """Minus the logarithm of the likelihood, up to a constant: smaller for images more like those of training.

        Differences are taken for normal, with a deviation of their own in each batch norm.
        """
        return sum(
            c / 2 * (log(m + _NONE) + log(v + _NONE)) for (m, v), c in zip(self.rows, self.channels, strict=True)
        )

    @property
    def size(self) -> float:
        """Root of the mean square of all differences."""
        total = sum(c * (m + v) for (m, v), c in zip(self.rows, self.channels, strict=True))
        return float((total / self.values) ** 0.5)


def disagreement(module: nn.Module, state: Mapping[str, Tensor], images: Tensor) -> Disagreement:
    """Compare what batch norms recorded with what flows through them.

    Args:
        module: with batch norms; state: its values.
        images: (N, C, S, S), like those of training.
    """
    norms = {name: m for name, m in module.named_modules() if isinstance(m, NORMS) and f"{name}.running_var" in state}
    seen: dict[str, list[Tensor]] = {}

    def hook(name: str, inputs: tuple[Tensor, ...]) -> None:
        axes = [i for i in range(inputs[0].dim()) if i != 1]
        variance, mean = torch.var_mean(inputs[0], axes)
        seen.setdefault(name, []).append(torch.stack([mean, variance]))

    handles = [m.register_forward_pre_hook(lambda _, x, n=name: hook(n, x)) for name, m in norms.items()]
    module.train()
    try:
        for batch in images.split(BATCH):
            if len(batch) == len(images[:BATCH]):  # a smaller one has other variances
                functional_call(module, {name: tensor.clone() for name, tensor in state.items()}, (batch,))
    finally:
        module.eval()
        for handle in handles:
            handle.remove()
    rows, channels = [], []
    for name, parts in seen.items():
        mean, variance = torch.stack(parts).double().mean(0) + 0
        recorded, eps = state[f"{name}.running_var"].double() + norms[name].eps, norms[name].eps
        apart = (state[f"{name}.running_mean"].double() - mean) / recorded.sqrt()
        ratio = (recorded / (variance + eps)).log()
        rows.append((float(apart.square().mean()), float(ratio.square().mean())))
        channels.append(len(mean))
    return Disagreement(tuple(rows), tuple(channels))
