"""Statistics of weights: those of numpy, layer by layer, whatever the order of units."""

from __future__ import annotations

import numpy as np
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.parameters.statistics import QUANTILES, weight_statistics

from tests.small_networks import seeded


def test_they_are_those_of_numpy() -> None:
    architecture = build("lenetlike", ImageIO(1, 8, 3))
    weights = torch.randn(3, architecture.parameter_count, generator=seeded())
    found = weight_statistics(architecture.spec, weights).numpy().reshape(3, -1, 7)
    for i, layer in enumerate(architecture.spec.layers):
        values = weights[:, layer.start : layer.stop].double().numpy()
        wanted = [values.mean(1), values.var(1), *np.quantile(values, QUANTILES, axis=1)]
        assert np.allclose(found[:, i], np.stack(wanted, 1))


def test_reordered_units_have_the_same() -> None:
    architecture = build("resnet8", ImageIO(1, 8, 3))
    weights = torch.randn(architecture.parameter_count, generator=seeded())
    both = torch.stack([weights, architecture.shuffle(weights, seeded(1))])
    one, other = weight_statistics(architecture.spec, both)
    assert torch.allclose(one, other)
