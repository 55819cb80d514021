"""Shifts: pixels change as they should and nothing else does, the same for the same stream, refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from netspace_models.errors import ConfigError

from netspace_cli.core.data import shift as module
from netspace_cli.core.data.images import SPLITS, ImageData, Split
from netspace_cli.core.data.shift import NOISE, SHIFTS, check_shifts, shifted
from tests.worlds import Tiny


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(data: ImageData, value: int) -> ImageData:
    splits = {n: Split(torch.full_like(s.images, value), s.labels) for n, s in data.splits.items()}
    return replace(data, splits=splits)


@pytest.mark.parametrize("how", SHIFTS)
def test_only_the_pixels_change_and_the_record_says_how(tiny: Tiny, how: str) -> None:
    data = tiny.data
    before = {n: s.images.clone() for n, s in data.splits.items()}
    found = shifted(data, how, generator=stream())
    for name in SPLITS:
        assert torch.equal(data.splits[name].images, before[name]), "the source is left alone"
        assert torch.equal(found.splits[name].labels, data.splits[name].labels)
        assert found.splits[name].images.dtype == torch.uint8
        assert torch.equal(found.splits[name].images, before[name]) == (how == "none")
    assert (found.io, found.mean, found.std, found.padding) == (data.io, data.mean, data.std, data.padding)
    assert (found.record() == data.record()) == (how == "none")
    if how != "none":
        assert found.name == f"npz:tiny.npz, {how}" and len(found.notes) == len(data.notes) + 1


def test_no_shift_is_the_data_itself(tiny: Tiny) -> None:
    assert shifted(tiny.data, "none", generator=stream()) is tiny.data


def test_inverted_twice_is_as_before(tiny: Tiny) -> None:
    once = shifted(tiny.data, "invert", generator=stream())
    assert torch.equal(once.splits["val"].images, 255 - tiny.data.splits["val"].images)
    twice = shifted(once, "invert", generator=stream())
    assert torch.equal(twice.splits["test"].images, tiny.data.splits["test"].images)


def test_a_blur_keeps_what_is_flat_and_spreads_a_point_alike_to_all_sides(tiny: Tiny) -> None:
    grey = shifted(flat(tiny.data, 100), "blur", generator=stream())
    assert set(grey.splits["train"].images.unique().tolist()) == {100}
    image = torch.zeros(1, 1, 31, 31, dtype=torch.uint8)
    image[..., 15, 15] = 255
    split = Split(image, torch.zeros(1, dtype=torch.int64))
    io = replace(tiny.data.io, size=31)
    point = replace(tiny.data, io=io, splits=dict.fromkeys(SPLITS, split))
    (found,) = shifted(point, "blur", generator=stream()).splits["train"].images[:, 0]
    assert found[15, 15] == found.max() < 255 and found[15, 12] > 0
    assert torch.equal(found, found.flip(0)) and torch.equal(found, found.T)


def test_noise_has_its_deviation_and_comes_from_the_stream_alone(tiny: Tiny) -> None:
    grey = flat(tiny.data, 128)
    first = shifted(grey, "noise", generator=stream(1)).splits
    again = shifted(grey, "noise", generator=stream(1)).splits
    other = shifted(grey, "noise", generator=stream(2)).splits
    assert all(torch.equal(first[n].images, again[n].images) for n in SPLITS)
    assert not torch.equal(first["train"].images, other["train"].images)
    assert not torch.equal(first["train"].images[:24], first["val"].images), "splits have noise of their own"
    # Within a deviation of the middle hardly anything is cut off at black or white.
    values = first["train"].images.double() - 128
    inside = (values.abs() < NOISE).double().mean().item()
    assert inside == pytest.approx(0.683, abs=0.03) and abs(values.mean().item()) < 5


def test_large_data_are_done_in_parts(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {how: shifted(tiny.data, how, generator=stream()) for how in ("blur", "invert")}
    monkeypatch.setattr(module, "_CHUNK", 7)
    for how, wanted in whole.items():
        found = shifted(tiny.data, how, generator=stream())
        assert torch.equal(found.splits["train"].images, wanted.splits["train"].images)


def test_no_other_words_are_shifts(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="unknown shift 'fog'. Use some of none, blur, noise, invert."):
        shifted(tiny.data, "fog", generator=stream())
    with pytest.raises(ConfigError, match="the shift 'blur' is given 2 times. Give each once."):
        check_shifts(["blur", "none", "blur"])
    with pytest.raises(ConfigError, match="no shift was given"):
        check_shifts([])
