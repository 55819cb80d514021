"""Copies are found whatever the order of their units."""

from __future__ import annotations

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.parameters.incoming import align_closely, match_incoming

from tests.small_networks import seeded

NAMES = ("lenetlike", "vanillacnn", "resnet8")


@pytest.mark.parametrize("name", NAMES)
def test_reordered_copies_come_back_exactly(name: str) -> None:
    architecture = build(name, ImageIO(1, 8, 3))
    own = torch.randn(architecture.parameter_count, generator=seeded())
    copies = torch.stack([architecture.shuffle(own, seeded(i)) for i in range(4)])
    assert torch.equal(align_closely(architecture, own, copies, seeded()), own.expand(4, -1))


def test_another_network_stays_the_same_function() -> None:
    architecture = build("lenetlike", ImageIO(1, 8, 3))
    one, other = 0.2 * torch.randn(2, architecture.parameter_count, generator=seeded())
    images = torch.rand(5, 1, 8, 8, generator=seeded())
    state = architecture.spec.unflatten
    matched = match_incoming(state(one), state(other), architecture.hidden_groups)
    for found in (architecture.spec.flatten(matched), align_closely(architecture, one, other[None], seeded())[0]):
        assert torch.allclose(architecture.run(found, images), architecture.run(other, images), atol=1e-4)
        assert (found - one).norm() < (other - one).norm()
