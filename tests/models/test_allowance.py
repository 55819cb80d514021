"""A bound on what building makes room for: counted before there is any room."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from netspace_models.allowance import Allowance, TooLarge
from netspace_models.architectures import FieldIO, ImageIO, NetworkIO, TableIO, build
from netspace_models.errors import UnknownArchitecture
from torch import nn


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: nn.Linear(4, 5), 25),
        (lambda: nn.BatchNorm1d(3, affine=False), 6),
        (lambda: torch.zeros(2, 3), 6),
        (lambda: torch.zeros((2, 3)), 6),
        (lambda: torch.ones(size=(2, 3)), 6),
        (lambda: torch.full((4,), 1.0), 4),
        (lambda: torch.randn(torch.Size([2, 2])), 4),
        (lambda: torch.arange(10), 10),
        (lambda: torch.arange(2, 10, 3), 3),
        (lambda: torch.empty(()), 1),
    ],
)
def test_values_are_counted(make: Callable[[], object], count: int) -> None:
    with Allowance(count) as allowance:
        make()
    assert allowance.used == count
    with pytest.raises(TooLarge, match=f"more than {count - 1} values"), Allowance(count - 1):
        make()


def test_what_is_too_large_is_never_made() -> None:
    for make in (lambda: torch.zeros(2**45), lambda: nn.Linear(2**22, 2**22), lambda: torch.arange(2**45)):
        with pytest.raises(TooLarge), Allowance(1000):
            make()


def test_many_small_ones_are_bounded_together() -> None:
    with pytest.raises(TooLarge), Allowance(100):
        [torch.zeros(1) for _ in range(101)]
    torch.zeros(1000)  # it ends with the block


@pytest.mark.parametrize(
    ("name", "io"),
    [
        ("resnet8", ImageIO(3, 32, 20_000_000)),
        ("lenetlike", ImageIO(1, 4096, 10)),
        ("cnn-small", ImageIO(1_000_000, 28, 10)),
        ("siren", FieldIO(2, 1_000_000)),
        ("perceptron", TableIO(1_000_000, 1)),
    ],
)
def test_an_architecture_beyond_all_measure_is_refused(name: str, io: NetworkIO) -> None:
    with pytest.raises(UnknownArchitecture) as refused:
        build(name, io)
    assert refused.value.message == (
        f"{name} for {io.describe()} would have more than 50,000,000 parameters, which is the limit."
    )
    assert refused.value.hint


def test_large_images_are_not_computed_to_describe_a_network() -> None:
    small, large = (build("resnet8", ImageIO(1, size, 3)) for size in (8, 1024))
    assert [p.name for p in small.spec.parameters] == [p.name for p in large.spec.parameters]
    assert small.pairs == large.pairs
    assert not any(p.is_meta for p in large.module.parameters())


def test_a_resnet_too_deep_to_build_is_refused() -> None:
    with pytest.raises(UnknownArchitecture, match=r"resnet9998 is too deep; the limit is 1202 layers"):
        build("resnet9998", ImageIO(1, 8, 3))
