"""Which images to work with: those named, or those a space or a zoo was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from netspace_models.architectures import FieldSignal, ImageSignal, Signal
from netspace_models.errors import ConfigError, DataUnavailable, InputFileError

from netspace_cli.core.data.datasets import data_available, load_data
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.data.points import Data, FieldData, field_data
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

D = TypeVar("D", bound=Data)


def data_for(space: Space, spec: str | None) -> Data | None:
    """What to work with: the images named, else the space's own if they are at hand, else None. For networks
    that are signals points, which are always at hand.

    Raises:
        DataUnavailable: images were named and are not at hand.
        ConfigError: the images named are not like the space's.
    """
    if isinstance(space.signal, FieldSignal):
        return _points(space.record["data"], spec, f"space {space.name!r}")
    return images_for(space, spec)


def images_for(space: Space, spec: str | None) -> ImageData | None:
    """`data_for`, for what needs classes and their labels.

    Raises:
        ConfigError: the networks of the space are signals.
    """
    signal = _image_signal(space.signal, f"space {space.name!r}")
    if spec is None:
        return _own_data(space, signal)
    data = load_data(spec, size=signal.size)
    if data.signal != space.signal:
        raise ConfigError(
            f"space {space.name!r} is for {space.signal.describe()}; {spec}, brought to that size, has "
            f"{data.signal.describe()}.",
            "Give images like those the space was trained on, or another space (--space).",
        )
    # Its networks know images in the space's own normalisation, whatever these images' mean is.
    record = space.record["data"]
    return replace(data, mean=tuple(record["mean"]), std=tuple(record["std"]))


def _image_signal(signal: Signal, owner: str) -> ImageSignal:
    if isinstance(signal, FieldSignal):
        raise ConfigError(f"{owner} is of networks that are signals ({signal.describe()}).", "This is for classifiers.")
    return signal


def _points(record: Mapping[str, Any], spec: str | None, owner: str) -> FieldData:
    if spec is not None:
        raise ConfigError(
            f"{owner} is of networks that are signals: they are asked about points, which need no {spec}.",
            "Leave out --data.",
        )
    return field_data(record)


def _own_data(space: Space, signal: ImageSignal) -> ImageData | None:
    """The images a space was trained on, where they are at hand.

    Files and folders are recorded by their names alone, so whatever lies there under that name is compared
    with the record: other images would score and refine without a word.
    """
    record = space.record["data"]
    name = str(record["name"])
    if not data_available(name):
        return None
    if not name.startswith(("npz:", "folder:")):
        return load_data(name, size=signal.size)
    try:
        data = load_data(name, size=signal.size)
    except (DataUnavailable, InputFileError):
        return None  # something else of the same name
    return data if data.record()["splits"] == record["splits"] else None


def data_hint(name: str) -> str:
    """How to name a recorded data set on the command line."""
    word = name.partition(":")[0]
    spec = "FILE.npz" if word == "npz" else f"{word}:DIR"
    return f"Name them with --data, e.g. --data {spec}."


def no_accuracy(space: Space) -> str:
    """What to tell where a space's images are not at hand and everything but the scores was done without."""
    name = str(space.record["data"]["name"])
    return f"No accuracy: the images of {name} are not at hand. {data_hint(name)}"


def required_data(data: D | None, space: Space) -> D:
    """The images, where nothing can be done without them.

    Raises:
        DataUnavailable: they are not at hand.
    """
    if data is None:
        name = space.record["data"]["name"]
        raise DataUnavailable(
            f"the images of {name}, which space {space.name!r} was trained on, are not at hand.",
            data_hint(name),
        )
    return data


def data_of_zoo(zoo: Zoo, spec: str | None) -> Data:
    """The images named, else those the zoo was trained on; for networks that are signals points.

    Raises:
        DataUnavailable: none were named, and the zoo's own are not at hand.
    """
    if isinstance(zoo.signal, FieldSignal):
        return _points(zoo.data, spec, f"the zoo {zoo.path}")
    return images_of_zoo(zoo, spec)


def images_of_zoo(zoo: Zoo, spec: str | None) -> ImageData:
    """`data_of_zoo`, for what needs classes and their labels.

    Raises:
        ConfigError: the networks of the zoo are signals.
    """
    signal = _image_signal(zoo.signal, f"the zoo {zoo.path}")
    name = str(zoo.data["name"])
    if spec is None and not data_available(name):
        raise DataUnavailable(
            f"the images of {name}, which the zoo {zoo.path} was trained on, are not at hand.", data_hint(name)
        )
    return load_data(spec or name, size=signal.size)


def recorded(data: Data | None) -> dict[str, Any] | None:
    """What outputs say of the data behind their numbers: of images name, and size and SHA-256 of every split."""
    return None if data is None else data.record()
