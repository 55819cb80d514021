"""Architectures: ordinary modules, and what netspace knows of each."""

from .architecture import Architecture
from .registry import FAMILIES, build
from .signal import FieldSignal, ImageSignal, Signal, signal_from

__all__ = ["FAMILIES", "Architecture", "FieldSignal", "ImageSignal", "Signal", "build", "signal_from"]
