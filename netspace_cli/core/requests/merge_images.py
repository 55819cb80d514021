"""The images that networks are merged on: those named, with or without labels, or those of a zoo or a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netspace_models.architectures import ImageIO, NetworkIO
from netspace_models.errors import ConfigError, UnknownArchitecture, WrongSpace
from netspace_models.wording import Call, setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.datasets import has_labels, load_data, load_images
from netspace_cli.core.data.images import ImageData, images_or_none
from netspace_cli.core.data.normalise import AS_IT_IS, Normalisation, check_alike, is_alike, scale_recorded
from netspace_cli.core.networks.factories import io_of_factory, is_factory
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

from .choose_data import choose_labelled, choose_labelled_of_zoo, require_data
from .choose_space import choose_space
from .reader import CheckpointReader


@dataclass(frozen=True)
class Sources:
    """Where members come from, opened as far as is needed to choose images.

    Attributes:
        zoos: opened; files: checkpoints.
        space: None for none that is named.
        names: architectures that the user has named.
        key: where in a nested checkpoint the parameters are.
    """

    zoos: Sequence[Zoo]
    files: Sequence[Path]
    space: Space | None = None
    names: Sequence[str] = ()
    key: str | None = None

    def images(self, spec: str | None, normalisation: Normalisation = AS_IT_IS) -> LabelledData:
        """The images to merge on.

        Args:
            spec: as in `load_data`, or a .npz file of images alone; None for those of the zoo or the space.
            normalisation: that the networks were trained with; zoos and spaces record theirs.
        Raises:
            ConfigError: neural fields, none named and no zoo or space that has some, a normalisation beside the one
                that a zoo or space records, or several of these that record different ones.
            DataUnavailable, InputFileError: as `load_data`.
        """
        for zoo in self.zoos:
            check_no_fields(zoo.io, f"the zoo {zoo.path}")
        if self.space is not None:
            check_no_fields(self.space.io, f"space {self.space.name!r}")
        record = self.record
        self._check_one_task()
        check_alike(self._recorded_data)
        if record is None:
            return normalisation.of(self._found(spec))
        found = self._found(spec)
        images = images_or_none(found)
        if normalisation != AS_IT_IS and (
            images is None or not is_alike(scale_recorded(images), scale_recorded(normalisation.of(images)))
        ):
            raise ConfigError(
                f"{self._recorded_io[1]} records how its images are normalised, and another way is named.",
                f"Leave out {setting('normalise')}, {setting('mean')} and {setting('std')}.",
            )
        return found

    def _check_one_task(self) -> None:
        """Refuse zoos for other inputs or outputs."""
        for zoo in self.zoos[1:]:
            first = self.zoos[0]
            if zoo.io != first.io:
                raise ConfigError(
                    f"{first.path} is a zoo for {first.io.describe()}, {zoo.path} for {zoo.io.describe()}.",
                    "Give networks of one task.",
                )

    def _found(self, spec: str | None) -> LabelledData:
        """The images, those that zoos and spaces know in their normalisation, others as they usually are."""
        record = self.record
        if spec is None:
            return self._own()
        if has_labels(spec):
            if self.space is not None:
                return require_data(choose_labelled(self.space, spec), self.space)
            labelled = load_data(spec, size=self._size())
            images = images_or_none(labelled)
            if images is None:
                return labelled if not self.zoos else choose_labelled_of_zoo(self.zoos[0], spec)
            found = images
        else:
            found = self._unlabelled(spec)
        if record is None:
            return found
        io, owner = self._recorded_io
        if len(io.input_shape) != len(found.io.input_shape):
            raise ConfigError(
                f"{owner} is for {io.describe()}, and {found.name} has images, {found.io.describe()}.",
                "Give data of its own kind.",
            )
        if len(record["mean"]) != found.io.channels:
            return found  # refused where networks are asked for
        # Members know images in their own normalisation, whatever these images' mean is.
        return replace(found, mean=tuple(record["mean"]), std=tuple(record["std"]))

    @property
    def record(self) -> Mapping[str, Any] | None:
        """The record of the images that the zoo or the named space was made with; None for neither."""
        if self.zoos:
            return self.zoos[0].data
        return None if self.space is None else self.space.record["data"]

    @property
    def _recorded_data(self) -> Mapping[str, Mapping[str, Any]]:
        """Records of data, by what messages call the networks that know them so."""
        records = {f"the networks of the zoo {zoo.path}": zoo.data for zoo in self.zoos}
        if self.space is not None:
            # Images would be normalised as the space has them.
            records[f"the networks of space {self.space.name!r}"] = self.space.record["data"]
        return records

    @property
    def _recorded_io(self) -> tuple[NetworkIO, str]:
        """What the recorded networks take and give, and what messages call whoever records it."""
        if self.zoos:
            return self.zoos[0].io, f"the zoo {self.zoos[0].path}"
        assert self.space is not None
        return self.space.io, f"space {self.space.name!r}"

    def _own(self) -> LabelledData:
        """Images that the zoo or the space was trained on, also a built-in space that has all of the networks."""
        if self.zoos:
            return choose_labelled_of_zoo(self.zoos[0], None)
        if self.space is not None:
            return require_data(choose_labelled(self.space, None), self.space)
        for path in self.files[:1]:
            with suppress(UnknownArchitecture):
                check_no_fields(CheckpointReader(key=self.key).network(path).architecture.io, str(path))
        with suppress(WrongSpace, UnknownArchitecture):
            own = choose_space(None, self.files, CheckpointReader(key=self.key))
            return require_data(choose_labelled(own, None), own)
        raise ConfigError(
            "there are no images to merge on.",
            f"Name some like those that the networks were trained on, with labels or without: "
            f"{setting('data', Call('load_data', 'FILE.npz'))}.",
        )

    def _size(self) -> int | None:
        """S in pixels, where a zoo or a space says so."""
        known = [zoo.io for zoo in self.zoos] or ([] if self.space is None else [self.space.io])
        return known[0].input_shape[-1] if known and known[0].logits else None

    def _unlabelled(self, spec: str) -> ImageData:
        found = load_images(spec, size=self._size(), classes=1)
        classes = self._classes(found.io)
        return replace(found, io=replace(found.io, classes=classes), class_names=tuple(map(str, range(classes))))

    def _classes(self, images: ImageIO) -> int:
        """K, where images do not tell: what the networks are for."""
        known = [zoo.io for zoo in self.zoos] or ([] if self.space is None else [self.space.io])
        if known:
            return known[0].outputs
        reader, path = CheckpointReader(key=self.key), self.files[0]
        ends = reader.channels_and_classes(path)
        if ends is not None:
            return ends[1]
        try:
            io = reader.network(path).architecture.io
        except UnknownArchitecture:
            made = [io_of_factory(n, images.channels, (images.size,)) for n in self.names if is_factory(n)]
            found = next((each for each in made if each is not None), None)
            if found is None:
                raise
            return found.outputs
        check_no_fields(io, str(path))
        return io.outputs


def check_no_fields(io: NetworkIO, owner: str) -> None:
    """Refuse shapes and pictures: what lies between two of them is not a mean of answers.

    Raises:
        ConfigError: says what blends them.
    """
    if not io.labelled:
        raise ConfigError(
            f"{owner} is of neural fields ({io.describe()}), and what is merged are classifiers or regressors.",
            "A merge of two shapes is their blend: `netspace interp` at one half.",
        )
