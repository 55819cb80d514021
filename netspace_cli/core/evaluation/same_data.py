"""Refuse zoos that were made with other data than a space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netspace_models.architectures import NetworkIO
from netspace_models.errors import WrongSpace
from netspace_models.wording import setting

from netspace_cli.core.data.images import SPLITS
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo


def check_zoo_images(zoo: Zoo, space: Space) -> None:
    """Refuse a zoo of other images than the space's: its instances solve another problem.

    Raises:
        WrongSpace: says what both are of, and what differs.
    """
    theirs, own = zoo.data, space.record["data"]
    differing = [] if zoo.io == space.io else ["inputs or outputs"]
    differing += [what for what in ("mean", "std") if _differ(theirs, own, what)]
    differing += [f"{split} images" for split in SPLITS if _differ(_splits(theirs), _splits(own), split)]
    if differing:
        raise WrongSpace(
            f"{zoo.path} is a zoo of {_described(theirs, zoo.io)}; space {space.name!r} is of "
            f"{_described(own, space.io)}. They differ in: {', '.join(differing)}.",
            f"Give a space of the zoo's own images with {setting('space')}, or a zoo of the space's.",
        )


def _differ(one: Mapping[str, Any], other: Mapping[str, Any], what: str) -> bool:
    """Whether two records disagree; missing values agree with anything."""
    return what in one and what in other and one[what] != other[what]


def _splits(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The splits in a record, which may have been written by hand."""
    found = record.get("splits")
    return found if isinstance(found, Mapping) else {}


def _described(record: Mapping[str, Any], io: NetworkIO) -> str:
    """Describe name and sizes: "digits (1x16x16, 10 classes; 1097 train, 300 val, 400 test images)"."""
    parts = ((split, _splits(record).get(split)) for split in SPLITS)
    counts = ", ".join(f"{part.get('n')} {split}" for split, part in parts if isinstance(part, Mapping))
    return f"{record['name']} ({io.describe()}{f'; {counts} images' if counts else ''})"
