"""Choose data: the named ones, or those that a space or zoo was trained on."""

from __future__ import annotations

from typing import Any, TypeVar

from netspace_models.errors import ConfigError, DataUnavailable

from netspace_cli.core.data.data import Data, LabelledData
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.kinds.images import require_images
from netspace_cli.core.kinds.kind import Kind
from netspace_cli.core.kinds.labelled import data_hint, require_labelled
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

D = TypeVar("D", bound=Data)


def choose_data(space: Space, spec: str | None) -> Data | None:
    """The named images, else the space's own if available, else None.

    For neural fields, points, which need no files.

    Raises:
        DataUnavailable: images were named and are not available.
        ConfigError: the images named are not like the space's.
    """
    return space.kind.data_of_space(space.record["data"], spec, f"space {space.name!r}")


def choose_labelled(space: Space, spec: str | None) -> LabelledData | None:
    """Choose as `choose_data` does, for tasks that need labels.

    Raises:
        ConfigError: the networks of the space are neural fields.
    """
    check_labelled(space.kind, f"space {space.name!r}")
    data = choose_data(space, spec)
    return None if data is None else require_labelled(data)


def choose_images(space: Space, spec: str | None) -> ImageData | None:
    """Choose as `choose_data` does, for tasks that need classes and labels.

    Raises:
        ConfigError: the networks of the space are neural fields or regressors.
    """
    check_classifiers(space.kind, f"space {space.name!r}")
    data = choose_data(space, spec)
    return None if data is None else require_images(data)


def check_labelled(kind: Kind, owner: str) -> None:
    """Refuse networks whose inputs have no labels.

    Raises:
        ConfigError: says what they are.
    """
    if not kind.has_splits:
        raise ConfigError(
            f"{owner} is for neural fields ({kind.io.describe()}).", "This is for classifiers and regressors."
        )


def check_classifiers(kind: Kind, owner: str) -> None:
    """Refuse networks without classes.

    Raises:
        ConfigError: says what they are.
    """
    if not kind.io.logits:
        what = "regressors" if kind.has_splits else "neural fields"
        raise ConfigError(f"{owner} is for {what} ({kind.io.describe()}).", "This is for classifiers.")


def missing_images_note(space: Space) -> str:
    """A note for tasks done without scores because a space's images are not available."""
    name = str(space.record["data"]["name"])
    return f"No {space.io.problem.score}: the {space.io.one}s of {name} are not available. {data_hint(name)}"


def require_data(data: D | None, space: Space) -> D:
    """Return the images, or refuse if they are missing.

    Raises:
        DataUnavailable: they are not available.
    """
    if data is None:
        name = space.record["data"]["name"]
        raise DataUnavailable(
            f"the {space.io.one}s of {name}, which space {space.name!r} was trained on, are not available.",
            data_hint(name),
        )
    return data


def choose_data_of_zoo(zoo: Zoo, spec: str | None) -> Data:
    """The named images, else those that the zoo was trained on; for neural fields, points.

    Raises:
        DataUnavailable: none were named, and the zoo's own are not available.
    """
    return zoo.kind.choose_data_of_zoo(zoo.data, spec, f"the zoo {zoo.path}")


def choose_labelled_of_zoo(zoo: Zoo, spec: str | None) -> LabelledData:
    """Choose as `choose_data_of_zoo` does, for tasks that need labels.

    Raises:
        ConfigError: the networks of the zoo are neural fields.
    """
    check_labelled(zoo.kind, f"the zoo {zoo.path}")
    return require_labelled(choose_data_of_zoo(zoo, spec))


def choose_images_of_zoo(zoo: Zoo, spec: str | None) -> ImageData:
    """Choose as `choose_data_of_zoo` does, for tasks that need classes and labels.

    Raises:
        ConfigError: the networks of the zoo are neural fields or regressors.
    """
    check_classifiers(zoo.kind, f"the zoo {zoo.path}")
    return require_images(choose_data_of_zoo(zoo, spec))


def recorded(data: Data | None) -> dict[str, Any] | None:
    """Describe the data behind an output's numbers; for images name, and size and SHA-256 of every split."""
    return None if data is None else data.record()
