"""The data sets that `--data` can name, read into one form.

`image_files.py` reads them. Added here is what all data sets need: validation images if the source has none, the size,
the number of classes, normalisation and augmentation.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from netspace_models.architectures import ImageIO
from netspace_models.errors import ConfigError, InputFileError
from netspace_models.wording import Call, setting
from torch import Tensor

from .data import LabelledData
from .image_files import (
    ReadImages,
    load_cifar10,
    load_cifar10_npz,
    load_folder,
    load_npz,
    load_tiny_imagenet,
    missing_of_cifar10,
    npz_has_labels,
)
from .images import SPLITS, ImageData, Split
from .parts import split_spec, take_part
from .tables import holds_table, load_table

Scale = tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation, a number per channel

DATA_FOLDER_VARIABLE = "NETSPACE_DATA_DIR"
UNDERSTOOD = ("digits", "cifar10[:DIR|:FILE.npz]", "tiny-imagenet[:DIR]", "folder:DIR", "FILE.npz")
# ImageNet's mean and deviation, which published networks for CIFAR-10 and Tiny-ImageNet expect.
PUBLISHED_SCALE: Scale = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

_WORDS = ("digits", "cifar10", "tiny-imagenet", "folder", "npz")
_RESIZED_AT_ONCE = 4096  # images: resizing works in floats, four times the bytes and more


def load_data(spec: str, *, size: int | None = None) -> LabelledData:
    """Read images as `load_images`, or a table from a "FILE.npz" as `load_table`.

    Raises:
        ConfigError, DataUnavailable, InputFileError: as they do, and a table with a `size`, or a part of it.
    """
    whole, part = split_spec(spec)
    word, path = _parsed(whole)
    if word != "npz" or path is None or not holds_table(path):
        return load_images(spec, size=size)
    if part is not None:
        raise ConfigError(f"{path} is a table; {part} is a part of images.", f"Give all of it: {whole}.")
    if size is not None:
        raise ConfigError(f"{path} is a table, and has no images of {size} pixels.", f"Leave out {setting('size')}.")
    return load_table(path)


def load_images(spec: str, *, size: int | None = None, classes: int | None = None) -> ImageData:
    """Read a data set of images into memory on the CPU.

    Args:
        spec: "digits" (built in), "cifar10[:DIR]" and "tiny-imagenet[:DIR]" (DIR: as unpacked; without it in
            $NETSPACE_DATA_DIR or ./data), "cifar10:FILE.npz", "folder:DIR"
            (DIR/{train,val,test}/<class>/<picture>), or "FILE.npz" in MedMNIST's layout. Without val, the
            last fifth of a fixed permutation of train becomes val. The `name` of a loaded data set is
            understood too, as seen from the folder that holds it. Behind any of these "@2/5" takes the second fifth
            of a fixed permutation of the training images, "@without:3,4" those of other classes than these; the rest
            stays as it is, normalisation too.
        size: S in pixels that images are brought to; None keeps their own (16 for digits; that of the
            first picture for a folder).
        classes: K of images without labels, which are then taken as well: a FILE.npz with images alone, of which test
            may be absent too (the last tenth of a fixed permutation of train becomes test before val is taken).
    Returns:
        The data set, its splits always the same for the same files.
    Raises:
        ConfigError: a spec that is not understood, or `size` below 1.
        DataUnavailable: the files are not there; the message says how to get them.
        InputFileError: a file that is broken, was tampered with, or holds no square images with one label
            each, counted from 0; the message names file, array or picture.
    """
    spec, part = split_spec(spec)
    if part is not None:
        return take_part(load_images(spec, size=size, classes=classes), part)
    word, path = _parsed(spec)
    if size is not None and size < 1:
        raise ConfigError(f"Images cannot be {size} pixels wide.", "Give a size of 1 or more.")
    if word == "digits" or path is None:
        return _load_digits(size or 16)
    if word == "cifar10":
        return _finished(load_cifar10_npz(path) if _is_npz(path) else load_cifar10(path), size)
    if word == "tiny-imagenet":
        return _finished(load_tiny_imagenet(path, size or 64), size)
    if word == "folder":
        return _finished(load_folder(path, size), size)
    if classes is not None and not npz_has_labels(path):
        return _finished(load_npz(path, labelled=False), size, classes)
    return _finished(load_npz(path), size)


def has_labels(spec: str) -> bool:
    """Whether a spec names images with labels: all that it can name but a .npz file of images alone. Looks at the names
    in the file only.

    Raises:
        ConfigError: a spec that is not understood.
    """
    word, path = _parsed(split_spec(spec)[0])
    return word != "npz" or path is None or npz_has_labels(path)


def data_available(spec: str) -> bool:
    """Whether `load_data(spec)` would find its files. Checks that they exist without reading them.

    Returns:
        False also for a spec that is not understood.
    """
    try:
        word, path = _parsed(split_spec(spec)[0])
    except ConfigError:
        return False
    if path is None:
        return True
    if word == "cifar10":
        return os.path.isfile(path) if _is_npz(path) else not missing_of_cifar10(path)
    if word == "tiny-imagenet":
        return os.path.isdir(path / "train") and os.path.isfile(path / "val" / "val_annotations.txt")
    if word == "folder":
        return os.path.isdir(path / "train") and os.path.isdir(path / "test")
    return os.path.isfile(path)


def digits_index() -> dict[str, np.ndarray]:
    """Which of scikit-learn's 1,797 digits belong to train (1,097), val (300) and test (400)."""
    order = np.random.RandomState(0).permutation(1797)
    return {"train": order[:1097], "val": order[1097:1397], "test": order[1397:]}


