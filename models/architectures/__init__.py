"""Architectures: ordinary modules, and what netspace knows of each."""

from .architecture import Architecture
from .registry import FAMILIES, build
from .signal import Signal

__all__ = ["FAMILIES", "Architecture", "Signal", "build"]
