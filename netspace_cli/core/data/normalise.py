"""How pixels are normalised before a network sees them: by the data set's usual constants, or as the user says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from .data import LabelledData
from .datasets import PUBLISHED_SCALE, Scale, mean_and_std
from .images import ImageData, images_or_none

WAYS = ("imagenet", "half", "none", "own")
_CONSTANTS: dict[str, Scale] = {"imagenet": PUBLISHED_SCALE, "half": ((0.5,), (0.5,)), "none": ((0.0,), (1.0,))}
# How far apart constants are that are published with fewer digits, or computed of nearly the same images.
NEAR = 0.005
# How far apart the constants of parts of one data set may be, of some of its classes or rows: means in deviations, and
# deviations as a factor.
PARTS, FACTOR = 0.25, 1.2

# What a record of data has by which inputs are normalised, and the targets of regressors.
_SCALES = {"inputs": ("mean", "std"), "targets": ("target_mean", "target_std")}
_COLOURS = 3


@dataclass(frozen=True)
class Normalisation:
    """What is taken off pixels of 0 to 1, and what they are divided by.

    Attributes:
        normalise: "imagenet" (its constants), "half" (0.5 and 0.5), "none" (0 and 1), "own" (mean and deviation of the
            training images); None for what the data set has.
        mean, std: in place of that, a number for each channel or one for all.
    """

    normalise: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ConfigError: a word that is not known, one together with numbers, only one of mean and std, or numbers that
                cannot be those of pixels of 0 to 1.
        """
        if self.normalise is not None and self.normalise not in WAYS:
            raise ConfigError(f"unknown normalisation {self.normalise!r}.", f"Use one of {', '.join(WAYS)}.")
        if self.normalise is not None and (self.mean or self.std):
            raise ConfigError(
                f"{setting('normalise', self.normalise)} is given together with a mean or a deviation.", "Give one."
            )
        if (self.mean is None) != (self.std is None):
            raise ConfigError(
                "of mean and deviation only one is given.", f"Give both {setting('mean')} and {setting('std')}."
            )
        for name, numbers in (("mean", self.mean or ()), ("std", self.std or ())):
            lowest = 0 if name == "mean" else 1e-6
            wrong = [x for x in numbers if not (math.isfinite(x) and abs(x) <= 1 and x >= lowest)]
            if wrong:
                raise ConfigError(
                    f"a {name} of {wrong[0]:g} is not one of pixels between 0 and 1.",
                    "Divide by 255 what is larger.",
                )

    @overload
    def of(self, data: ImageData) -> ImageData: ...

    @overload
    def of(self, data: LabelledData) -> LabelledData: ...

    def of(self, data: LabelledData) -> LabelledData:
        """The same images, normalised so.

        Raises:
            ConfigError: as `check`, numbers for another number of channels (says both), or for a table.
        """
        self.check()
        images = images_or_none(data)
        if images is None:
            if self != AS_IT_IS:
                raise ConfigError(
                    f"{data.name} is a table, which is always standardised.", f"Leave out {setting('normalise')}."
                )
            return data
        if self.mean is not None and self.std is not None:
            return rescaled(images, (self.mean, self.std))
        return images if self.normalise is None else rescaled(images, scale_of(self.normalise, images))


AS_IT_IS = Normalisation()


def scale_of(way: str, data: ImageData) -> Scale:
    """Mean and deviation of one of `WAYS` for certain images."""
    return _CONSTANTS[way] if way in _CONSTANTS else mean_and_std(data.splits["train"].images)


def rescaled(data: ImageData, scale: Scale) -> ImageData:
    """The same images with another mean and deviation, a number for each channel or one for all.

    Raises:
        ConfigError: numbers for another number of channels; says both.
    """
    channels = data.io.channels
    mean, std = (numbers * channels if len(numbers) == 1 else numbers for numbers in scale)
    for numbers in (mean, std):
        if len(numbers) != channels:
            raise ConfigError(
                f"{len(numbers)} numbers to normalise by; the images of {data.name} have {channels} "
                f"channel{'s' if channels > 1 else ''}.",
                "Give one for each channel, or one for all.",
            )
    return replace(data, mean=tuple(mean), std=tuple(std))


def as_recorded(data: ImageData, record: Mapping[str, Any]) -> ImageData:
    """The images with the normalisation of a zoo or space, where they are those it was made with.

    Args:
        record: what `ImageData.record` gave.
    """
    mean, std = (tuple(record.get(name, ())) for name in ("mean", "std"))
    if len(mean) != data.io.channels or len(std) != data.io.channels or (mean, std) == (data.mean, data.std):
        return data
    return replace(data, mean=mean, std=std) if data.record()["splits"] == record.get("splits") else data


