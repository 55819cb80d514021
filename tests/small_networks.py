"""Small networks, backbones and seeds that tests of the mathematics share; of netspace itself only the models."""

from __future__ import annotations

from typing import Any

import torch
from netspace_models.architectures import Architecture, FieldIO, ImageIO, build
from netspace_models.backbones import ArchitectureInit, TokensBackbone
from netspace_models.backbones.tokens.settings import DirectSettings, ReaderSettings, TokensSettings
from torch import Tensor


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


def small_field(io: FieldIO, seed: int = 0) -> tuple[Architecture, Tensor, Tensor]:
    """An architecture, a network of it (P,) and points (9, D)."""
    architecture = build("siren-6x2", io)
    weights = 0.05 * torch.randn(architecture.parameter_count, generator=seeded(seed))
    return architecture, weights, 2 * torch.rand(9, io.dimensions, generator=seeded(1)) - 1


def small_classifier(name: str = "lenetlike") -> tuple[Architecture, dict[str, Tensor], Tensor]:
    """An architecture, parameters in which something is alive, and images."""
    architecture = build(name, ImageIO(1, 8, 3))
    torch.manual_seed(0)
    weights = 0.2 * torch.randn(architecture.parameter_count)
    return architecture, architecture.spec.unflatten(weights), torch.rand(16, 1, 8, 8, generator=seeded())


def solvable_backbone(architecture: Architecture, **options: Any) -> TokensBackbone:
    """One whose embedding moves weights along directions, and by attention as well."""
    torch.manual_seed(0)
    start = 0.05 * torch.randn(architecture.parameter_count)
    scale = torch.linspace(0.1, 0.2, len(architecture.spec.layers))
    init = ArchitectureInit(architecture.spec, start, scale, architecture.run_several, architecture=architecture)
    sizes = {"embedding_size": 48, "latents": 4, "chunk": 32, "width": 16, "heads": 2, "depth": 1}
    parts = {"direct": DirectSettings("learnt", 0.7), "reader": ReaderSettings("answers", 16)}
    return TokensSettings(**{**sizes, **parts, **options}).build({architecture.name: init}, architecture.io)
