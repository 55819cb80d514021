"""The two small CNNs of published model zoos: three convolutions and two linear layers.

"Model Zoos: A Dataset of Diverse Populations of Neural Network Models" (NeurIPS 2022, data sets and benchmarks): the
small and the large CNN, with 2,464 parameters for images of 1 x 28 x 28, 2,864 of 3 x 28 x 28 and 10,853 of
3 x 32 x 32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UnknownArchitecture
from ..network_io import ImageIO, NetworkIO
from ..parameters.symmetry import HiddenGroup, chain
from ..wording import setting
from .family import Factory, Family, images_for
from .grouped import convolve, features_of, linear, side_by_side

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "gelu": F.gelu, "relu": F.relu}
UNITS = 20


@dataclass(frozen=True)
class Layout:
    """Convolutions in order: channels, kernel, and the size of the max-pooling after it (1 for none)."""

    convolutions: tuple[tuple[int, int, int], ...]

    def least_size(self) -> int:
        """Smallest image size, in pixels, that leaves one value per channel."""
        size = 1
        for _, kernel, pool in reversed(self.convolutions):
            size = size * pool + kernel - 1
        return size


LAYOUTS = {
    "cnn-small": Layout(((8, 5, 2), (6, 5, 2), (4, 2, 1))),
    "cnn-large": Layout(((16, 3, 2), (32, 3, 2), (15, 3, 2))),
}


class ZooCNN(nn.Module):
    """Convolutions without padding, then linear layers of 20 and K units.

    Max-pooling (if any) and the activation follow each convolution.

    Args:
        io: the images.
        layout: "cnn-small" or "cnn-large".
        activation: "tanh", "gelu" or "relu".
    Raises:
        UnknownArchitecture: the images are so small that nothing is left of them.
    """

    def __init__(self, io: ImageIO, *, layout: str = "cnn-small", activation: str = "tanh") -> None:
        super().__init__()
        least = LAYOUTS[layout].least_size()
        if io.size < least:
            raise UnknownArchitecture(
                f"{layout} needs images of {least} pixels or more; these are {io.describe()}.",
                f"Train the zoo on larger ones: {setting('size', least)}.",
            )
        self.faster_at_once = layout == "cnn-small"
        self.activation = activation
        self.pools = tuple(pool for _, _, pool in LAYOUTS[layout].convolutions)
        width, size = io.channels, io.size
        for i, (channels, kernel, pool) in enumerate(LAYOUTS[layout].convolutions, start=1):
            self.add_module(f"conv{i}", nn.Conv2d(width, channels, kernel))
            width, size = channels, (size - kernel + 1) // pool
        self.fc1 = nn.Linear(width * size * size, UNITS)
        self.fc2 = nn.Linear(UNITS, io.classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) images to (B, K) logits."""
        activation = ACTIVATIONS[self.activation]
        for i, pool in enumerate(self.pools, start=1):
            x = self.get_submodule(f"conv{i}")(x)
            x = activation(F.max_pool2d(x, pool) if pool > 1 else x)
        return self.fc2(activation(self.fc1(x.flatten(1))))

    def forward_each(self, state: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Run many networks at once; see `Architecture.run_each`."""
        activation, x = ACTIVATIONS[self.activation], side_by_side(x)
        for i, pool in enumerate(self.pools, start=1):
            x = convolve(x, state, f"conv{i}")
            x = activation(F.max_pool2d(x, pool) if pool > 1 else x)
        x = activation(linear(state, "fc1", features_of(x, len(state["fc2.bias"]))))
        return linear(state, "fc2", x).transpose(1, 2)

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """The hidden units that may be reordered without changing the function."""
        return chain(self, [*(f"conv{i}" for i in range(1, len(self.pools) + 1)), "fc1", "fc2"])


# Layout and activation by name. Most published zoos have tanh.
NAMES = {
    layout if activation == "tanh" else f"{layout}-{activation}": (layout, activation)
    for layout in LAYOUTS
    for activation in ACTIVATIONS
}


def _factory(name: str) -> Factory | None:
    if name not in NAMES:
        return None
    layout, activation = NAMES[name]
    return lambda io: ZooCNN(images_for(name, io), layout=layout, activation=activation)


def _twins(name: str, io: NetworkIO) -> tuple[str, ...]:
    """Architectures that differ only in their activation."""
    return tuple(other for other, (layout, _) in NAMES.items() if layout == NAMES[name][0])


ZOO_CNNS = Family(tuple(NAMES), _factory, first=("conv1",), last=("fc2",), twins=_twins)
