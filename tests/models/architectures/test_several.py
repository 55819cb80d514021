"""Several networks on the same inputs, or each on its own: what each gives alone, however they are run."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from netspace_models.architectures import Architecture, ImageIO, build
from netspace_models.architectures.architecture import describe
from torch import Tensor, nn

from tests.small_networks import seeded

COLOURS = ImageIO(3, 32, 4)


def drawn(architecture: Architecture, count: int = 3) -> Tensor:
    return 0.1 * torch.randn(count, architecture.parameter_count, generator=seeded(0))


@pytest.mark.parametrize(
    ("name", "io"),
    [
        ("lenetlike", COLOURS),
        ("lenetlike", ImageIO(1, 28, 4)),
        ("lenetlike", ImageIO(3, 64, 4)),
        ("lenet5", COLOURS),
        ("lenet5-tanh-mean", ImageIO(1, 17, 4)),
    ],
)
def test_at_once_each_computes_what_it_does_alone(name: str, io: ImageIO) -> None:
    architecture = build(name, io)
    weights, own = drawn(architecture), torch.stack([io.example(5, seeded(i)) for i in range(3)])
    for inputs, each in ((own[0], [own[0]] * 3), (own, list(own))):
        alone = torch.stack([architecture.run(w, x) for w, x in zip(weights, each, strict=True)])
        torch.testing.assert_close(architecture.run_each(weights, inputs), alone, rtol=0, atol=1e-5)
    for count in (1, 3):
        alone = torch.stack([architecture.run(w, own[0]) for w in weights[:count]])
        torch.testing.assert_close(architecture.run_several(weights[:count], own[0]), alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "count", "at_once"), [("lenetlike", 3, True), ("lenetlike", 1, False), ("resnet8", 3, False)]
)
def test_a_processor_runs_at_once_what_is_faster_so(name: str, count: int, at_once: bool) -> None:
    architecture = build(name, COLOURS)
    with patch.object(Architecture, "run_each", autospec=True) as each:
        architecture.run_several(drawn(architecture, count), COLOURS.example(2, seeded(1)))
    assert each.called == at_once


class Branching(nn.Module):
    """Goes another way where its outputs are negative: it cannot be mapped over networks."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(3 * 32 * 32, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(x.flatten(1))
        return logits if float(logits.sum()) > 0 else -logits


def test_an_accelerator_runs_at_once_what_can_be_mapped() -> None:
    accelerator = torch.device("cuda")
    for architecture, can in ((build("resnet8", COLOURS), True), (describe("mine", Branching(), COLOURS), False)):
        assert architecture.faster_at_once(3, accelerator) == can
        assert not architecture.faster_at_once(1, accelerator)
