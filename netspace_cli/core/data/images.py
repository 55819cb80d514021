"""Image data sets in memory: normalised batches, augmentation, and their record in a space.

`datasets.py` fills these types from the words of `--data`; nothing here reads a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from netspace_models.architectures import ImageIO
from netspace_models.errors import ConfigError, DataUnavailable
from netspace_models.sending import sent
from torch import Tensor

SPLITS = ("train", "val", "test")


# eq=False: comparing tensors gives a tensor, not a truth value.
@dataclass(frozen=True, eq=False)
class Moves:
    """How each of N images is shifted and mirrored.

    Attributes:
        mirrored: (N,) bool, left to right.
        shift: (2, N) whole numbers: row and column of the image with its padding from which on it is cut out again.
    """

    mirrored: Tensor
    shift: Tensor

    def of(self, index: Tensor) -> Moves:
        """The moves of some images."""
        return Moves(self.mirrored[index], self.shift[:, index])


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images.

    Attributes:
        images: (N, C, S, S) uint8, 0-255.
        labels: (N,) int64, on the device of `images`.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Split:
        """The same split on `device`."""
        return Split(self.images.to(device), self.labels.to(device))

    def pixel_by_pixel(self) -> Split:
        """The same split with the channels of a pixel side by side in memory, as its batches are to have them."""
        return Split(self.images.contiguous(memory_format=torch.channels_last), self.labels)

    def sha256(self) -> str:
        """Digest of the images' bytes and then the labels', in index order."""
        digest = hashlib.sha256()
        for tensor in (self.images, self.labels):
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set of square images with splits train, val and test, in memory.

    Attributes:
        name: what was loaded, e.g. "digits", "cifar10", "npz:blood.npz".
        io: channels C, size S in pixels and number of classes K.
        splits: exactly "train", "val" and "test", none empty, all on one device.
        mean, std: C numbers each, in units of pixel value / 255.
        padding: zero pixels put on each side of an image before `augmented` crops it; 0 for no shift.
        flip: whether `augmented` mirrors half of the images left to right.
        class_names: K names in label order.
        notes: how the splits came about, where the source did not give them.
        labelled: whether the labels are known; where they are not, all are -1, which no network answers.
        val_of_train: whether val was taken from the training images, as the source gave none.

    Raises:
        DataUnavailable: a split is missing or empty, or disagrees with `io`.
    """

    name: str
    io: ImageIO
    splits: dict[str, Split]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    padding: int
    flip: bool
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    labelled: bool = True
    val_of_train: bool = False

    def __post_init__(self) -> None:
        C, S, K = self.io.channels, self.io.size, self.io.classes
        for name in SPLITS:
            if name not in self.splits or len(self.splits[name]) == 0:
                raise DataUnavailable(
                    f"{self.name}: the split {name} has no images.",
                    "A data set needs images to train on, to choose by and to test with.",
                )
            images, labels = self.splits[name].images, self.splits[name].labels
            if tuple(images.shape[1:]) != (C, S, S) or len(images) != len(labels):
                raise DataUnavailable(
                    f"{self.name}: {name} has images of shape {tuple(images.shape)} and {len(labels)} labels;"
                    f" expected ({len(labels)}, {C}, {S}, {S}).",
                    "All splits must have images of one size and one label for each.",
                )
            if images.dtype != torch.uint8 or labels.dtype != torch.int64:
                raise DataUnavailable(
                    f"{self.name}: {name} has {images.dtype} images and {labels.dtype} labels;"
                    " expected torch.uint8 and torch.int64."
                )
        if not len(self.mean) == len(self.std) == C or len(self.class_names) != K:
            raise DataUnavailable(
                f"{self.name}: {len(self.mean)} means, {len(self.std)} deviations and"
                f" {len(self.class_names)} class names for {self.io.describe()}."
            )

    def record(self) -> dict[str, Any]:
        """The data's description for files that depend on it, as plain JSON values.

        Changes when a pixel, a label or their order changes, and with every setting of the data set;
        not with the device.
        """
        record = {
            "name": self.name,
            "io": asdict(self.io),
            "splits": {name: {"n": len(s), "sha256": s.sha256()} for name, s in self.splits.items()},
            "mean": list(self.mean),
            "std": list(self.std),
            "padding": self.padding,
            "flip": self.flip,
            "class_names": list(self.class_names),
            "notes": list(self.notes),
        }
        return record if self.labelled else {**record, "labelled": False}

    def to(self, device: torch.device | str) -> ImageData:
        """The same data set on `device`."""
        return replace(self, splits={name: split.to(device) for name, split in self.splits.items()})

    def without_labels(self) -> ImageData:
        """The same images, as if no labels were known: all are -1."""
        splits = {name: Split(s.images, torch.full_like(s.labels, -1)) for name, s in self.splits.items()}
        return replace(self, splits=splits, labelled=False)

    def batch(self, split: str, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return normalised images and their labels.

        Args:
            split: "train", "val" or "test".
            index: (B,) int64 on any device, or a slice.
        Returns:
            (B, C, S, S) float32 and (B,) int64, on the data's device.
        Raises:
            ConfigError: no such split.
        """
        images, labels = self._raw(split, index)
        return self._normalised(images), labels

    def augmented(self, split: str, index: Tensor | slice, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a `batch` with each image shifted by up to `padding` pixels and, with `flip`, mirrored at random.

        Args:
            split, index: as in `batch`.
            generator: the only source of randomness. A CPU generator draws the same augmentation
                whatever the data's device.
        Returns:
            (B, C, S, S) float32 and (B,) int64, on the data's device. Pixels shifted in are black (0)
            before normalisation, as torchvision's RandomCrop on the picture makes them.
        Raises:
            ConfigError: no such split.
        """
        images, labels = self._raw(split, index)
        return self._normalised(self._moved(images, self.moves(len(images), generator))), labels

    def moved(self, split: str, index: Tensor, moves: Moves) -> tuple[Tensor, Tensor]:
        """Return a `batch` with each image shifted and mirrored as `moves` say.

        Raises:
            ConfigError: no such split.
        """
        images, labels = self._raw(split, index)
        return self._normalised(self._moved(images, moves)), labels

    def augmented_each(
        self, split: str, index: Tensor, *, generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Return `augmented` images for several networks, each with its own indices and generator.

        Each network gets the same images as by `augmented`.

        Args:
            index: (B, N) int64 on any device.
            generators: one for each network, drawn from as `augmented` does.
        Returns:
            (B, N, C, S, S) float32 and (B, N) int64.
        """
        B, N = index.shape
        images, labels = self._raw(split, index.flatten())
        moved = self._normalised(self._moved(images, joined([self.moves(N, generator) for generator in generators])))
        return moved.unflatten(0, (B, N)), labels.view(B, N)

    def _moved(self, images: Tensor, moves: Moves) -> Tensor:
        device = images.device
        if self.padding:
            images = _windows(F.pad(images, [self.padding] * 4), self.io.size, *sent(moves.shift, device))
        if self.flip:
            mirrored = sent(moves.mirrored.nonzero()[:, 0], device)  # found where they were drawn: nothing waits
            images[mirrored] = images[mirrored].flip(3)
        return images

    def moves(self, count: int, generator: torch.Generator | None) -> Moves:
        """Draw how to shift and mirror `count` images; without a generator, they are left as they are."""
        source = "cpu" if generator is None else generator.device
        mirrored = torch.zeros(count, dtype=torch.bool, device=source)
        shift = torch.full((2, count), self.padding, device=source)
        if generator is None:
            return Moves(mirrored, shift)
        if self.flip:
            mirrored = torch.randint(2, (count, 1), generator=generator, device=source)[:, 0].bool()
        if self.padding:
            shift = torch.randint(2 * self.padding + 1, (2, count, 1), generator=generator, device=source)[..., 0]
        return Moves(mirrored, shift)

    def draw(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `count` images of a split with replacement, augmented."""
        index = torch.randint(len(self.splits[split]), (count,), generator=generator)
        return self.augmented(split, index, generator=generator)

    def sample(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `count` different images of a split, or all if it has fewer."""
        return self.batch(split, torch.randperm(len(self.splits[split]), generator=generator)[:count])

    def _raw(self, split: str, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        if split not in self.splits:
            raise ConfigError(f"{self.name} has no split {split!r}.", f"It has {', '.join(self.splits)}.")
        chosen = self.splits[split]
        if isinstance(index, Tensor):
            index = sent(index, chosen.images.device)
        return chosen.images[index], chosen.labels[index]

    @cached_property
    def _mean_and_std(self) -> tuple[Tensor, Tensor]:
        """(C, S, S) each, as batches lie in memory: with a value for each channel alone it takes far longer."""
        shape, device = self.io.input_shape, self.splits["train"].images.device
        images = [
            torch.tensor(values, dtype=torch.float32, device=device)[:, None, None].expand(1, *shape)
            for values in (self.mean, self.std)
        ]
        mean, std = (image.contiguous(memory_format=torch.channels_last)[0] for image in images)
        return mean, std

    def _normalised(self, images: Tensor) -> Tensor:
        mean, std = self._mean_and_std
        # Convolutions are up to half as fast again where the channels of a pixel lie side by side.
        pictures = images.to(torch.float32, memory_format=torch.channels_last)
        return pictures.div_(255).sub_(mean).div_(std)


def joined(moves: Sequence[Moves]) -> Moves:
    """Concatenate the moves of several batches."""
    return Moves(torch.cat([each.mirrored for each in moves]), torch.cat([each.shift for each in moves], dim=1))


def _windows(images: Tensor, size: int, rows: Tensor, cols: Tensor) -> Tensor:
    """Cut a square out of each image, from its own row and column on: (B, C, W, W) to (B, C, size, size)."""
    windows = images.unfold(2, size, 1).unfold(3, size, 1)
    return windows[torch.arange(len(images), device=images.device), :, rows, cols]


def images_or_none(data: object) -> ImageData | None:
    """The data if they are images; None for a table or points."""
    return data if isinstance(data, ImageData) else None
