"""Readers of image data sets in common layouts; splits are kept as they are, and checked.

`datasets.py` chooses between them and settles what all data sets need.
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from netspace_models.errors import DataUnavailable, InputFileError
from netspace_models.wording import Call, setting
from torch import Tensor

from netspace_cli.core.files.inputs import describe_bytes, open_input
from netspace_cli.core.files.numpy_file import ArrayFileError, read_npz
from netspace_cli.core.files.numpy_file import npz_names as names_in
from netspace_cli.core.files.picture_file import PictureError, read_picture_file

from .images import SPLITS, Split

if TYPE_CHECKING:
    from PIL import Image

CIFAR10_TRAIN = 40_000  # of the 50,000 in file order; the rest is val
# Written out, since asking torchvision for them takes two seconds.
_CIFAR10_FOLDER = "cifar-10-batches-py"
_CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR10_FILES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta")


@dataclass(frozen=True, eq=False)
class ReadImages:
    """The result of a loader.

    Attributes:
        splits: val may be missing.
        published: whether it is a data set that has its own constants.
        val_of_train: whether val was taken from the training images here.
    """

    name: str
    path: Path
    splits: dict[str, Split]
    class_names: tuple[str, ...] | None = None
    published: bool = False
    notes: tuple[str, ...] = ()
    val_of_train: bool = False


def load_cifar10(path: Path) -> ReadImages:
    """Read CIFAR-10 as torchvision unpacks it, in file order; nothing is downloaded.

    Args:
        path: the folder that holds cifar-10-batches-py, or that folder itself.
    Raises:
        DataUnavailable: a file is missing; the message says where to get it.
        InputFileError: a file differs from the published one. It was not opened, since it is a pickle.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    missing = missing_of_cifar10(path)
    root = _cifar10_root(path)
    get = f"Download {CIFAR10.url} and unpack it in {root}; netspace downloads nothing by itself."
    if path.is_file():
        raise DataUnavailable(f"CIFAR-10 was not found: {path} is a file.", "Unpack it, and name the folder it is in.")
    if missing:
        raise DataUnavailable(f"CIFAR-10 was not found: {missing[0]} is missing.", get)
    try:
        # The batches are pickles: torchvision opens them only after comparing the MD5 of all of them.
        with warnings.catch_warnings():
            # The pickles are of 2009 and spell a dtype in a way that NumPy 2.4.0 to 2.4.4 warns of.
            warnings.filterwarnings("ignore", r"dtype\(\): align", np.exceptions.VisibleDeprecationWarning)
            found = {part: CIFAR10(root, train=part == "train") for part in ("train", "test")}
    except RuntimeError as failure:
        sums = [*CIFAR10.train_list, *CIFAR10.test_list, [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]]
        files = [(root / _CIFAR10_FOLDER / name, md5) for name, md5 in sums]
        bad = [file for file, md5 in files if not check_integrity(file, md5)]
        reason = "this is not CIFAR-10 as published (its MD5 differs), so it was not opened."
        raise InputFileError(bad[0] if bad else root, reason, get) from failure
    images = {part: _channels_first(source.data) for part, source in found.items()}
    labels = {part: torch.tensor(source.targets) for part, source in found.items()}
    splits = {
        "train": Split(images["train"][:CIFAR10_TRAIN], labels["train"][:CIFAR10_TRAIN]),
        "val": Split(images["train"][CIFAR10_TRAIN:], labels["train"][CIFAR10_TRAIN:]),
        "test": Split(images["test"], labels["test"]),
    }
    return ReadImages("cifar10", root, splits, tuple(found["train"].classes), published=True, val_of_train=True)


def load_cifar10_npz(path: Path) -> ReadImages:
    """Read CIFAR-10 from one .npz file in MedMNIST's layout, with the constants of published networks.

    Raises:
        DataUnavailable: no such file.
        InputFileError: no such layout, or not three channels of 32 x 32 pixels in 10 classes.
    """
    found = load_npz(path)
    shape = tuple(found.splits["train"].images.shape[1:])
    classes = int(max(split.labels.max() for split in found.splits.values())) + 1
    if shape != (3, 32, 32) or classes != len(_CIFAR10_CLASSES):
        reason = f"its images are {shape} in {classes} classes; CIFAR-10's are (3, 32, 32) in 10."
        own = setting("data", Call("load_data", path.name))
        raise InputFileError(path, reason, f"For other data write {own} without cifar10:.")
    return replace(found, name="cifar10", class_names=_CIFAR10_CLASSES, published=True)


