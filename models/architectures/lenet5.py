"""The LeNets that most tutorials have: two convolutions with pooling after them, and three linear layers.

PyTorch's "Training a Classifier" has the one with ReLU and max-pooling. For some images their parameters have the
names and shapes of lenetlike's, whose convolutions have strides and no pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UnknownArchitecture
from ..network_io import ImageIO, NetworkIO
from ..parameters.symmetry import HiddenGroup, chain
from ..wording import setting
from .family import Factory, Family, family_of_one, images_for
from .grouped import convolve, features_of, linear, side_by_side
from .lenetlike import LeNetLike, lenetlike_features

CHANNELS, KERNEL, UNITS = (6, 16), 5, (120, 84)
LEAST_SIZE = 16
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
POOLINGS: dict[str, Callable[[Tensor, int], Tensor]] = {"max": F.max_pool2d, "mean": F.avg_pool2d}
# Activation and pooling by name, likeliest first.
NAMES = {
    "lenet5": ("relu", "max"),
    "lenet5-mean": ("relu", "mean"),
    "lenet5-tanh": ("tanh", "max"),
    "lenet5-tanh-mean": ("tanh", "mean"),
    "lenet5-sigmoid": ("sigmoid", "max"),
    "lenet5-sigmoid-mean": ("sigmoid", "mean"),
}


class LeNet5(nn.Module):
    """Convolutions of kernel 5 to 6 and 16 channels, activation, pooling of 2; linear layers of 120, 84 and K units.

    Args:
        io: the images.
        activation: "relu", "tanh" or "sigmoid"; pooling: "max" or "mean".
    Raises:
        UnknownArchitecture: the images are so small that nothing is left of them.
    """

    faster_at_once = True

    def __init__(self, io: ImageIO, *, activation: str = "relu", pooling: str = "max") -> None:
        super().__init__()
        if io.size < LEAST_SIZE:
            raise UnknownArchitecture(
                f"lenet5 needs images of {LEAST_SIZE} pixels or more; these are {io.describe()}.",
                f"Train the zoo on larger ones: {setting('size', LEAST_SIZE)}.",
            )
        self.activation, self.pooling = activation, pooling
        self.conv1 = nn.Conv2d(io.channels, CHANNELS[0], KERNEL)
        self.conv2 = nn.Conv2d(CHANNELS[0], CHANNELS[1], KERNEL)
        self.fc1 = nn.Linear(lenet5_features(io), UNITS[0])
        self.fc2 = nn.Linear(UNITS[0], UNITS[1])
        self.fc3 = nn.Linear(UNITS[1], io.classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) images to (B, K) logits."""
        activation, pool = ACTIVATIONS[self.activation], POOLINGS[self.pooling]
        for convolution in (self.conv1, self.conv2):
            x = pool(activation(convolution(x)), 2)
        x = activation(self.fc1(x.flatten(1)))
        logits: Tensor = self.fc3(activation(self.fc2(x)))
        return logits

    def forward_each(self, state: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Run many networks at once; see `Architecture.run_each`."""
        activation, pool = ACTIVATIONS[self.activation], POOLINGS[self.pooling]
        x = side_by_side(x)
        for layer in ("conv1", "conv2"):
            x = pool(activation(convolve(x, state, layer)), 2)
        x = features_of(x, len(state["fc3.bias"]))
        for layer in ("fc1", "fc2"):
            x = activation(linear(state, layer, x))
        return linear(state, "fc3", x).transpose(1, 2)

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """The hidden units that may be reordered without changing the function."""
        return chain(self, ["conv1", "conv2", "fc1", "fc2", "fc3"])


def lenet5_features(io: ImageIO) -> int:
    """How many values the first linear layer gets."""
    size = io.size
    for _ in CHANNELS:
        size = (size - KERNEL + 1) // 2
    return CHANNELS[-1] * size * size


def twins_of_lenets(name: str, io: NetworkIO) -> tuple[str, ...]:
    """Names whose parameters for such images are like those of a name: lenetlike, then all LeNets, if these fit it."""
    if not isinstance(io, ImageIO) or io.size < LEAST_SIZE:
        return (name,)
    alike = lenetlike_features(io) == (len(CHANNELS), lenet5_features(io))
    return (*(("lenetlike",) if alike or name == "lenetlike" else ()), *(NAMES if alike or name in NAMES else ()))


def _factory(name: str) -> Factory | None:
    if name not in NAMES:
        return None
    activation, pooling = NAMES[name]
    return lambda io: LeNet5(images_for(name, io), activation=activation, pooling=pooling)


LENETLIKE = family_of_one("lenetlike", LeNetLike, first="conv1", last="fc3", twins=twins_of_lenets)
LENET5 = Family(
    ("lenet5",),
    _factory,
    first=("conv1",),
    last=("fc3",),
    more="lenet5-mean with mean pooling, lenet5-tanh, lenet5-sigmoid, each also with -mean",
    twins=twins_of_lenets,
)
