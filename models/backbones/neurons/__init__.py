"""The backbone with a token per neuron; imports parameters, heads, and the interface of backbones."""

from .backbone import NeuronsBackbone
from .settings import NeuronsSettings

__all__ = ["NeuronsBackbone", "NeuronsSettings"]
