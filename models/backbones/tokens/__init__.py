"""The tokens backbone and its parts; imports what stands below backbones, and their interface."""

from .backbone import TokensBackbone
from .settings import TokensSettings

__all__ = ["TokensBackbone", "TokensSettings"]
