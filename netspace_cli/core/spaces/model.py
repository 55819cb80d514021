"""Build a space's model from a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from netspace_models.architectures import Architecture
from netspace_models.backbones import ArchitectureInit
from netspace_models.errors import ConfigError
from netspace_models.space_model import SpaceModel
from netspace_models.wording import setting

from .recipe import Recipe


def build_model(
    recipe: Recipe, architectures: Sequence[Architecture], inits: Mapping[str, ArchitectureInit] | None = None
) -> SpaceModel:
    """Build a new model from a recipe; values are drawn from torch's current stream.

    Args:
        recipe: sizes.
        architectures: in the order of their ClassIds.
        inits: derived from training instances, for each; None where all values are loaded afterwards.
    Raises:
        ConfigError: sizes that do not go together, or several starting points of a backbone that has one.
        DoesNotFit: an architecture is too large for the backbone.
    """
    settings, several, space = recipe.backbone, len(architectures) > 1, recipe.space
    if space.starts > 1 and not settings.has_starts:
        raise ConfigError(
            f"the {settings.kind} backbone has one starting point for each architecture, not {space.starts}.",
            f"Use another backbone ({setting('backbone.kind', 'tokens')}), or leave it at "
            f"{setting('space.starts', 1)}.",
        )
    if inits is None:
        inits = {
            a.name: ArchitectureInit(
                a.spec,
                None,
                torch.ones(len(a.spec.layers)),
                a.run_several,
                architecture=a,
                starts=space.starts_of(a.name),
            )
            for a in architectures
        }
    backbone = settings.build(inits, architectures[0].io)
    return SpaceModel(architectures, backbone, settings.build_head(len(architectures)) if several else None)
