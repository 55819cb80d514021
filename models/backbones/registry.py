"""Backbones by the names that recipes use."""

from __future__ import annotations

from .conv.settings import ConvSettings
from .neurons.settings import NeuronsSettings
from .settings import BackboneSettings
from .tokens.settings import TokensSettings

DEFAULT = "tokens"
BACKBONES: dict[str, type[BackboneSettings]] = {
    "tokens": TokensSettings,
    "conv": ConvSettings,
    "neurons": NeuronsSettings,
}
