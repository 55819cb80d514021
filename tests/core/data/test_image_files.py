import copyreg
import hashlib
import json
import pickle
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netspace_models.architectures import ImageIO
from netspace_models.errors import DataUnavailable, InputFileError
from PIL import Image
from torchvision.datasets import CIFAR10

from netspace_cli.core.data import image_files as data_sources
from netspace_cli.core.data.datasets import data_available, load_images

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def arrays(*, n: int = 10, size: int = 8, channels: int = 0, classes: int = 3) -> dict[str, np.ndarray]:
    random = np.random.RandomState(1)
    shape = (n, size, size, channels) if channels else (n, size, size)
    made = {}
    for part in ("train", "val", "test"):
        made[f"{part}_images"] = random.randint(0, 256, shape).astype(np.uint8)
        made[f"{part}_labels"] = np.arange(n).astype(np.uint8) % classes
    return made


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., str]:
    def save(**changes: np.ndarray | None) -> str:
        held: dict[str, Any] = {**arrays(), **changes}
        np.savez(tmp_path / "own.npz", **{name: array for name, array in held.items() if array is not None})
        return str(tmp_path / "own.npz")

    return save


class TestCifar10InOneFile:
    def test_it_is_cifar10_with_the_constants_networks_expect(self, npz: Callable[..., str]) -> None:
        source = arrays(channels=3, size=32, classes=10)
        found = load_images(f"cifar10:{npz(**source)}")
        assert (found.name, found.io) == ("cifar10", ImageIO(3, 32, 10))
        assert (found.mean, found.std) == IMAGENET
        assert (found.padding, found.flip, found.class_names[3]) == (4, True, "cat")
        assert np.array_equal(found.splits["test"].labels.numpy(), source["test_labels"])
        assert data_available(f"cifar10:{npz(**source)}") and not data_available("cifar10:absent.npz")

    def test_other_images_are_refused_with_both_shapes(self, npz: Callable[..., str]) -> None:
        with pytest.raises(
            InputFileError, match=r"\(1, 8, 8\) in 3 classes; CIFAR-10's are \(3, 32, 32\) in 10"
        ) as told:
            load_images(f"cifar10:{npz()}")
        assert '`data=load_data("own.npz")`' in told.value.hint


