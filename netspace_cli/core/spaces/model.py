"""Build a space's model from a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from netspace_models.architectures import Architecture
from netspace_models.backbones import ArchitectureInit
from netspace_models.space_model import SpaceModel

from .recipe import Recipe


def build_model(
    recipe: Recipe, architectures: Sequence[Architecture], inits: Mapping[str, ArchitectureInit] | None = None
) -> SpaceModel:
    """A fresh model of a recipe; values are drawn from torch's current stream.

    Args:
        recipe: sizes.
        architectures: in the order of their ClassIds.
        inits: what training instances tell of each; None where all values are loaded afterwards.
    Raises:
        ConfigError: sizes that do not go together.
        DoesNotFit: an architecture is too large for the backbone.
    """
    if inits is None:
        inits = {
            a.name: ArchitectureInit(a.spec, None, torch.ones(len(a.spec.layers)), a.run, architecture=a)
            for a in architectures
        }
    settings, several = recipe.backbone, len(architectures) > 1
    backbone = settings.build(inits, architectures[0].io)
    return SpaceModel(architectures, backbone, settings.build_head(len(architectures)) if several else None)
