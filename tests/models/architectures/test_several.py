"""Several networks on the same inputs, or each on its own: what each gives alone, however they are run."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from netspace_models.architectures import Architecture, ImageIO, build
from netspace_models.architectures import architecture as architectures
from netspace_models.architectures.architecture import describe
from netspace_models.architectures.grouped import side_by_side
from netspace_models.architectures.lenetlike import LeNetLike
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


@pytest.mark.parametrize("same_images", [True, False])
@pytest.mark.parametrize(("room", "sizes"), [(12, [5]), (4, [3, 2]), (2, [2, 2, 1]), (0, [2, 2, 1])])
def test_a_processor_runs_as_many_at_a_time_as_its_cache_takes(
    room: int, sizes: list[int], same_images: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts as even as can be, of two at least: one alone would be no faster than by itself."""
    architecture = build("lenetlike", ImageIO(1, 28, 4))
    weights, inputs = drawn(architecture, 5), torch.stack([architecture.io.example(3, seeded(i)) for i in range(5)])
    wanted = torch.stack([architecture.run(weights[i], inputs[0 if same_images else i]) for i in range(5)])
    monkeypatch.setattr(architectures, "CACHED_VALUES", room * 3 * architecture.largest_output)
    with patch.object(LeNetLike, "forward_each", autospec=True, side_effect=LeNetLike.forward_each) as each:
        found = architecture.run_each(weights, inputs[0] if same_images else inputs)
    assert [len(call.args[1]["fc1.weight"]) for call in each.call_args_list] == sizes
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("networks", [1, 2])
def test_images_side_by_side_have_their_channels_innermost(networks: int, channels: int) -> None:
    """By its strides alone torch tells in which order convolutions are faster, also where there is one channel."""
    images = torch.randn(networks, 5, channels, 4, 4, generator=seeded(0))
    for given in (images, images.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)):
        found, width = side_by_side(given), networks * channels
        assert torch.equal(found, torch.cat(list(images), dim=1))
        assert found.stride() == (16 * width, 1, 4 * width, width)


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