class TestNpz:
    def test_grey_images(self, npz: Callable[..., str]) -> None:
        data, source = load_images(npz()), arrays()
        assert data_available(npz())
        assert (data.name, data.io) == ("npz:own.npz", ImageIO(1, 8, 3))
        assert np.array_equal(data.splits["val"].images[:, 0].numpy(), source["val_images"])
        assert np.array_equal(data.splits["test"].labels.numpy(), source["test_labels"])
        assert (data.padding, data.flip, data.notes) == (1, False, ())

    def test_colours_and_labels_in_a_column(self, npz: Callable[..., str]) -> None:
        source = arrays(channels=3)
        for part in ("train", "val", "test"):
            source[f"{part}_labels"] = source[f"{part}_labels"][:, None].astype(np.int64)
        data = load_images(npz(**source))
        assert data.io == ImageIO(3, 8, 3)
        assert torch.equal(data.splits["train"].images[4, 2], torch.from_numpy(source["train_images"][4, :, :, 2]))
        assert data.splits["train"].labels.shape == (10,)

    @pytest.mark.parametrize("kind", [np.uint8, np.float32, bool])
    def test_one_hot_labels(self, npz: Callable[..., str], kind: type) -> None:
        source = arrays()
        rows = {f"{part}_labels": np.eye(3)[source[f"{part}_labels"]].astype(kind) for part in ("train", "val", "test")}
        data = load_images(npz(**rows))
        assert data.io.classes == 3
        assert np.array_equal(data.splits["test"].labels.numpy(), source["test_labels"])

    def test_the_scale_is_that_of_train_alone(self, npz: Callable[..., str]) -> None:
        source = arrays(channels=3)
        data = load_images(npz(**source))
        pixels = source["train_images"].reshape(-1, 3) / 255
        assert data.mean == pytest.approx(pixels.mean(axis=0), abs=1e-6)
        assert data.std == pytest.approx(pixels.std(axis=0), abs=1e-6)

    def test_a_channel_of_one_value_stays_finite(self, npz: Callable[..., str]) -> None:
        data = load_images(npz(train_images=np.full((10, 8, 8), 7, np.uint8)))
        assert data.batch("train", slice(0, 2))[0].abs().max() < 1e-3

    def test_without_val_a_fixed_fifth_of_train_is_taken_and_recorded(self, npz: Callable[..., str]) -> None:
        unmarked = npz(val_images=None, val_labels=None)
        data, again = load_images(unmarked), load_images(unmarked)
        assert [len(s) for s in data.splits.values()] == [8, 2, 10]
        order = np.random.RandomState(0).permutation(10)
        assert np.array_equal(data.splits["val"].images[:, 0].numpy(), arrays()["train_images"][order[8:]])
        assert np.array_equal(data.splits["train"].labels.numpy(), arrays()["train_labels"][order[:8]])
        assert data.record() == again.record()
        assert data.record()["notes"] == ["val is the last 2 of a fixed permutation of the 10 training images"]
        assert (
            data.val_of_train and data.to("cpu").without_labels().val_of_train and not load_images(npz()).val_of_train
        )
        pixels = arrays()["train_images"][order[:8]] / 255
        assert data.mean == pytest.approx((pixels.mean(),), abs=1e-6)

    def test_a_size_resizes_every_split(self, npz: Callable[..., str]) -> None:
        flat = {f"{part}_images": np.full((10, 8, 8), 90, np.uint8) for part in ("train", "val", "test")}
        data = load_images(npz(**flat), size=20)
        assert data.io == ImageIO(1, 20, 3) and data.padding == 2
        assert all((split.images == 90).all() for split in data.splits.values())
        assert data.notes == ("images were resized from 8 to 20 pixels",)
        assert load_images(npz(), size=8).record() == load_images(npz()).record()

    def test_its_name_is_a_spec_in_its_own_folder(
        self, npz: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = load_images(npz())
        assert not data_available(data.name)
        monkeypatch.chdir(Path(npz()).parent)
        assert data_available(data.name)
        assert load_images(data.name).record() == data.record()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"test_images": None, "test_labels": None}, "test_images, test_labels missing; it holds"),
            ({"train_labels": None}, "train_labels missing"),
            ({"val_labels": None}, "val_labels missing"),
            ({"train_images": np.zeros((10, 8, 6), np.uint8)}, "train_images are 6 pixels wide and 8 high"),
            ({"val_images": np.zeros((10, 9, 9), np.uint8)}, r"val_images are \(1, 9, 9\).*\(1, 8, 8\)"),
            ({"test_images": np.zeros((10, 8, 8, 3), np.uint8)}, r"\(3, 8, 8\) and train_images \(1, 8, 8\)"),
            ({"train_images": np.zeros((10, 8, 8), np.float32)}, "train_images is float32, not uint8"),
            ({"train_images": np.zeros((10, 8, 8, 8), np.uint8)}, "not volumes"),
            ({"train_images": np.zeros((10, 64), np.uint8)}, r"the shape \(10, 64\)"),
            ({"test_images": np.zeros((0, 8, 8), np.uint8)}, "no pixels"),
            ({"train_images": np.zeros((9, 8, 8), np.uint8)}, "9 images and train_labels 10 labels"),
            ({"val_labels": np.zeros((10, 14), np.uint8)}, "val_labels has 14 labels for each image"),
            ({"val_labels": np.zeros((10, 1, 1), np.uint8)}, r"the shape \(10, 1, 1\)"),
            ({"test_labels": np.zeros(10)}, "test_labels is float64, not integers"),
            ({"train_labels": np.full(10, -1)}, "4 different numbers from -1 to 2, not 0 to 3"),
            ({"test_labels": np.full(10, 7)}, "4 different numbers from 0 to 7, not 0 to 3"),
            ({f"{p}_labels": np.zeros(10, int) for p in ("train", "val", "test")}, "it has 1 class"),
            (
                {"train_images": np.array([{}] * 10)},
                "'train_images': pickled objects, which could be programs and are never read",
            ),
        ],
    )
    def test_what_does_not_fit_is_refused_by_name(
        self, npz: Callable[..., str], changes: dict[str, np.ndarray], words: str
    ) -> None:
        with pytest.raises(InputFileError, match=words) as caught:
            load_images(npz(**changes))
        assert "own.npz: " in caught.value.message and caught.value.hint

    def test_a_class_seen_only_in_the_test_split_counts(self, npz: Callable[..., str]) -> None:
        assert load_images(npz(test_labels=np.full(10, 3))).io.classes == 4

    def test_pickled_arrays_run_no_code(self, npz: Callable[..., str], tmp_path: Path) -> None:
        canary = tmp_path / "canary"
        with pytest.raises(InputFileError):
            load_images(npz(train_images=np.array([Trap(canary)], dtype=object)))
        assert not canary.exists()

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "not a readable .npz file but empty"),
            (b"<!DOCTYPE html><html></html>", "HTML"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
            (b"PK\x03\x04nothing", "not a readable .npz file"),
        ],
    )
    def test_other_files_are_named(self, tmp_path: Path, content: bytes, words: str) -> None:
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InputFileError, match=words):
            load_images(str(tmp_path / "a.npz"))

    def test_a_single_array_a_cut_file_and_a_flipped_bit(self, npz: Callable[..., str], tmp_path: Path) -> None:
        whole = Path(npz()).read_bytes()
        array = BytesIO()
        np.save(array, np.zeros(3))
        flipped = bytearray(whole)
        flipped[300] ^= 1
        for content in (array.getvalue(), whole[: len(whole) // 2], bytes(flipped)):
            (tmp_path / "a.npz").write_bytes(content)
            with pytest.raises(InputFileError, match=r"not a readable \.npz"):
                load_images(str(tmp_path / "a.npz"))


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.canary,)


def dumped(content: object) -> bytes:
    """A pickle that spells dtypes as NumPy did in 2009, as CIFAR-10's own do."""
    file = BytesIO()
    pickler = pickle.Pickler(file, protocol=2)
    pickler.dispatch_table = copyreg.dispatch_table | {
        type(np.dtype(np.uint8)): lambda dtype: (np.dtype, (dtype.str[1:], 0, 1))
    }
    pickler.dump(content)
    return file.getvalue()


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CIFAR-10 with 4 images in each file, not 10,000, whose sums are taken for the published ones."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    random, sums = np.random.RandomState(2), {}
    contents = {
        name: {
            "data": random.randint(0, 256, (4, 3072)).astype(np.uint8),
            "labels": [(4 * at + k) % 10 for k in range(4)],
        }
        for at, name in enumerate(BATCHES)
    }
    for name, content in {**contents, "batches.meta": {"label_names": list("abcdefghij")}}.items():
        (folder / name).write_bytes(dumped(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in BATCHES[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    monkeypatch.setattr(data_sources, "CIFAR10_TRAIN", 16)
    return tmp_path


class TestCifar10:
    def test_file_order_published_scale_and_augmentation(self, cifar10: Path) -> None:
        data = load_images(f"cifar10:{cifar10}")
        assert data_available(f"cifar10:{cifar10}")
        assert data.val_of_train
        assert (data.name, data.io) == ("cifar10", ImageIO(3, 32, 10))
        assert [split.labels.tolist() for split in data.splits.values()] == [
            [k % 10 for k in range(16)],
            [6, 7, 8, 9],
            [0, 1, 2, 3],
        ]
        assert (data.mean, data.std) == IMAGENET
        assert (data.padding, data.flip, data.class_names) == (4, True, tuple("abcdefghij"))
        raw = np.random.RandomState(2).randint(0, 256, (4, 3072)).astype(np.uint8)
        assert np.array_equal(data.splits["train"].images[:4].numpy(), raw.reshape(4, 3, 32, 32))

    def test_the_real_data_set_is_cut_at_40000(self) -> None:
        assert data_sources.CIFAR10_TRAIN == 40_000

    def test_the_inner_folder_and_the_default_folder_do_as_well(
        self, cifar10: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NETSPACE_DATA_DIR", str(cifar10))
        record = load_images("cifar10").record()
        assert load_images(f"cifar10:{cifar10 / 'cifar-10-batches-py'}").record() == record

    @pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
    def test_a_tampered_pickle_is_named_and_never_opened(self, cifar10: Path, name: str) -> None:
        canary = cifar10 / "canary"
        trap = pickle.dumps(Trap(canary))
        (cifar10 / "cifar-10-batches-py" / name).write_bytes(trap)
        with pytest.raises(InputFileError, match=rf"{name}: .*MD5 differs.*not opened"):
            load_images(f"cifar10:{cifar10}")
        assert not canary.exists()

    def test_a_missing_file_is_named_with_the_way_to_get_it(self, cifar10: Path) -> None:
        (cifar10 / "cifar-10-batches-py" / "data_batch_4").unlink()
        assert not data_available(f"cifar10:{cifar10}")
        with pytest.raises(DataUnavailable, match=r"data_batch_4 is missing.*cifar-10-python\.tar\.gz"):
            load_images(f"cifar10:{cifar10}")

    def test_its_archive_is_to_be_unpacked(self, tmp_path: Path) -> None:
        (tmp_path / "cifar-10-python.tar.gz").touch()
        with pytest.raises(DataUnavailable, match=r"tar\.gz is a file\. Unpack it, and name the folder it is in\."):
            load_images(f"cifar10:{tmp_path / 'cifar-10-python.tar.gz'}")


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, n in (("train", 5), ("val", 1), ("test", 2)):
        for at, name in enumerate(("ant", "bee", "cat")):
            for k in range(n):
                paint(tmp_path / part / name / f"{k}.png", (40 * at, 10 * k, len(part)))
    return tmp_path


class TestFolder:
    def test_classes_by_name_and_pixels_as_they_are(self, folder: Path) -> None:
        data = load_images(f"folder:{folder}")
        assert data_available(f"folder:{folder}")
        assert (data.name, data.io) == (f"folder:{folder.name}", ImageIO(3, 8, 3))
        assert data.class_names == ("ant", "bee", "cat")
        assert [len(split) for split in data.splits.values()] == [15, 3, 6]
        assert data.splits["test"].labels.tolist() == [0, 0, 1, 1, 2, 2]
        assert data.splits["test"].images[3, :, 2, 7].tolist() == [40, 10, 4]
        assert (data.padding, data.flip) == (1, False)
        assert json.loads(json.dumps(data.record()))["class_names"] == ["ant", "bee", "cat"]

    def test_pictures_of_other_sizes_are_brought_to_the_first_ones(self, folder: Path) -> None:
        paint(folder / "test" / "bee" / "1.png", (1, 2, 3), size=(30, 20))
        data = load_images(f"folder:{folder}")
        assert data.io.size == 8 and data.splits["test"].images[3, :, 0, 0].tolist() == [1, 2, 3]
        assert data.notes == ("pictures were brought to 8 x 8 pixels",)

    def test_a_size(self, folder: Path) -> None:
        paint(folder / "train" / "ant" / "0.png", (1, 2, 3), size=(30, 20))
        assert load_images(f"folder:{folder}", size=5).io == ImageIO(3, 5, 3)
        with pytest.raises(InputFileError, match=r"0\.png: .*30 pixels wide and 20 high"):
            load_images(f"folder:{folder}")

    def test_grey_pictures_get_three_channels(self, folder: Path) -> None:
        Image.new("L", (8, 8), 77).save(folder / "val" / "cat" / "0.png")
        assert load_images(f"folder:{folder}").splits["val"].images[2, :, 0, 0].tolist() == [77, 77, 77]

    @pytest.mark.parametrize(
        ("picture", "words"),
        [
            (np.full((8, 8), 1000, np.uint16), r"more than 8 bits a channel \(mode I;16\)"),
            (np.full((8, 8), 0.5, np.float32), r"more than 8 bits a channel \(mode F\)"),
            (np.full((8, 8, 4), 200, np.uint8), r"transparent in places \(mode RGBA\)"),
            (np.full((8, 8, 2), 200, np.uint8), r"transparent in places \(mode LA\)"),
        ],
    )
    def test_pictures_whose_values_would_be_lost_are_refused(
        self, folder: Path, picture: np.ndarray, words: str
    ) -> None:
        Image.fromarray(picture).save(folder / "test" / "bee" / "0.tiff")
        with pytest.raises(InputFileError, match=rf"0\.tiff: this picture .*{words}"):
            load_images(f"folder:{folder}")

    def test_a_colour_that_is_transparent_is_refused(self, folder: Path) -> None:
        Image.new("P", (8, 8), 0).save(folder / "test" / "bee" / "0.png", transparency=0)
        with pytest.raises(InputFileError, match="transparent in places"):
            load_images(f"folder:{folder}")

    def test_what_is_opaque_everywhere_is_read(self, folder: Path) -> None:
        Image.new("RGBA", (8, 8), (10, 20, 30, 255)).save(folder / "val" / "cat" / "0.png")
        Image.new("1", (8, 8), 1).save(folder / "val" / "bee" / "0.png")
        images = load_images(f"folder:{folder}").splits["val"].images
        assert images[1:, :, 0, 0].tolist() == [[255, 255, 255], [10, 20, 30]]

    def test_without_val(self, folder: Path) -> None:
        for picture in (folder / "val").rglob("*.png"):
            picture.unlink()
        for name in ("ant", "bee", "cat"):
            (folder / "val" / name).rmdir()
        (folder / "val").rmdir()
        data = load_images(f"folder:{folder}")
        assert [len(split) for split in data.splits.values()] == [12, 3, 6]
        assert "val is the last 3" in data.notes[1]

    def test_splits_must_have_the_same_classes(self, folder: Path) -> None:
        paint(folder / "val" / "dog" / "0.png", (0, 0, 0))
        with pytest.raises(InputFileError, match=r"val: it has 4 classes and train 3; only one has 'dog'"):
            load_images(f"folder:{folder}")

    def test_a_class_without_pictures(self, folder: Path) -> None:
        (folder / "train" / "dog").mkdir()
        with pytest.raises(InputFileError, match=r"train: .*dog"):
            load_images(f"folder:{folder}")

    def test_one_class_is_too_few(self, tmp_path: Path) -> None:
        for part in ("train", "test"):
            paint(tmp_path / part / "ant" / "0.png", (0, 0, 0))
        with pytest.raises(InputFileError, match="it has 1 class"):
            load_images(f"folder:{tmp_path}")

    def test_a_broken_picture_is_named(self, folder: Path) -> None:
        picture = folder / "test" / "bee" / "1.png"
        noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(noise).save(picture)
        whole = picture.read_bytes()
        for content in (whole[: len(whole) // 2], b"<!DOCTYPE html><html></html>", b"", b"\x89PNG\r\n\x1a\n"):
            picture.write_bytes(content)
            with pytest.raises(InputFileError, match=r"bee/1\.png: this picture cannot be decoded"):
                load_images(f"folder:{folder}")


@pytest.fixture
def tiny_imagenet(tmp_path: Path) -> Path:
    lines = []
    for at, wnid in enumerate(("n01", "n02", "n03")):
        for k in range(5):
            paint(tmp_path / "train" / wnid / "images" / f"{wnid}_{k}.JPEG", (at * 100, 0, 0), (64, 64))
        (tmp_path / "train" / wnid / f"{wnid}_boxes.txt").write_text("not a picture")
    for k, at in enumerate((2, 0)):
        paint(tmp_path / "val" / "images" / f"val_{k}.JPEG", (at * 100, 0, 0), (64, 64))
        lines.append(f"val_{k}.JPEG\tn0{at + 1}\t0\t32\t44\t62\n")
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(lines))
    return tmp_path


class TestTinyImagenet:
    def test_the_official_val_is_test_and_val_comes_out_of_train(self, tiny_imagenet: Path) -> None:
        data = load_images(f"tiny-imagenet:{tiny_imagenet}")
        assert data_available(f"tiny-imagenet:{tiny_imagenet}")
        assert (data.name, data.io) == ("tiny-imagenet", ImageIO(3, 64, 3))
        assert [len(split) for split in data.splits.values()] == [12, 3, 2]
        assert data.splits["test"].labels.tolist() == [2, 0]
        for split in data.splits.values():
            red = split.images[:, 0, 30, 30].long()
            assert (red - 100 * split.labels).abs().max() <= 2
        assert (data.mean, data.std) == IMAGENET
        assert (data.padding, data.flip, data.class_names) == (8, True, ("n01", "n02", "n03"))
        assert data.notes[0].startswith("test is the official val")
        assert data.notes[1] == "val is the last 3 of a fixed permutation of the 15 training images"
        assert data.val_of_train

    def test_a_size(self, tiny_imagenet: Path) -> None:
        data = load_images(f"tiny-imagenet:{tiny_imagenet}", size=32)
        assert data.io.size == 32 and data.padding == 4

    @pytest.mark.parametrize("line", ["val_0.JPEG\tn99\t0\n", "val_0.JPEG n01\n", "../../val_0.JPEG\tn01\n", "\n"])
    def test_a_line_that_names_no_picture_or_class(self, tiny_imagenet: Path, line: str) -> None:
        with (tiny_imagenet / "val" / "val_annotations.txt").open("a") as file:
            file.write(line)
        with pytest.raises(InputFileError, match=r"val_annotations.txt: line 3 should hold"):
            load_images(f"tiny-imagenet:{tiny_imagenet}")

    def test_a_picture_that_is_missing_and_a_class_without_any(self, tiny_imagenet: Path) -> None:
        (tiny_imagenet / "val" / "images" / "val_1.JPEG").unlink()
        with pytest.raises(InputFileError, match=r"val_1\.JPEG: no such file"):
            load_images(f"tiny-imagenet:{tiny_imagenet}")
        (tiny_imagenet / "train" / "n04").mkdir()
        with pytest.raises(InputFileError, match=r"n04/images: it holds no \*\.JPEG"):
            load_images(f"tiny-imagenet:{tiny_imagenet}")