def check_recorded(asked: Normalisation, record: Mapping[str, Any], images: ImageData | None, owner: str) -> None:
    """Refuse another normalisation than the one that a space records: its networks know images in no other.

    Args:
        asked: that networks were trained with; where it says nothing, nothing is refused.
        record: of the space's data; images: those available, if any.
        owner: the space, in words.
    Raises:
        ConfigError: as `Normalisation.check`; a space without images; "own" without images; another normalisation
            (says both).
    """
    asked.check()
    if asked == AS_IT_IS:
        return
    known = _recorded(record)
    if not all(known):
        names = f"{setting('normalise')}, {setting('mean')} and {setting('std')}"
        raise ConfigError(f"{owner} is not of images, and nothing else is normalised.", f"Leave out {names}.")
    found = _scale_without(asked) if asked.normalise != "own" else None if images is None else scale_of("own", images)
    if found is None:
        raise ConfigError(
            f"{owner}: its images are not available, so that their own mean and deviation are unknown.",
            f"Name them: {setting('data', 'FILE.npz')}.",
        )
    if not all(_near(*numbers) for numbers in zip(known, found, strict=True)):
        raise ConfigError(
            f"the networks of {owner} know images normalised by {_described(known)}; those given by "
            f"{_described(found)}.",
            "Train a space on networks of this normalisation; `netspace zoo index` records it.",
        )


def check_alike(records: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse networks that know inputs, or give targets, in different normalisations, where all are asked the same.

    Args:
        records: of the data of zoos and spaces, by what messages call their networks.
    Raises:
        ConfigError: says both.
    """
    first, known = next(iter(records.items()), ("", {}))
    for name, record in records.items():
        for what, keys in _SCALES.items():
            one, other = _recorded(known, keys), _recorded(record, keys)
            apart = _apart(one, other)
            if apart is not None:
                raise ConfigError(
                    f"{first} know {what} normalised by {_described(one, apart)}, {name} by "
                    f"{_described(other, apart)}: nothing is right for both.",
                    "Give networks that were trained alike.",
                )


def is_alike(known: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether two records of data have one normalisation, or those of parts of one data set; of as many numbers."""
    return all(_apart(_recorded(known, keys), _recorded(record, keys)) is None for keys in _SCALES.values())


def _apart(one: Scale, other: Scale) -> int | None:
    """The first channel or column of which one mean or deviation is far from the other's; None for none."""
    numbers = (one[0], other[0], one[1], other[1])
    if len({len(each) for each in numbers}) > 1:
        return None  # others say that the inputs differ
    for place, (mean, mean2, std, std2) in enumerate(zip(*numbers, strict=True)):
        low, high = sorted((std, std2))
        if abs(mean - mean2) > PARTS * low or high > FACTOR * low:
            return place
    return None


def scale_recorded(data: LabelledData) -> dict[str, tuple[float, ...]]:
    """Mean and deviation of images as their record has them; nothing of a table."""
    images = images_or_none(data)
    return {} if images is None else {"mean": images.mean, "std": images.std}


def _recorded(record: Mapping[str, Any], keys: tuple[str, str] = ("mean", "std")) -> Scale:
    mean, std = (tuple(record.get(key, ())) for key in keys)
    return mean, std


def _scale_without(asked: Normalisation) -> Scale:
    """Mean and deviation that need no images."""
    if asked.mean is not None and asked.std is not None:
        return asked.mean, asked.std
    return _CONSTANTS[str(asked.normalise)]


def _near(known: Sequence[float], found: Sequence[float]) -> bool:
    """Whether numbers of each channel are the same, published with fewer digits or of nearly the same images."""
    found = [*found] * len(known) if len(found) == 1 else found
    return len(found) == len(known) and all(abs(a - b) <= NEAR for a, b in zip(known, found, strict=True))


def _described(scale: Scale, place: int | None = None) -> str:
    """In words; with a `place`, that channel or column alone where there are more than a picture has."""
    if place is not None and len(scale[0]) > _COLOURS:
        return f"a mean of {scale[0][place]:.3g} and a deviation of {scale[1][place]:.3g} (number {place + 1})"
    mean, std = (", ".join(f"{x:.3g}" for x in numbers) for numbers in scale)
    return f"a mean of {mean} and a deviation of {std}"
