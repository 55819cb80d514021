"""The published backbone; imports parameters, heads, and the interface of backbones."""

from .backbone import ConvBackbone, PRepDecoder, PRepEncoder
from .settings import ConvSettings

__all__ = ["ConvBackbone", "ConvSettings", "PRepDecoder", "PRepEncoder"]
