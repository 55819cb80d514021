"""Which data to work with: those named, or those a space or a zoo was trained on."""

from __future__ import annotations

from typing import Any, TypeVar

from netspace_models.errors import ConfigError, DataUnavailable

from netspace_cli.core.data.data import Data
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.kinds.images import data_hint, require_images
from netspace_cli.core.kinds.kind import Kind
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

D = TypeVar("D", bound=Data)


def choose_data(space: Space, spec: str | None) -> Data | None:
    """What to work with: the images named, else the space's own if they are at hand, else None; for neural
    fields points, which need no files.

    Raises:
        DataUnavailable: images were named and are not at hand.
        ConfigError: the images named are not like the space's.
    """
    return space.kind.data_of_space(space.record["data"], spec, f"space {space.name!r}")


def choose_images(space: Space, spec: str | None) -> ImageData | None:
    """`choose_data`, for what needs classes and their labels.

    Raises:
        ConfigError: the networks of the space are neural fields.
    """
    check_classifiers(space.kind, f"space {space.name!r}")
    data = choose_data(space, spec)
    return None if data is None else require_images(data)


def check_classifiers(kind: Kind, owner: str) -> None:
    """Refuse networks without classes.

    Raises:
        ConfigError: says what they are.
    """
    if not kind.has_splits:
        raise ConfigError(f"{owner} is for neural fields ({kind.io.describe()}).", "This is for classifiers.")


def missing_images_note(space: Space) -> str:
    """What to tell where a space's images are not at hand and everything but the scores was done without."""
    name = str(space.record["data"]["name"])
    return f"No accuracy: the images of {name} are not available. {data_hint(name)}"


def require_data(data: D | None, space: Space) -> D:
    """The images, where nothing can be done without them.

    Raises:
        DataUnavailable: they are not at hand.
    """
    if data is None:
        name = space.record["data"]["name"]
        raise DataUnavailable(
            f"the images of {name}, which space {space.name!r} was trained on, are not available.",
            data_hint(name),
        )
    return data


def choose_data_of_zoo(zoo: Zoo, spec: str | None) -> Data:
    """The images named, else those the zoo was trained on; for neural fields points.

    Raises:
        DataUnavailable: none were named, and the zoo's own are not at hand.
    """
    return zoo.kind.choose_data_of_zoo(zoo.data, spec, f"the zoo {zoo.path}")


def choose_images_of_zoo(zoo: Zoo, spec: str | None) -> ImageData:
    """`choose_data_of_zoo`, for what needs classes and their labels.

    Raises:
        ConfigError: the networks of the zoo are neural fields.
    """
    check_classifiers(zoo.kind, f"the zoo {zoo.path}")
    return require_images(choose_data_of_zoo(zoo, spec))


def recorded(data: Data | None) -> dict[str, Any] | None:
    """What outputs say of the data behind their numbers: of images name, and size and SHA-256 of every split."""
    return None if data is None else data.record()
