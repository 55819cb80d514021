"""The PRep of a network as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netspace_models.architectures import ImageIO
from netspace_models.architectures.architecture import describe
from netspace_models.errors import ConfigError, DoesNotFit, OutputExists
from netspace_models.parameters.prep_grid import from_prep
from PIL import Image
from torch import Tensor, nn

from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.networks.prep_files import check_prep, write_prep
from tests.worlds import Tiny


@pytest.fixture(scope="module")
def network(tiny: Tiny) -> Network:
    return read_network(tiny.networks["lenetlike"], io=tiny.data.io)


def test_an_array_comes_back_as_the_network(network: Network, tmp_path: Path) -> None:
    assert write_prep(network, tmp_path / "a.npy", height=30, width=700) == (30, 700)
    grid = np.load(tmp_path / "a.npy")
    assert (grid.shape, grid.dtype) == ((30, 700), np.float32)
    assert torch.equal(from_prep(torch.from_numpy(grid), parameters=20_791), network.weights)
    assert not grid.flatten()[20_791:].any()


def test_the_height_is_the_lowest_published_one_that_fits(network: Network, tmp_path: Path) -> None:
    assert write_prep(network, tmp_path / "a.npy") == (8, 10_000)
    assert write_prep(network, tmp_path / "b.npy", width=2_000) == (16, 2_000)
    assert write_prep(network, tmp_path / "c.npy", width=300) == (88, 300)
    for make in (check_prep, write_prep):
        with pytest.raises(DoesNotFit, match="lenetlike has 20,791 parameters; a PRep of 88 x 200 holds 17,600"):
            make(network, tmp_path / "d.npy", width=200)


def test_a_picture_shows_signs_as_colours_and_padding_as_white(network: Network, tmp_path: Path) -> None:
    height, width = write_prep(network, tmp_path / "a.png", height=8, width=2_600)
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    assert picture.shape[1] == width
    rows = picture[:: picture.shape[0] // height].reshape(-1, 3)
    assert len(rows) == height * width
    assert (rows[20_791:] == 255).all()
    values = network.weights.numpy()
    strong = np.abs(values) > 0.5 * np.abs(values).max()
    red, blue = rows[:20_791, 0], rows[:20_791, 2]
    assert (red[strong & (values > 0)] > blue[strong & (values > 0)]).all()
    assert (red[strong & (values < 0)] < blue[strong & (values < 0)]).all()


@pytest.mark.parametrize("suffix", [".npy", ".png"])
def test_the_same_network_gives_the_same_bytes(network: Network, tmp_path: Path, suffix: str) -> None:
    before = network.weights.clone()
    for name in "ab":
        write_prep(network, tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert torch.equal(network.weights, before)


def test_a_network_of_zeros_and_single_values_is_a_picture_too(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.last = nn.Linear(4, 2, bias=False), nn.Conv1d(1, 1, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.fc(x.flatten(1))[:, None])[:, 0]

    architecture = describe("scaled", Scaled(), ImageIO(1, 2, 2))
    vector = torch.zeros(architecture.parameter_count)
    vector[-1] = 2.0
    write_prep(Network(architecture, vector), tmp_path / "a.png", height=4, width=8)
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert (picture[0, : architecture.parameter_count - 1] == 255).all()
    assert tuple(picture[1, 0]) == (178, 24, 43) or tuple(picture[0, architecture.parameter_count - 1]) == (178, 24, 43)


def test_the_grid_is_known_before_anything_is_written(network: Network, tmp_path: Path) -> None:
    sizes: list[dict[str, Any]] = [{}, {"width": 2_000}, {"height": 30, "width": 700}]
    for options in sizes:
        assert check_prep(network, tmp_path / "a.npy", **options) == write_prep(
            network, tmp_path / f"{len(options)}.npy", **options
        )
    assert not (tmp_path / "a.npy").exists()


@pytest.mark.parametrize("make", [check_prep, write_prep])
def test_what_cannot_be_written_is_refused(network: Network, tmp_path: Path, make: Callable[..., object]) -> None:
    with pytest.raises(ConfigError, match=r"written as \.npy or \.png, not \.jpg"):
        make(network, tmp_path / "a.jpg")
    with pytest.raises(ConfigError, match="invalid PRep size 0 x 100"):
        make(network, tmp_path / "a.npy", height=0, width=100)
    with pytest.raises(ConfigError, match="invalid PRep size"):
        make(network, tmp_path / "a.npy", width=0)
    (tmp_path / "a.npy").write_text("mine")
    with pytest.raises(OutputExists):
        make(network, tmp_path / "a.npy")
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]
    assert write_prep(network, tmp_path / "a.npy", force=True) == (8, 10_000)
