"""Built-in architectures and their descriptions.

Imports parameters, network_io and errors.
"""

from ..network_io import FieldIO, ImageIO, NetworkIO, TableIO, io_from
from .architecture import Architecture
from .registry import FAMILIES, build

__all__ = ["FAMILIES", "Architecture", "FieldIO", "ImageIO", "NetworkIO", "TableIO", "build", "io_from"]