def _parsed(spec: str) -> tuple[str, Path | None]:
    """The word of a spec and its path, None for built-in data."""
    text = spec.strip()
    word, colon, rest = text.partition(":")
    if word not in _WORDS:
        if text.lower().endswith(".npz"):
            return "npz", Path(text).expanduser()
        raise _unknown(text)
    if word == "digits":
        if colon:
            raise ConfigError(
                f"digits is built in and takes no {rest!r}.", f"Write {setting('data', Call('load_data', 'digits'))}."
            )
        return word, None
    if rest:
        return word, Path(rest).expanduser()
    if colon or word in ("folder", "npz"):
        thing = "file" if word == "npz" else "directory"
        raise ConfigError(f"{text!r} does not name a {thing}.", f"Known: {', '.join(UNDERSTOOD)}.")
    data_folder = Path(os.environ.get(DATA_FOLDER_VARIABLE) or "data").expanduser()
    return word, data_folder / "tiny-imagenet-200" if word == "tiny-imagenet" else data_folder


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _unknown(text: str) -> ConfigError:
    near = difflib.get_close_matches(text.partition(":")[0].lower(), _WORDS, n=1)
    hint = f"Known: {', '.join(UNDERSTOOD)}."
    if os.path.isdir(os.path.expanduser(text)):
        hint += f" For the pictures in a directory, write folder:{text}."
    elif near:
        hint += f" Did you mean {near[0]}?"
    return ConfigError(f"unknown data set {text!r}.", hint)


def _load_digits(size: int) -> ImageData:
    # Imported late, here and below: work on other data should not wait a second for scikit-learn.
    from sklearn.datasets import load_digits

    source = load_digits()
    # Interpolated as the integers 0-16 they are, which floats hold exactly: the same bytes everywhere.
    raw = torch.from_numpy(source.images).float()[:, None]  # (1797, 1, 8, 8)
    grown = F.interpolate(raw, size=(size, size), mode="bilinear", antialias=size < 8)
    images = (grown * (255 / 16)).round().clamp(0, 255).to(torch.uint8)
    labels = torch.from_numpy(source.target).to(torch.int64)
    splits = {name: Split(images[i], labels[i]) for name, i in digits_index().items()}
    mean, std = mean_and_std(splits["train"].images)
    names = tuple(str(k) for k in range(10))
    # Half the share that other data get: a digit fills its frame.
    return ImageData("digits", ImageIO(1, size, 10), splits, mean, std, size // 16, False, names)


def _finished(found: ReadImages, size: int | None, unlabelled: int | None = None) -> ImageData:
    """Args: unlabelled: K where the labels are not known."""
    classes = _class_count(found) if unlabelled is None else unlabelled
    splits, notes = dict(found.splits), list(found.notes)
    for part, share in (("test", 10), ("val", 5)):
        if part not in splits:
            notes.append(_held_out(splits, part, share, found.path))
    channels, own = splits["train"].images.shape[1:3]
    size = size or own
    if size != own:
        splits = {part: Split(_resized(s.images, size), s.labels) for part, s in splits.items()}
        notes.append(f"images were resized from {own} to {size} pixels")
    mean, std = PUBLISHED_SCALE if found.published else mean_and_std(splits["train"].images)
    return ImageData(
        name=found.name,
        io=ImageIO(channels, size, classes),
        splits={part: splits[part].pixel_by_pixel() for part in SPLITS if part in splits},
        mean=mean,
        std=std,
        padding=size // 8,
        flip=found.published,
        class_names=found.class_names or tuple(str(k) for k in range(classes)),
        notes=tuple(notes),
        labelled=unlabelled is None,
        val_of_train=found.val_of_train or "val" not in found.splits,
    )


def _held_out(splits: dict[str, Split], part: str, share: int, path: Path) -> str:
    """Take one of `share` images from train as another part; returns a note on it."""
    train, n = splits["train"], len(splits["train"])
    if n < share:
        reason = f"it has {n} training images and no split {part}, which takes one in {share} of them."
        raise InputFileError(path, reason, f"Give the split {part}, or {share} training images or more.")
    order = torch.from_numpy(np.random.RandomState(0).permutation(n))
    kept, taken = order[: n - n // share], order[n - n // share :]
    splits["train"] = Split(train.images[kept], train.labels[kept])
    splits[part] = Split(train.images[taken], train.labels[taken])
    return f"{part} is the last {n // share} of a fixed permutation of the {n} training images"


def _class_count(found: ReadImages) -> int:
    """Number of classes K; all splits' labels together must be 0..K-1."""
    held = torch.cat([split.labels for split in found.splits.values()]).unique()
    K = len(held)
    if not torch.equal(held, torch.arange(K)):
        lowest, highest = int(held[0]), int(held[-1])
        reason = f"its labels are {K} different numbers from {lowest} to {highest}, not 0 to {K - 1}."
        hint = "Number the classes from 0, without gaps; if these are a part of the images, give some of every class."
        raise InputFileError(found.path, reason, hint)
    if K < 2:
        raise InputFileError(found.path, f"it has {K} class.", "At least 2 classes are needed.")
    return K


def _resized(images: Tensor, size: int) -> Tensor:
    from torchvision.transforms.v2.functional import resize

    chunks = images.split(_RESIZED_AT_ONCE)
    return torch.cat([resize(chunk, [size, size], antialias=True) for chunk in chunks])


def mean_and_std(images: Tensor) -> Scale:
    """Mean and standard deviation per channel of (N, C, S, S) uint8, in units of pixel value / 255."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.reshape(-1), minlength=256).double() / channel.numel()
        mean = float(share @ values)
        means.append(round(mean, 6))
        # A channel of one value has nothing to scale, and dividing by 0 would make it NaN.
        stds.append(round(float(share @ (values - mean) ** 2) ** 0.5, 6) or 1.0)
    return tuple(means), tuple(stds)
