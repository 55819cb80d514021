"""Stretching networks that are shapes."""

from __future__ import annotations

import pytest
import torch
from netspace_models.architectures import FieldIO, build
from netspace_models.architectures.architecture import Architecture, describe
from netspace_models.errors import ConfigError
from netspace_models.parameters.rescale import check_rescaling, rescaled
from torch import Tensor, nn

IO = FieldIO(3, 1)


def network() -> tuple[Architecture, Tensor]:
    architecture = build("siren-16x2", IO)
    vectors = 0.1 * torch.randn(2, architecture.parameter_count, generator=torch.Generator().manual_seed(0))
    return architecture, vectors


def test_the_stretched_network_is_the_network_of_other_coordinates() -> None:
    architecture, vectors = network()
    scale, shift = torch.tensor([[1.0, 2.0, 4.0], [1.5, 1.5, 1.5]]), torch.tensor([[0.0, 0.5, -1.0], [0.1, 0.2, 0.3]])
    points = 2 * torch.rand(50, 3) - 1
    moved = rescaled(architecture, vectors, scale, shift)
    assert not torch.equal(moved, vectors)
    for i, mean in enumerate((2.0, 1.5)):
        wanted = mean * architecture.run(vectors[i], (points - shift[i]) / scale[i])
        torch.testing.assert_close(architecture.run(moved[i], points), wanted, rtol=1e-4, atol=1e-5)


def test_no_stretch_changes_nothing() -> None:
    architecture, vectors = network()
    assert torch.equal(rescaled(architecture, vectors, torch.ones(2, 3), torch.zeros(2, 3)), vectors)


class Squares(nn.Module):
    """Its first layer takes the squares of the coordinates, which its parameters' shapes do not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.b(self.a(x.square()).tanh())
        return found


class Fourier(nn.Module):
    """Its first layer takes twelve features of the coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.b(self.a(torch.cat([x.sin(), x.cos()], dim=-1)).tanh())
        return found


@pytest.mark.parametrize("module", [Squares(), Fourier()])
def test_other_architectures_are_refused(module: nn.Module) -> None:
    architecture = describe("mine", module, IO)
    points = 2 * torch.rand(50, 3) - 1
    with pytest.raises(ConfigError, match="mine cannot be stretched") as raised:
        check_rescaling(architecture, torch.randn(architecture.parameter_count), points)
    assert raised.value.hint == "Train without it: `train.stretch = 1` in the recipe."


def test_sirens_are_not_refused() -> None:
    architecture, vectors = network()
    check_rescaling(architecture, vectors[0], 2 * torch.rand(50, 3) - 1)
