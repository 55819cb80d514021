import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netspace_models.architectures import ImageIO
from netspace_models.errors import ConfigError, DataUnavailable, InputFileError

from netspace_cli.core.data.datasets import data_available, digits_index, has_labels, load_images
from netspace_cli.core.data.images import ImageData


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_images("digits")


class TestDigits:
    def test_the_facts(self, digits: ImageData) -> None:
        assert digits.name == "digits" and digits.io == ImageIO(1, 16, 10)
        assert {name: len(split) for name, split in digits.splits.items()} == {
            "train": 1097,
            "val": 300,
            "test": 400,
        }
        assert (digits.padding, digits.flip) == (1, False)
        assert digits.class_names == tuple("0123456789")
        assert data_available("digits")

    def test_the_splits_are_disjoint_cover_all_and_never_change(self) -> None:
        index = np.concatenate(list(digits_index().values()))
        assert sorted(index) == list(range(1797))
        assert hashlib.sha256(index.astype("<i8").tobytes()).hexdigest() == (
            "7f71e362ae545c7716e4551e170aec4c10bbf84b76a1c24b73b5646a79df4800"
        )

    def test_the_bytes_are_the_same_everywhere(self, digits: ImageData) -> None:
        assert digits.splits["test"].sha256() == ("9c5fbcd2499db39849d3b859887366a4bbd07f22a4d79d3bdc823cfa4674104d")
        assert load_images(" digits ").record() == digits.record()

    def test_bright_where_the_source_is_bright(self, digits: ImageData) -> None:
        from sklearn.datasets import load_digits

        source = load_digits()
        at = digits_index()["val"][17]
        image = digits.splits["val"].images[17, 0].float()
        shrunk = image.reshape(8, 2, 8, 2).mean(dim=(1, 3))
        original = torch.from_numpy(source.images[at]).float() * (255 / 16)
        assert torch.corrcoef(torch.stack([shrunk.flatten(), original.flatten()]))[0, 1] > 0.95
        assert digits.splits["val"].labels[17] == source.target[at]
        assert digits.splits["train"].images.max() == 255 and digits.splits["train"].images.min() == 0

    def test_normalised_train_images_have_mean_0_and_deviation_1(self, digits: ImageData) -> None:
        images, _ = digits.batch("train", slice(0, None))
        assert images.mean().item() == pytest.approx(0, abs=1e-4)
        assert images.std().item() == pytest.approx(1, abs=1e-3)

    @pytest.mark.parametrize("size", [4, 8, 32])
    def test_another_size(self, size: int) -> None:
        data = load_images("digits", size=size)
        assert data.io == ImageIO(1, size, 10) and data.padding == size // 16


