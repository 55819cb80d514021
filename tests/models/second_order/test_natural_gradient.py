"""The natural gradient, against what is known exactly, and what it leaves to others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from netspace_models.second_order import natural_gradient as own
from netspace_models.second_order.natural_gradient import NaturalGradient
from torch import Tensor, nn

from tests.small_networks import seeded

Loss = Callable[[Tensor], Tensor]


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither damping nor momentum, factors of all images, and steps as large as they come."""
    monkeypatch.setattr(own, "FURTHEST", float("inf"))
    monkeypatch.setattr(own, "DAMPING", 1e-9)
    monkeypatch.setattr(own, "MOMENTUM", 0.0)
    monkeypatch.setattr(own, "IMAGES", 10_000)


def taught(module: nn.Module, inputs: Tensor, loss: Loss, steps: int, rate: float, *, values: bool) -> float:
    """The loss after some steps of the natural gradient."""
    natural = NaturalGradient(module, seeded(), values=values)
    natural.begin(inputs)
    for _ in range(steps):
        module.zero_grad()
        loss(module(inputs)).backward()
        natural.step(inputs, rate)
    return loss(module(inputs)).item()


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("bias", [True, False])
def test_a_step_on_a_linear_layer_solves_least_squares(bias: bool) -> None:
    inputs = torch.randn(4000, 6, generator=seeded(1)) * torch.logspace(-1, 1, 6) + 1
    wanted = inputs @ torch.randn(6, 3, generator=seeded(2)) + bias
    module = nn.Linear(6, 3, bias=bias)
    before = F.mse_loss(module(inputs), wanted).item()
    after = taught(module, inputs, lambda said: (said - wanted).square().sum(1).mean() / 2, 1, 1.0, values=True)
    # The factor of the outputs is the identity, up to how the errors were drawn.
    assert after < 0.02 * before


@pytest.mark.usefixtures("exact")
def test_a_step_does_not_depend_on_how_inputs_are_mixed() -> None:
    """K-FAC without damping is the same for inputs M x and weights W M⁻¹ (Martens and Grosse, 2015, theorem 1)."""
    mixed = torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, -0.5], [0.3, 0.0, 0.5]])
    inputs = torch.randn(500, 3, generator=seeded(1))

    def net(first: Tensor) -> nn.Sequential:
        torch.manual_seed(0)
        layer = nn.Linear(3, 5)
        layer.weight.data = layer.weight.data @ first
        return nn.Sequential(layer, nn.Tanh(), nn.Linear(5, 2))

    found = []
    for module, own_inputs in ((net(torch.eye(3)), inputs), (net(mixed.inverse()), inputs @ mixed.T)):
        before = module(own_inputs).detach()
        taught(module, own_inputs, lambda said: said.logsumexp(1).mean() + said[:, 0].mean(), 1, 0.1, values=True)
        found.append(module(own_inputs).detach() - before)
    one, other = found
    assert one.abs().max() > 0.01
    assert torch.allclose(one, other, atol=1e-3)


def test_no_step_changes_answers_by_more_than_it_may() -> None:
    inputs, module = torch.randn(200, 6, generator=seeded(1)), nn.Linear(6, 4)
    before = module(inputs).log_softmax(1).detach()
    taught(module, inputs, lambda said: -100 * said[:, 0].mean(), 1, 5.0, values=False)
    after = module(inputs).log_softmax(1).detach()
    change = F.kl_div(after, before, log_target=True, reduction="batchmean").item()
    assert 0 < change < own.FURTHEST


class Odd(nn.Module):
    """Layers of all kinds, one weight used twice, and one layer that is not run."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.groups = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 1, groups=4)
        self.norm = nn.BatchNorm2d(4)
        self.large = nn.Linear(16, own.MOST + 1)
        self.back = nn.Linear(own.MOST + 1, 4)
        self.tied, self.twice = nn.Linear(4, 4), nn.Linear(4, 4)
        self.twice.weight = self.tied.weight
        self.idle, self.last = nn.Linear(3, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.back(self.large(self.norm(self.groups(self.plain(x))).flatten(1)))
        logits: Tensor = self.last(self.twice(self.tied(x)))
        return logits


def test_it_moves_plain_layers_alone_and_leaves_buffers() -> None:
    module, inputs = Odd().train(), torch.randn(8, 2, 4, 4, generator=seeded())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    natural = NaturalGradient(module, seeded())
    natural.begin(inputs)
    moved = {id(each) for each in natural.parameters()}
    names = {name for name, each in module.named_parameters() if id(each) in moved}
    assert names == {f"{layer}.{kind}" for layer in ("plain", "last") for kind in ("weight", "bias")}
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    module(inputs).square().sum().backward()
    after = {name: value.clone() for name, value in module.state_dict().items()}
    natural.step(inputs, 0.01)
    changed = {name for name, value in module.state_dict().items() if not torch.equal(value, after[name])}
    assert changed == names


def test_the_same_seed_moves_alike() -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        module = nn.Linear(12, 3)
        inputs = torch.randn(16, 12, generator=seeded(1))
        taught(module, inputs, lambda said: said.square().mean(), 3, 0.1, values=False)
        found.append(module.weight.detach())
    assert torch.equal(*found)


def test_eigenvectors_that_fail_in_single_precision_are_found_in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    decompose = torch.linalg.eigh

    def fails(matrix: Tensor) -> tuple[Tensor, Tensor]:
        if matrix.dtype == torch.float32:
            raise torch.linalg.LinAlgError
        values, vectors = decompose(matrix)
        return values, vectors

    monkeypatch.setattr(torch.linalg, "eigh", fails)
    inputs = torch.randn(64, 12, generator=seeded(1))
    module = nn.Linear(12, 3)
    before = module(inputs).square().mean().item()
    assert taught(module, inputs, lambda said: said.square().mean(), 3, 0.1, values=True) < before
