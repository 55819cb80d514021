"""Readers: what an embedding depends on."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from netspace_models.architectures import Architecture, FieldIO, build
from netspace_models.backbones import ArchitectureInit, TokensBackbone
from netspace_models.backbones.tokens.settings import ReaderSettings, TokensSettings
from netspace_models.errors import ConfigError
from torch import Tensor

from tests.small_networks import seeded

SHAPE, COLOURS = FieldIO(3, 1), FieldIO(2, 3)


def fresh(architecture: Architecture, seed: int = 0) -> Tensor:
    """Flat parameters with biases that matter as much as weights."""
    return 0.2 * torch.randn(architecture.parameter_count, generator=seeded(seed))


def encoder(architecture: Architecture, kind: Literal["weights", "answers"], probes: int = 8) -> TokensBackbone:
    torch.manual_seed(0)
    scale = torch.ones(len(architecture.spec.layers))
    init = ArchitectureInit(architecture.spec, fresh(architecture), scale, run=architecture.run_several)
    reader = ReaderSettings(kind, probes)
    settings = TokensSettings(embedding_size=32, latents=4, chunk=32, width=16, heads=2, depth=1, reader=reader)
    return settings.build({architecture.name: init}, architecture.io)


@pytest.mark.parametrize("io", [SHAPE, COLOURS])
def test_an_embedding_of_answers_does_not_depend_on_the_order_of_hidden_units(io: FieldIO) -> None:
    architecture = build("siren-16x2", io)
    vectors = torch.stack([fresh(architecture, seed) for seed in range(3)])
    shuffled = torch.stack([architecture.shuffle(v, seeded(9 + i)) for i, v in enumerate(vectors)])
    with torch.no_grad():
        blind, seeing = (encoder(architecture, kind) for kind in ("answers", "weights"))
        found = blind.encode(architecture.name, vectors)
        apart = (found[0] - found[1]).abs().max()
        assert apart > 1e-2, "different networks have different embeddings"
        # The sums of float32 in another order, 30 times a layer.
        assert (blind.encode(architecture.name, shuffled) - found).abs().max() < 1e-3 * apart
        moved = (seeing.encode(architecture.name, shuffled) - seeing.encode(architecture.name, vectors)).abs().max()
        assert moved > 1e-3, "of an encoder that reads weights as well, it does"


def test_an_encoder_of_answers_has_no_parameters_for_weights() -> None:
    architecture = build("siren-16x2", COLOURS)
    names = {n for n, _ in encoder(architecture, "weights").named_parameters()}
    blind = {n for n, _ in encoder(architecture, "answers").named_parameters()}
    assert blind < names
    assert all(n.startswith("reader.sources.weights.") for n in names - blind)


def test_an_encoder_of_answers_without_probes_is_refused() -> None:
    with pytest.raises(ConfigError, match="an encoder that reads only answers needs probes, not 0") as refused:
        encoder(build("siren-8x1", COLOURS), "answers", probes=0)
    assert "backbone.reader.probes = 64" in refused.value.hint