class TestSpecs:
    @pytest.mark.parametrize(
        ("spec", "near"),
        [
            ("digit", "digits"),
            ("CIFAR10", "cifar10"),
            ("cifar-10:/x", "cifar10"),
            ("tinyimagenet", "tiny-imagenet"),
        ],
    )
    def test_an_unknown_one_gets_the_list_and_the_nearest_word(self, spec: str, near: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load_images(spec)
        assert repr(spec) in caught.value.message
        assert "digits, cifar10[:DIR|:FILE.npz], tiny-imagenet[:DIR], folder:DIR, FILE.npz" in caught.value.hint
        assert f"Did you mean {near}?" in caught.value.hint
        assert not data_available(spec)

    def test_nothing_is_suggested_where_nothing_is_near(self) -> None:
        with pytest.raises(ConfigError) as caught:
            load_images("svhn")
        assert "Did you mean" not in caught.value.hint

    def test_a_bare_directory_is_told_of_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=f"folder:{tmp_path}"):
            load_images(str(tmp_path))

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ("", "unknown data set ''"),
            ("digits:x", "built in and takes no 'x'"),
            ("folder", "does not name a directory"),
            ("folder:", "does not name a directory"),
            ("cifar10:", "does not name a directory"),
            ("npz:", "does not name a file"),
        ],
    )
    def test_half_a_spec(self, spec: str, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            load_images(spec)

    def test_a_size_below_one(self) -> None:
        with pytest.raises(ConfigError, match="cannot be 0 pixels"):
            load_images("digits", size=0)

    @pytest.mark.parametrize(
        ("spec", "missing"),
        [
            ("cifar10:{}", "data_batch_1 is missing"),
            ("tiny-imagenet:{}", "lacks train"),
            ("folder:{}", "no folder train"),
            ("{}/a.npz", "a.npz does not exist"),
        ],
    )
    def test_files_that_are_not_there(self, tmp_path: Path, spec: str, missing: str) -> None:
        spec = spec.format(tmp_path)
        assert not data_available(spec)
        with pytest.raises(DataUnavailable, match=missing) as caught:
            load_images(spec)
        assert str(tmp_path) in caught.value.message and caught.value.hint

    def test_the_default_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NETSPACE_DATA_DIR", str(tmp_path / "elsewhere"))
        with pytest.raises(DataUnavailable, match="elsewhere/cifar-10-batches-py"):
            load_images("cifar10")
        monkeypatch.delenv("NETSPACE_DATA_DIR")
        with pytest.raises(DataUnavailable, match=" data/cifar-10-batches-py"):
            load_images("cifar10")


class TestImagesAlone:
    """A file of images without labels, for networks whose classes are known."""

    def test_a_part_is_held_out_and_no_label_is_a_class(self, tmp_path: Path) -> None:
        images = np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8)
        np.savez(tmp_path / "plain.npz", train_images=images)
        spec = str(tmp_path / "plain.npz")
        assert not has_labels(spec) and has_labels("digits")
        data = load_images(spec, classes=4)
        assert not data.labelled and data.io == ImageIO(1, 8, 4)
        assert {name: len(split) for name, split in data.splits.items()} == {"train": 72, "val": 18, "test": 10}
        assert {int(label) for split in data.splits.values() for label in split.labels} == {-1}
        held = torch.cat([split.images for split in data.splits.values()]).flatten(1)
        assert sorted(held.tolist()) == sorted(images.reshape(100, -1).tolist()), "each image is in one part"
        assert data.record()["labelled"] is False and data.to("cpu").labelled is False

    @pytest.mark.parametrize(("count", "told"), [(9, "no split test, which takes one in 10"), (4, "no split val")])
    def test_too_few_to_hold_some_out_are_counted(self, tmp_path: Path, count: int, told: str) -> None:
        images = np.zeros((count, 8, 8), np.uint8)
        given: dict[str, Any] = (
            {"train_images": images} if count == 9 else {"train_images": images, "test_images": images}
        )
        np.savez(tmp_path / "plain.npz", **given)
        with pytest.raises(InputFileError, match=f"it has {count} training images and {told}") as refusal:
            load_images(str(tmp_path / "plain.npz"), classes=4)
        assert "training images or more" in refusal.value.hint

    def test_labels_are_read_where_there_are_some_and_wanted_where_no_classes_are_named(self, tmp_path: Path) -> None:
        images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 4
        parts: dict[str, Any] = {"train_images": images, "test_images": images}
        np.savez(tmp_path / "plain.npz", **parts)
        with pytest.raises(InputFileError, match="train_labels, test_labels missing"):
            load_images(str(tmp_path / "plain.npz"))
        np.savez(tmp_path / "all.npz", **parts, train_labels=labels, test_labels=labels)
        data = load_images(str(tmp_path / "all.npz"), classes=9)
        assert has_labels(str(tmp_path / "all.npz")) and data.labelled and data.io.classes == 4
        assert "labelled" not in data.record()
        (tmp_path / "broken.npz").write_bytes(b"nothing")
        assert has_labels(str(tmp_path / "broken.npz")), "reading it says what is wrong"
        with pytest.raises(InputFileError, match="not a readable .npz file"):
            load_images(str(tmp_path / "broken.npz"), classes=4)
