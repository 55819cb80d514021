"""The tokens backbone and its parts.

Imports the rooms below backbones, and their interface.
"""

from .backbone import TokensBackbone
from .settings import TokensSettings

__all__ = ["TokensBackbone", "TokensSettings"]
