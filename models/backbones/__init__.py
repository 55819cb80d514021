"""Backbones: encoders and decoders of whole networks, behind one interface.

Imports every room of netspace_models but training.

A new backbone is a folder here and a line in `registry.py`. The folder holds

- `backbone.py`: a `Backbone`, an `nn.Module` with `encode` and `decode`. What it may learn of each architecture before
  training comes as `ArchitectureInit`. The other methods of `Backbone` have defaults.
- `settings.py`: a frozen dataclass derived from `BackboneSettings`, whose fields are the keys of the recipe's table
  `[backbone]`. Its `kind` is a `Literal` with the name, and a default; fields that are dataclasses themselves are
  tables (`[backbone.reader]`), derived from `Settings`. `build` makes the backbone, `build_head` the classifier.

Nothing above asks which backbone it has: recipes, training, refining, memory estimates and experiments go by
`BackboneSettings` and `Backbone`.
"""

from .backbone import ArchitectureInit, Backbone
from .conv import ConvBackbone
from .neurons import NeuronsBackbone
from .settings import BackboneSettings, Settings
from .tokens import TokensBackbone

__all__ = [
    "ArchitectureInit",
    "Backbone",
    "BackboneSettings",
    "ConvBackbone",
    "NeuronsBackbone",
    "Settings",
    "TokensBackbone",
]
