"""Statistics of folded layers: a network that has lost them gets them back, and what cannot be done is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
import torch
from netspace_models.architectures import Architecture, build
from netspace_models.errors import ConfigError

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.methods import Mix, Noise
from netspace_cli.core.sampling.norms import check_norms, refresh_norms, with_statistics_of
from netspace_cli.core.sampling.sample import sample
from tests.small_networks import seeded
from tests.worlds import Tiny


def test_channels_that_were_scaled_and_shifted_come_back(tiny: Tiny) -> None:
    architecture = build("resnet8", tiny.data.io)
    own = tiny.zoo.weights(tiny.zoo.select(arch="resnet8")[:1], architecture)[0]
    state = architecture.spec.unflatten(own)
    lost = dict(state)
    for pair in architecture.pairs:
        factor = 0.3 + torch.rand(len(state[f"{pair.layer}.bias"]), generator=seeded(1))
        lost[f"{pair.layer}.weight"] = state[f"{pair.layer}.weight"] * factor.reshape(-1, 1, 1, 1)
        lost[f"{pair.layer}.bias"] = state[f"{pair.layer}.bias"] * factor + 0.2
    images = tiny.data.batch("train", slice(0, 20))[0]
    with torch.no_grad():
        found = architecture.spec.flatten(
            with_statistics_of(architecture, architecture.spec.flatten(lost), own, images)
        )
        wanted, without, again = (
            architecture.run(each, images) for each in (own, architecture.spec.flatten(lost), found)
        )
    assert float((again - wanted).abs().max()) < 1e-2 * float(wanted.abs().max())
    assert float((without - wanted).abs().max()) > 0.2 * float(wanted.abs().max())


def test_a_refreshed_instance_stays_as_it_is_and_a_mix_changes(tiny: Tiny) -> None:
    runner = Runner("cpu")
    copy, mix = (sample(tiny.space, 1, m, runner, arch="resnet8", zoo=tiny.zoo, top=1.0) for m in (Noise(0.0), Mix()))
    same, other = (refresh_norms(each, tiny.data, runner) for each in (copy, mix))
    assert same.samples[0].norms_of == copy.samples[0].parents[0]
    assert torch.allclose(same.networks[0].weights, copy.networks[0].weights, atol=1e-3)
    assert other.samples[0].norms_of in mix.samples[0].parents
    assert not torch.allclose(other.networks[0].weights, mix.networks[0].weights, atol=1e-3)


def test_what_has_no_norms_is_refused(tiny: Tiny) -> None:
    lenet, resnet = (build(name, tiny.data.io) for name in ("lenetlike", "resnet8"))
    with pytest.raises(ConfigError, match="lenetlike has no batch norms, so it has no statistics to refresh"):
        check_norms(lenet)
    with pytest.raises(ConfigError, match="the hidden units of resnet8 cannot be aligned"):
        check_norms(cast(Architecture, SimpleNamespace(name="resnet8", pairs=resnet.pairs, hidden_groups=())))
    found = sample(tiny.space, 1, "kde", Runner("cpu"), arch="resnet8", top=1.0)
    with pytest.raises(ConfigError, match="no zoo was given"):
        refresh_norms(found, tiny.data, Runner("cpu"))
