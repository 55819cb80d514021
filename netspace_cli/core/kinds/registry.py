"""All kinds of network, and which one a record is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netspace_models.architectures import FieldSignal, ImageSignal, Signal
from netspace_models.errors import ConfigError

from netspace_cli.core.data.points import DISTANCES, SHAPES
from netspace_cli.core.shapes.rendered_pictures import is_picture

from .fields import FieldKind, PictureKind, ShapeKind
from .images import ImageKind
from .kind import Kind


def _classifiers(signal: Signal, record: Mapping[str, Any]) -> Kind | None:
    return ImageKind(signal) if isinstance(signal, ImageSignal) else None


def _fields(signal: Signal, record: Mapping[str, Any]) -> Kind | None:
    if not isinstance(signal, FieldSignal):
        return None
    kind = ShapeKind if signal == SHAPES else PictureKind if is_picture(signal) else FieldKind
    return kind(signal, has_surface=record.get("values") == DISTANCES)


# From what networks take and give, and the record of their data, to their kind; the first that knows them has them.
KINDS: tuple[Callable[[Signal, Mapping[str, Any]], Kind | None], ...] = (_classifiers, _fields)


def kind_of(signal: Signal, record: Mapping[str, Any]) -> Kind:
    """The kind of the networks of a zoo or a space.

    Args:
        signal: what they take and give; record: of their data.
    Raises:
        ConfigError: no kind knows them.
    """
    for known in KINDS:
        kind = known(signal, record)
        if kind is not None:
            return kind
    raise ConfigError(f"no kind of network is for {signal.describe()}.", "Update netspace.")
