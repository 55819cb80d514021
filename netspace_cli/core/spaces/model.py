"""Build a space's model from a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from netspace_models.architectures import Architecture, FieldSignal, ImageSignal
from netspace_models.backbones import ArchitectureInit, Backbone, ConvBackbone, TokensBackbone
from netspace_models.codec import published_height
from netspace_models.heads import ConvHead, MLPHead
from netspace_models.space_model import SpaceModel

from .recipe import ConvRecipe, Recipe


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
        DoesNotFit: an architecture is too large for the conv backbone's PRep.
    """
    if inits is None:
        inits = {
            a.name: ArchitectureInit(a.spec, None, torch.ones(len(a.spec.layers)), a.run, architecture=a)
            for a in architectures
        }
    signal = architectures[0].signal
    several = len(architectures) > 1
    backbone: Backbone
    options = recipe.backbone
    if isinstance(options, ConvRecipe):
        size = signal.size if isinstance(signal, ImageSignal) else 0
        height = options.height or published_height(architectures=len(architectures), size=size)
        sizes = options.model_dump(exclude={"kind", "height"})
        backbone = ConvBackbone(inits, height=height, **sizes)
        head = ConvHead(options.embedding_size, len(architectures)) if several else None
        return SpaceModel(architectures, backbone, head)
    backbone = TokensBackbone(
        inits,
        probe_shape=signal.input_shape,
        outputs=signal.outputs,
        values=isinstance(signal, FieldSignal),
        **options.model_dump(exclude={"kind"}),
    )
    return SpaceModel(architectures, backbone, MLPHead(options.embedding_size, len(architectures)) if several else None)
