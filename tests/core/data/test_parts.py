"""Parts of the training images: they make up the whole, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from netspace_models.errors import ConfigError

from netspace_cli.core.data.datasets import data_available, has_labels, load_images
from netspace_cli.core.data.parts import split_spec


def test_parts_make_up_the_whole() -> None:
    whole = load_images("digits")
    parts = [load_images(f"digits@{i}/3") for i in (1, 2, 3)]
    sizes = [len(part.splits["train"]) for part in parts]
    assert sum(sizes) == len(whole.splits["train"]) and max(sizes) - min(sizes) <= 1

    def rows(images: torch.Tensor) -> list[bytes]:
        return sorted(bytes(row.numpy().tobytes()) for row in images)

    assert rows(torch.cat([p.splits["train"].images for p in parts])) == rows(whole.splits["train"].images)
    for part in parts:
        assert (part.io, part.mean, part.std) == (whole.io, whole.mean, whole.std)
        assert part.splits["test"].sha256() == whole.splits["test"].sha256() and part.name.startswith("digits@")
        assert len(part.splits["train"].labels.unique()) == 10, "drawn at random"
        again = load_images(part.name)
        assert again.record() == part.record() and again.record() != whole.record()


def test_classes_can_be_left_out() -> None:
    found = load_images("digits@without:3,8")
    assert set(found.splits["train"].labels.tolist()) == {0, 1, 2, 4, 5, 6, 7, 9} and found.io.classes == 10
    assert len(found.splits["val"].labels.unique()) == 10
    assert data_available("digits@without:3") and has_labels("digits@1/2") and not data_available("none.npz@1/2")


def test_a_part_of_a_part_is_refused() -> None:
    with pytest.raises(ConfigError, match="digits@without:3@1/2 names two parts, and only one can be taken") as refused:
        split_spec("digits@without:3@1/2")
    assert refused.value.hint == "Write digits and one of them."


def test_what_is_no_part_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no part 4 of 3"):
        load_images("digits@4/3")
    with pytest.raises(ConfigError, match="digits has no class 11 to leave out"):
        load_images("digits@without:2,11")
    with pytest.raises(ConfigError, match="has no training images"):
        load_images("digits@without:0,1,2,3,4,5,6,7,8,9")
    with pytest.raises(ConfigError, match="unknown data set"):
        load_images("digits@half")
