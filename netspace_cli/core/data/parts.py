"""Parts of a data set's training images, such as one of several sites has."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import torch
from netspace_models.errors import ConfigError

from .images import ImageData, Split

UNDERSTOOD = ("DATA@2/5", "DATA@without:3,4")
_PART = re.compile(r"^(?P<data>.+)@(?:(?P<place>\d+)/(?P<of>\d+)|without:(?P<classes>\d+(?:,\d+)*))$")


@dataclass(frozen=True)
class Part:
    """Which training images to keep.

    Attributes:
        place, of: one of that many equal parts of a fixed permutation, counted from 1; `of` is 1 for all.
        without: classes that are left out.
    """

    place: int = 1
    of: int = 1
    without: tuple[int, ...] = ()

    def __str__(self) -> str:
        """As a spec has it, behind the @."""
        return f"without:{','.join(map(str, self.without))}" if self.without else f"{self.place}/{self.of}"


def split_spec(spec: str) -> tuple[str, Part | None]:
    """Separate a spec of a data set from the part that it names: "mnist.npz@2/5", "digits@without:3,4".

    Returns:
        The data set's own spec, and None where all of it is meant.
    Raises:
        ConfigError: the third of two parts, or a part of a part.
    """
    found = _PART.match(spec.strip())
    if found is None:
        return spec, None
    inner = _PART.match(found["data"])
    if inner is not None:
        raise ConfigError(
            f"{spec} names two parts, and only one can be taken.", f"Write {inner['data']} and one of them."
        )
    if found["classes"] is not None:
        return found["data"], Part(without=tuple(sorted({int(k) for k in found["classes"].split(",")})))
    part = Part(int(found["place"]), int(found["of"]))
    if not 1 <= part.place <= part.of:
        raise ConfigError(f"{spec}: there is no part {part.place} of {part.of}.", "Count from 1, as in DATA@2/5.")
    return found["data"], part


def take_part(data: ImageData, part: Part) -> ImageData:
    """Keep a part of the training images. All else stays: validation and test images, classes, normalisation.

    Raises:
        ConfigError: a class that the data do not have, or nothing left.
    """
    train = data.splits["train"]
    unknown = next((k for k in part.without if k >= data.io.classes), None)
    if unknown is not None:
        raise ConfigError(
            f"{data.name} has no class {unknown} to leave out.", f"Its classes are 0 to {data.io.classes - 1}."
        )
    if part.without:
        index = (~torch.isin(train.labels, torch.tensor(part.without))).nonzero()[:, 0]
    else:
        order = torch.from_numpy(np.random.RandomState(0).permutation(len(train)))
        index = order.tensor_split(part.of)[part.place - 1].sort().values
    if len(index) == 0:
        raise ConfigError(f"{data.name}@{part} has no training images.", "Keep a larger part.")
    note = f"train is {len(index)} of {len(train)} images: {part}"
    splits = {**data.splits, "train": Split(train.images[index], train.labels[index])}
    return replace(data, name=f"{data.name}@{part}", splits=splits, notes=(*data.notes, note))