def missing_of_cifar10(path: Path) -> list[Path]:
    """Files of CIFAR-10 that are missing at `path` (as in `load_cifar10`)."""
    folder = _cifar10_root(path) / _CIFAR10_FOLDER
    return [folder / name for name in _CIFAR10_FILES if not os.path.isfile(folder / name)]


def _cifar10_root(path: Path) -> Path:
    """The folder around cifar-10-batches-py; users may name either."""
    return path.parent if path.name == _CIFAR10_FOLDER else path


def load_tiny_imagenet(path: Path, size: int) -> ReadImages:
    """Read Tiny-ImageNet as its archive unpacks: train, and the official val as test.

    Args:
        path: the folder with train and val in it.
        size: pixels that pictures are brought to; they have 64.
    Raises:
        DataUnavailable: no such folder; the message says where to get it.
        InputFileError: a picture or the list of val's classes is missing or broken.
    """
    annotations = path / "val" / "val_annotations.txt"
    if not os.path.isdir(path / "train") or not os.path.isfile(annotations):
        raise DataUnavailable(
            f"Tiny-ImageNet was not found: {path} lacks train or val/val_annotations.txt.",
            "Download http://cs231n.stanford.edu/tiny-imagenet-200.zip, unpack it and name the folder.",
        )
    classes = tuple(sorted(entry.name for entry in os.scandir(path / "train") if entry.is_dir()))
    number = {wnid: k for k, wnid in enumerate(classes)}
    train: list[tuple[Path, int]] = []
    for wnid in classes:
        pictures = sorted((path / "train" / wnid / "images").glob("*.JPEG"))
        if not pictures:
            empty = path / "train" / wnid / "images"
            raise InputFileError(empty, "it holds no *.JPEG.", "Unpack the archive again.")
        train += [(picture, number[wnid]) for picture in pictures]
    splits = {
        "train": _read_pictures(train, size),
        "test": _read_pictures(_annotated(annotations, number), size),
    }
    note = "test is the official val, since the official test has no labels"
    return ReadImages("tiny-imagenet", path, splits, classes, published=True, notes=(note,))


def _annotated(annotations: Path, number: dict[str, int]) -> list[tuple[Path, int]]:
    """The pictures in val_annotations.txt: name, class and more, separated by tabs."""
    pictures = []
    with open_input(annotations) as file:
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    for at, line in enumerate(lines, start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        # A name is the name of a file here, not a way out of the folder.
        if wnid not in number or name != os.path.basename(name):
            reason = f"line {at} should hold a file name and one of the {len(number)} classes: {line[:60]!r}."
            raise InputFileError(annotations, reason, "Unpack the archive again.")
        pictures.append((annotations.parent / "images" / name, number[wnid]))
    return pictures


def load_folder(path: Path, size: int | None) -> ReadImages:
    """Read pictures in path/{train,val,test}/<class>/<picture>; val may be absent. Always three channels.

    Args:
        size: pixels that pictures are stretched to; None for the size of the first one, which then
            must be square.
    Raises:
        DataUnavailable: train or test is absent.
        InputFileError: a picture that is broken, transparent in places or of more than 8 bits a channel, a class
            without pictures, or splits whose classes differ.
    """
    from torchvision.datasets import ImageFolder

    for part in ("train", "test"):
        if not os.path.isdir(path / part):
            raise DataUnavailable(
                f"{path} has no folder {part}.",
                "Pictures go to train/<class>/ and test/<class>/, where you have them also val/<class>/.",
            )
    trees = {}
    for part in SPLITS:
        if os.path.isdir(path / part):
            try:
                trees[part] = ImageFolder(path / part)
            except FileNotFoundError as failure:
                reason = str(failure).splitlines()[0]
                raise InputFileError(path / part, reason, "Put pictures in a folder per class.") from failure
    classes = trees["train"].classes
    for part, tree in trees.items():
        odd = sorted(set(tree.classes) ^ set(classes))
        if odd:
            reason = f"it has {len(tree.classes)} classes and train {len(classes)}; only one has {odd[0]!r}."
            raise InputFileError(path / part, reason, "Give all splits the same folders.")
    size = size or _size_of(Path(trees["train"].samples[0][0]))
    splits = {
        part: _read_pictures([(Path(file), label) for file, label in tree.samples], size)
        for part, tree in trees.items()
    }
    note = f"pictures were brought to {size} x {size} pixels"
    return ReadImages(f"folder:{path.resolve().name}", path, splits, tuple(classes), notes=(note,))


def _size_of(picture: Path) -> int:
    height, width = _read_picture(picture, None).shape[:2]
    if height != width:
        raise InputFileError(
            picture,
            f"this first picture, which sets the size, is {width} pixels wide and {height} high.",
            "netspace needs square pictures: crop it, or give the size that all pictures are resized to.",
        )
    return height


def _read_pictures(pictures: list[tuple[Path, int]], size: int) -> Split:
    images = torch.empty((len(pictures), 3, size, size), dtype=torch.uint8)
    # Threads, since Pillow decodes outside the interpreter's lock.
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda picture: _read_picture(picture[0], size), pictures)
        for image, pixels in zip(images.numpy(), decoded, strict=True):
            image[:] = pixels.transpose(2, 0, 1)
    return Split(images, torch.tensor([label for _, label in pictures], dtype=torch.int64))


