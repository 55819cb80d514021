"""All kinds of network, and how to find the kind of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netspace_models.architectures import FieldIO, ImageIO, NetworkIO, TableIO
from netspace_models.errors import ConfigError

from netspace_cli.core.data.points import DISTANCES, SHAPES
from netspace_cli.core.shapes.rendered_pictures import is_picture

from .fields import FieldKind, PictureKind, ShapeKind
from .images import ImageKind
from .kind import Kind
from .tables import TableKind


def _classifiers(io: NetworkIO, record: Mapping[str, Any]) -> Kind | None:
    return ImageKind(io) if isinstance(io, ImageIO) else None


def _fields(io: NetworkIO, record: Mapping[str, Any]) -> Kind | None:
    if not isinstance(io, FieldIO):
        return None
    kind = ShapeKind if io == SHAPES else PictureKind if is_picture(io) else FieldKind
    return kind(io, has_surface=record.get("values") == DISTANCES)


def _regressors(io: NetworkIO, record: Mapping[str, Any]) -> Kind | None:
    return TableKind(io) if isinstance(io, TableIO) else None


# From what networks take and give, and the record of their data, to their kind; the first that knows them has them.
KINDS: tuple[Callable[[NetworkIO, Mapping[str, Any]], Kind | None], ...] = (_classifiers, _fields, _regressors)


def kind_of(io: NetworkIO, record: Mapping[str, Any]) -> Kind:
    """Find the kind of a zoo's or space's networks.

    Args:
        io: what they take and give; record: of their data.
    Raises:
        ConfigError: no kind knows them.
    """
    for known in KINDS:
        kind = known(io, record)
        if kind is not None:
            return kind
    raise ConfigError(f"no kind of network takes {io.describe()}.", "Update netspace.")
