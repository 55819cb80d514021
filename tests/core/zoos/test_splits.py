"""Splits of adopted instances: in proportion, none left empty that could be filled, whatever is there already."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from netspace_cli.core.zoos.splits import draw_splits, missing_splits
from netspace_cli.core.zoos.zoo import Instance


def drawn(count: int, shares: tuple[int, ...], have: dict[str, int] | None = None) -> dict[str, int]:
    return dict(Counter(draw_splits(count, shares, have or {}, random.Random(0))))


@pytest.mark.parametrize(
    ("count", "shares", "expected"),
    [
        (26, (16, 2, 8), {"train": 16, "val": 2, "test": 8}),
        (132, (100, 16, 16), {"train": 100, "val": 16, "test": 16}),
        (10, (6, 1, 3), {"train": 6, "val": 1, "test": 3}),
        (4, (16, 2, 8), {"train": 2, "val": 1, "test": 1}),
        (3, (16, 2, 8), {"train": 1, "val": 1, "test": 1}),
        (2, (16, 2, 8), {"train": 1, "val": 1}),
        (1, (16, 2, 8), {"train": 1}),
        (1, (0, 2, 8), {"val": 1}),
        (5, (0, 0, 1), {"test": 5}),
        (4, (100, 0, 1), {"train": 3, "test": 1}),
        (0, (16, 2, 8), {}),
    ],
)
def test_splits_by_hand(count: int, shares: tuple[int, ...], expected: dict[str, int]) -> None:
    assert drawn(count, shares) == expected


@pytest.mark.parametrize(
    ("count", "have", "expected"),
    [
        (2, {"train": 16, "val": 2, "test": 6}, {"test": 2}),
        (1, {"train": 30}, {"val": 1}),
        (2, {"train": 30}, {"val": 1, "test": 1}),
        (3, {"test": 1}, {"train": 2, "val": 1}),
        (2, {"train": 5, "val": 5, "test": 5}, {"train": 2}),
    ],
)
def test_splits_that_are_behind_come_first(count: int, have: dict[str, int], expected: dict[str, int]) -> None:
    assert drawn(count, (16, 2, 8), have) == expected


def test_every_split_with_a_share_is_filled_and_no_other() -> None:
    for shares in itertools.product((0, 1, 2, 16), repeat=3):
        wanted = {name for name, share in zip(("train", "val", "test"), shares, strict=True) if share}
        for count in range(12 if wanted else 0):
            found = drawn(count, shares)
            assert sum(found.values()) == count
            assert set(found) <= wanted
            assert len(found) == min(count, len(wanted)), (shares, count)


def test_which_instance_goes_where_is_drawn() -> None:
    orders = {tuple(draw_splits(6, (4, 1, 1), {}, random.Random(seed))) for seed in range(20)}
    assert len(orders) > 5


def instance(arch: str, split: str) -> Instance:
    return Instance("", arch, split, "", "")


def test_what_is_missing_is_told_with_its_numbers() -> None:
    few = [instance("resnet8", "train"), instance("resnet8", "val")]
    many = [instance("lenetlike", "train")] * 4
    whole = [instance("vanillacnn", split) for split in ("train", "val", "test")]
    assert missing_splits([*few, *many, *whole], (16, 2, 8)) == [
        "resnet8: 2 instances are too few for train, val and test; none is in test.",
        "lenetlike: none of its 4 instances is in val or test.",
    ]
    assert missing_splits(many, (1, 0, 0)) == []
    assert missing_splits([], (16, 2, 8)) == []