def _read_picture(path: Path, size: int | None) -> np.ndarray:
    """Read a picture as (S, S, 3) uint8, resized to `size`; (H, W, 3) without `size`."""
    from PIL import Image

    try:
        lost, colours = read_picture_file(path, lambda picture: (_lost_in_colours(picture), picture.convert("RGB")))
    except PictureError as failure:
        what = describe_bytes(path)
        reason = f"this picture cannot be decoded{f'; the file is {what}' if what else ''} ({failure})."
        raise InputFileError(path, reason, "Replace it, or take it out of the data set.") from failure
    if lost:
        raise InputFileError(path, *lost)
    if size and colours.size != (size, size):
        colours = colours.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(colours)


def _lost_in_colours(picture: Image.Image) -> tuple[str, str] | None:
    """What a picture has that three channels of 8 bits do not hold, and what to do; None for what they hold."""
    if picture.mode.startswith(("I", "F")):
        return (
            f"this picture has more than 8 bits a channel (mode {picture.mode}).",
            "Bring its values to 0-255 first, as the networks were given them.",
        )
    if not picture.has_transparency_data:
        return None
    lowest, _ = picture.convert("RGBA").getchannel("A").getextrema()
    if lowest == 255:
        return None
    return (
        f"this picture is transparent in places (mode {picture.mode}): what is behind is not known.",
        "Lay it on the background that the networks were given.",
    )


def load_npz(path: Path, *, labelled: bool = True) -> ReadImages:
    """Read a file in MedMNIST's layout: {train,val,test}_{images,labels}; val may be absent.

    Images are (N, S, S) or (N, S, S, C) uint8, labels (N,) or (N, 1) integers, or one-hot (N, K).

    Args:
        labelled: whether it has labels; else test may be absent too, and all labels are -1.
    Raises:
        DataUnavailable: no such file.
        InputFileError: arrays are missing, broken, pickled or of another shape or type than these.
    """
    arrays = _read_npz(path, _names("images", "labels") if labelled else _names("images"))
    splits: dict[str, Split] = {}
    for part in SPLITS:
        if f"{part}_images" not in arrays:
            continue
        images = _npz_images(path, f"{part}_images", arrays.pop(f"{part}_images"))
        if labelled:
            labels = _npz_labels(path, f"{part}_labels", arrays.pop(f"{part}_labels"))
        else:
            labels = torch.full((len(images),), -1)
        if len(images) != len(labels):
            reason = f"{part}_images holds {len(images)} images and {part}_labels {len(labels)} labels."
            raise InputFileError(path, reason, "Give each image one label.")
        splits[part] = Split(images, labels)
        shape, first = tuple(images.shape[1:]), tuple(splits["train"].images.shape[1:])
        if shape != first:
            reason = f"{part}_images are {shape} and train_images {first} (channels, height, width)."
            raise InputFileError(path, reason, "Bring all splits to one shape.")
    return ReadImages(f"npz:{path.name}", path, splits)


