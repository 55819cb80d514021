"""The backbone with one token per neuron.

Imports parameters, heads, and the interface of backbones.
"""

from .backbone import NeuronsBackbone
from .settings import NeuronsSettings

__all__ = ["NeuronsBackbone", "NeuronsSettings"]
