"""Backbones: encoders and decoders of whole networks, behind one interface."""

from .base import ArchitectureInit, Backbone
from .conv import ConvBackbone
from .tokens import TokensBackbone

__all__ = ["ArchitectureInit", "Backbone", "ConvBackbone", "TokensBackbone"]
