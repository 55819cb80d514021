"""Architectures: ordinary modules, and what is known of each; imports parameters, signal and errors."""

from ..signal import FieldSignal, ImageSignal, Signal, signal_from
from .architecture import Architecture
from .registry import FAMILIES, build

__all__ = ["FAMILIES", "Architecture", "FieldSignal", "ImageSignal", "Signal", "build", "signal_from"]
