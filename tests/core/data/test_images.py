import json

import pytest
import torch
from netspace_models.architectures import ImageIO
from netspace_models.errors import ConfigError, DataUnavailable

from netspace_cli.core.data.images import ImageData, Split
from tests.small_networks import seeded


def tiny(
    *, padding: int = 2, flip: bool = True, channels: int = 3, size: int = 6, n: int = 12, low: int = 1
) -> ImageData:
    generator = torch.Generator().manual_seed(5)
    splits = {
        name: Split(
            torch.randint(low, 256, (n, channels, size, size), generator=generator, dtype=torch.uint8),
            torch.randint(3, (n,), generator=generator),
        )
        for name in ("train", "val", "test")
    }
    return ImageData(
        name="tiny",
        io=ImageIO(channels, size, 3),
        splits=splits,
        mean=(0.5, 0.4, 0.3)[:channels],
        std=(0.2, 0.25, 0.5)[:channels],
        padding=padding,
        flip=flip,
        class_names=("a", "b", "c"),
    )


def raw_of(data: ImageData, images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    return ((images * std + mean) * 255).round().to(torch.uint8)


def candidates(image: torch.Tensor, padding: int, flip: bool) -> list[tuple[int, int, bool, torch.Tensor]]:
    """Every result of a crop and a flip, cut out one by one."""
    size = image.shape[-1]
    padded = torch.zeros(len(image), size + 2 * padding, size + 2 * padding, dtype=image.dtype)
    padded[:, padding : padding + size, padding : padding + size] = image
    found = []
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[:, top : top + size, left : left + size]
            found.append((top, left, False, crop))
            if flip:
                found.append((top, left, True, crop.flip(-1)))
    return found


def draws(data: ImageData, seed: int = 0) -> list[tuple[int, int, bool]]:
    """Which crop and flip each training image got; fails where there is not exactly one."""
    everything = torch.arange(len(data.splits["train"]))
    images, _ = data.augmented("train", everything, generator=seeded(seed))
    result = []
    for original, image in zip(data.splits["train"].images, raw_of(data, images), strict=True):
        fits = [c[:3] for c in candidates(original, data.padding, data.flip) if torch.equal(c[3], image)]
        assert len(fits) == 1, f"{len(fits)} crops and flips give this image"
        result.append(fits[0])
    return result


def test_a_batch_is_scaled_to_one_then_normalised_per_channel() -> None:
    data = tiny()
    images, labels = data.batch("val", torch.tensor([3, 0, 3]))
    assert images.shape == (3, 3, 6, 6) and images.dtype == torch.float32
    raw = data.splits["val"].images[3, 1, 2, 4].item()
    assert images[0, 1, 2, 4].item() == pytest.approx((raw / 255 - 0.4) / 0.25, abs=1e-6)
    assert torch.equal(images[0], images[2]) and not torch.equal(images[0], images[1])
    assert torch.equal(labels, data.splits["val"].labels[[3, 0, 3]]) and labels.dtype == torch.int64


def test_a_slice_and_an_index_give_the_same_batch() -> None:
    data = tiny()
    for got, expected in zip(data.batch("test", slice(2, 7)), data.batch("test", torch.arange(2, 7)), strict=True):
        assert torch.equal(got, expected)


def test_batches_leave_the_stored_images_alone() -> None:
    data = tiny()
    before = data.record()
    data.batch("train", slice(0, 4))
    data.augmented("train", slice(0, 4), generator=seeded())
    assert data.record() == before


def test_without_padding_and_flip_augmenting_is_exactly_the_batch() -> None:
    data = tiny(padding=0, flip=False)
    index = torch.tensor([5, 1, 1, 9])
    images, labels = data.augmented("train", index, generator=seeded())
    expected, expected_labels = data.batch("train", index)
    assert torch.equal(images, expected) and torch.equal(labels, expected_labels)


@pytest.mark.parametrize(("padding", "flip"), [(2, True), (2, False), (0, True), (1, True)])
def test_every_augmented_image_is_one_crop_and_flip_of_its_zero_padded_original(padding: int, flip: bool) -> None:
    draws(tiny(padding=padding, flip=flip))


def test_shifts_and_flips_are_drawn_for_each_image_and_cover_their_range() -> None:
    found = draws(tiny(padding=1, flip=True, n=400))
    tops, lefts, flips = (torch.tensor([draw[i] for draw in found]) for i in range(3))
    assert (torch.bincount(tops, minlength=3) > 400 / 3 * 0.75).all() and tops.max() == 2
    assert (torch.bincount(lefts, minlength=3) > 400 / 3 * 0.75).all() and lefts.max() == 2
    assert 150 < flips.sum() < 250
    assert len(set(found)) == 18


def test_no_flip_where_none_is_asked_for() -> None:
    assert not any(flipped for _, _, flipped in draws(tiny(padding=2, flip=False, n=40)))


def test_pixels_shifted_in_are_black_before_normalisation() -> None:
    data = tiny(padding=6, flip=False, n=60)
    images, _ = data.augmented("train", slice(0, 60), generator=seeded())
    black = -torch.tensor(data.mean) / torch.tensor(data.std)
    corners = torch.cat([images[:, :, 0, 0], images[:, :, -1, -1]])  # (120, 3)
    shifted_in = (corners - black).abs().amax(dim=1) < 1e-6
    assert shifted_in.sum() > 30
    assert (images >= black[:, None, None] - 1e-6).all()


def test_one_seed_one_augmentation() -> None:
    data = tiny()
    one, two, other = (data.augmented("train", slice(0, 12), generator=seeded(s))[0] for s in (3, 3, 4))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_a_generator_moves_on_and_global_randomness_is_untouched() -> None:
    data, generator, state = tiny(), seeded(), torch.get_rng_state()
    first, second = (data.augmented("train", slice(0, 12), generator=generator)[0] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_same_seed_augments_alike_on_every_device() -> None:
    data = tiny()
    moved = data.to("cuda")
    index = torch.tensor([4, 0, 7])
    images, labels = moved.augmented("train", index, generator=seeded())
    expected, expected_labels = data.augmented("train", index, generator=seeded())
    assert images.device.type == labels.device.type == "cuda"
    assert torch.allclose(images.cpu(), expected, atol=1e-6) and torch.equal(labels.cpu(), expected_labels)
    assert moved.record() == data.record()


def test_to_moves_every_split_and_nothing_else() -> None:
    data = tiny()
    moved = data.to("meta")
    assert {s.images.device.type for s in moved.splits.values()} == {"meta"}
    assert {s.labels.device.type for s in moved.splits.values()} == {"meta"}
    assert data.splits["train"].images.device.type == "cpu"
    assert (moved.name, moved.io, moved.padding) == (data.name, data.io, data.padding)
    assert data.to("cpu").record() == data.record()


def test_batches_are_on_the_device_of_the_data_also_after_a_first_batch() -> None:
    data = tiny()
    data.batch("train", slice(0, 1))
    images, labels = data.to("meta").augmented("train", slice(0, 4), generator=seeded())
    assert images.device.type == labels.device.type == "meta"


def test_the_record_is_json_and_says_what_the_data_are() -> None:
    record = tiny().record()
    assert json.loads(json.dumps(record)) == record
    assert record["io"] == {"channels": 3, "size": 6, "classes": 3}
    assert [(name, split["n"]) for name, split in record["splits"].items()] == [
        ("train", 12),
        ("val", 12),
        ("test", 12),
    ]
    assert (record["name"], record["padding"], record["flip"]) == ("tiny", 2, True)
    assert record["mean"] == [0.5, 0.4, 0.3] and record["std"] == [0.2, 0.25, 0.5]


def test_the_record_changes_with_one_pixel_or_one_label() -> None:
    before = tiny().record()
    pixel, label = tiny(), tiny()
    pixel.splits["test"].images[7, 2, 5, 5] ^= 1
    label.splits["test"].labels[11] = (label.splits["test"].labels[11] + 1) % 3
    for changed in (pixel.record(), label.record()):
        assert changed["splits"]["test"]["sha256"] != before["splits"]["test"]["sha256"]
        assert changed["splits"]["train"] == before["splits"]["train"]


def test_an_unknown_split_is_named_beside_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no split 'dev'.*train, val, test"):
        tiny().batch("dev", slice(0, 1))


def changed(**fields: object) -> ImageData:
    data = tiny()
    return ImageData(**{**{name: getattr(data, name) for name in data.__dataclass_fields__}, **fields})


def test_data_that_contradict_themselves_are_refused() -> None:
    splits = tiny().splits
    without = {name: split for name, split in splits.items() if name != "val"}
    empty = {**splits, "test": Split(splits["test"].images[:0], splits["test"].labels[:0])}
    floats = {**splits, "train": Split(splits["train"].images.float(), splits["train"].labels)}
    short = {**splits, "val": Split(splits["val"].images[:5], splits["val"].labels)}
    for fields, words in (
        ({"splits": without}, "val has no images"),
        ({"splits": empty}, "test has no images"),
        ({"splits": floats}, r"torch.float32 images.*expected torch.uint8"),
        ({"splits": short}, r"\(5, 3, 6, 6\) and 12 labels"),
        ({"io": ImageIO(1, 6, 3)}, r"\(12, 3, 6, 6\).*expected \(12, 1, 6, 6\)"),
        ({"mean": (0.5,)}, "1 means, 3 deviations"),
        ({"class_names": ("a",)}, "1 class names for 3x6x6, 3 classes"),
    ):
        with pytest.raises(DataUnavailable, match=words):
            changed(**fields)