def npz_has_labels(path: Path) -> bool:
    """Whether an archive has any labels, or no training images; False means images alone. True for what cannot
    be read: reading it says why."""
    held = npz_names(path)
    return held is None or "train_images" not in held or not held.isdisjoint(_names("labels"))


def npz_names(path: Path) -> set[str] | None:
    """Names of the arrays in an archive; None if it cannot be read."""
    try:
        return set(names_in(path))
    except (ArrayFileError, InputFileError):
        return None


def _names(*what: str) -> list[str]:
    return [f"{part}_{each}" for part in SPLITS for each in what]


def _read_npz(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    """Read the wanted arrays of MedMNIST's layout by name: train and test, and val if there is any. A file of images
    alone may lack test as well."""
    optional = {"val_images", "val_labels"} | (set() if _names("labels")[0] in wanted else {"test_images"})
    return read_arrays(path, wanted, optional, "netspace reads MedMNIST's layout: " + ", ".join(wanted) + ".")


def read_arrays(path: Path, wanted: list[str], optional: set[str], hint: str) -> dict[str, np.ndarray]:
    """Read arrays of a .npz file by name.

    Args:
        optional: names that may be absent; those that begin with val_ only together.
    Raises:
        DataUnavailable: no such file.
        InputFileError: not such a file, or an array is missing.
    """
    if not os.path.exists(path):
        raise DataUnavailable(f"{path} does not exist.", "Check the path; netspace downloads nothing by itself.")
    try:
        held = set(names_in(path))
        arrays = read_npz(path, wanted)
    except ArrayFileError as failure:
        what = describe_bytes(path)
        reason = f"this is not a readable .npz file{f' but {what}' if what else ''} ({failure})."
        raise InputFileError(path, reason, hint) from failure
    paired = {name for name in optional if name.startswith("val_")}
    missing = [name for name in wanted if name not in held | (optional - paired if paired & held else optional)]
    if missing:
        raise InputFileError(path, f"{', '.join(missing)} missing; it holds {sorted(held)}.", hint)
    return arrays


def _npz_images(path: Path, name: str, array: np.ndarray) -> Tensor:
    """Read images (N, C, S, S) uint8."""
    if array.dtype != np.uint8:
        raise InputFileError(path, f"{name} is {array.dtype}, not uint8.", "Save pixels as integers 0-255.")
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] > 4):
        reason = f"{name} has the shape {array.shape}; expected (N, H, W) or (N, H, W, C) with C up to 4."
        raise InputFileError(path, reason, "netspace reads pictures, not volumes or channels-first arrays.")
    height, width = array.shape[1:3]
    if height != width:
        reason = f"{name} are {width} pixels wide and {height} high."
        raise InputFileError(path, reason, "netspace needs square images: crop or pad them.")
    if 0 in array.shape:
        raise InputFileError(path, f"{name} has the shape {array.shape}: no pixels.", "Leave no split empty.")
    return _channels_first(array if array.ndim == 4 else array[..., None])


def _npz_labels(path: Path, name: str, array: np.ndarray) -> Tensor:
    """Read labels (N,) int64; from one-hot rows (N, K) too."""
    if _is_one_hot(array):
        return torch.from_numpy(array.argmax(1).astype(np.int64))
    if array.dtype.kind not in "iu":
        raise InputFileError(path, f"{name} is {array.dtype}, not integers.", "Number the classes from 0.")
    if array.ndim == 2 and array.shape[1] > 1:
        reason = f"{name} has {array.shape[1]} labels for each image, and netspace needs exactly one."
        raise InputFileError(path, reason, "Choose one of its columns.")
    if array.ndim not in (1, 2):
        reason = f"{name} has the shape {array.shape}; expected (N,) or (N, 1)."
        raise InputFileError(path, reason, "Give each image one label.")
    return torch.from_numpy(array.reshape(-1).astype(np.int64))


def _is_one_hot(array: np.ndarray) -> bool:
    """Whether labels are rows (N, K) of zeros with a single one."""
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "biuf":
        return False
    ones = array == 1
    return bool((ones | (array == 0)).all() and (ones.sum(1) == 1).all())


def _channels_first(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
