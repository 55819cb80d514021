"""Networks that are pictures, as pixels: where they lie, what they are clipped to, and how a path of them changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from netspace_models.architectures import FieldIO, ImageIO, build
from netspace_models.errors import ConfigError, OutputExists
from PIL import Image

from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.paths.path_files import write_csv
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.drawing import draw_pictures
from netspace_cli.core.shapes.path_pictures import picture_steps
from netspace_cli.core.shapes.rendered_pictures import (
    RenderedPicture,
    check_picture_output,
    is_picture,
    render_picture,
    write_picture,
)


def flat(*levels: float) -> Network:
    """A picture of one colour, each channel of this value."""
    architecture = build("siren-2x1", FieldIO(2, len(levels)))
    state = architecture.to_state(torch.zeros(architecture.parameter_count))
    state[[name for name in state if "bias" in name][-1]] = torch.tensor(levels)
    return Network(architecture, architecture.to_weights(state), source="flat.pt")


def slope() -> Network:
    """Darker upwards: sin(30 x 0.04) of the first coordinate."""
    architecture = build("siren-1x1", FieldIO(2, 1))
    state = {
        name: 0 * value for name, value in architecture.to_state(torch.zeros(architecture.parameter_count)).items()
    }
    first, last = [name for name in state if "weight" in name]
    state[first] = torch.tensor([[0.04, 0.0]])
    state[last] = torch.tensor([[1.0]])
    return Network(architecture, architecture.to_weights(state))


def test_values_from_minus_one_to_one_are_black_to_white_and_no_further() -> None:
    for level, pixel in ((-1.0, 0), (0.0, 128), (1.0, 255), (-3.0, 0), (7.5, 255), (0.2, 153)):
        frame = render_picture(flat(level), Runner("cpu"), resolution=5)
        assert frame.pixels.shape == (5, 5, 1) and frame.pixels.dtype == np.uint8
        assert (frame.pixels == pixel).all(), level
    colours = render_picture(flat(-1.0, 0.2, 1.0), Runner("cpu"), resolution=4)
    assert (colours.pixels == [0, 153, 255]).all() and colours.channels == 3
    assert colours.brightness == pytest.approx((0 + 153 + 255) / 3 / 255)


def test_the_first_coordinate_runs_down() -> None:
    pixels = render_picture(slope(), Runner("cpu"), resolution=8).pixels[:, :, 0].astype(int)
    centres = (np.arange(8) + 0.5) / 4 - 1
    expected = np.rint((np.sin(30 * 0.04 * centres) + 1) * 127.5).astype(int)
    assert np.abs(pixels - expected[:, None]).max() <= 1 and pixels[0, 0] < pixels[-1, 0]


def test_only_one_or_three_values_of_two_coordinates_are_a_picture() -> None:
    assert is_picture(FieldIO(2, 1)) and is_picture(FieldIO(2, 3))
    assert not any(is_picture(s) for s in (FieldIO(2, 2), FieldIO(3, 1), ImageIO(3, 8, 10)))
    architecture = build("siren-2x1", FieldIO(3, 1))
    with pytest.raises(ConfigError, match="chair.pt is for points of 3 coordinates, 1 value, so it is not a picture"):
        render_picture(
            Network(architecture, torch.zeros(architecture.parameter_count), source="chair.pt"), Runner("cpu")
        )


def test_a_path_tells_how_much_each_picture_differs_from_the_one_before(tmp_path: Path) -> None:
    steps = [Step(i, i / 3, flat(level)) for i, level in enumerate((-1.0, -1.0, 1.0))]
    steps.append(Step(3, 1.0, flat(0.0), error="not finite"))
    path = picture_steps(steps, Runner("cpu"))
    assert [step.change for step in path] == [None, 0, 1, None]
    assert [step.error for step in path] == ["", "", "", "not finite"] and path[3].frame is None
    assert "change" not in path[0].row() and path[2].row()["change"] == 1
    write_csv(tmp_path / "a.csv", {"space": path, "weights": path[::-1]})
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "path,step,gamma,arch,parameters,change,error,weights_change"
    assert [line.split(",")[5:] for line in lines[1:]] == [["", "", ""], ["0.0", "", "1.0"], ["1.0", "", "0.0"], [
        "", "not finite", "",
    ]]  # fmt: skip


@pytest.mark.parametrize(("levels", "mode"), [((0.2,), "L"), ((-1.0, 0.2, 1.0), "RGB")])
def test_a_picture_is_written_pixel_by_pixel(tmp_path: Path, levels: tuple[float, ...], mode: str) -> None:
    frame = render_picture(flat(*levels), Runner("cpu"), resolution=6)
    write_picture(tmp_path / "a.png", frame)
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.size, picture.mode) == ((6, 6), mode)
        assert np.array_equal(np.asarray(picture).reshape(6, 6, -1), frame.pixels)
    with pytest.raises(OutputExists):
        write_picture(tmp_path / "a.png", frame)


def test_rows_of_pictures_are_drawn_and_a_missing_one_keeps_its_place(tmp_path: Path) -> None:
    white = RenderedPicture(np.full((4, 4, 1), 255, dtype=np.uint8))
    black = RenderedPicture(np.zeros((4, 4, 3), dtype=np.uint8))
    draw_pictures(tmp_path / "a.png", [("space", [("0.00", white), ("1.00", black)])])
    draw_pictures(tmp_path / "b.png", [("space", [("0.00", white), ("1.00", "failed")])])
    with Image.open(tmp_path / "a.png") as one, Image.open(tmp_path / "b.png") as other:
        assert one.size == other.size
        halves = [np.asarray(p.convert("L"))[:, p.size[0] // 2 :] for p in (one, other)]
    assert (halves[0] == 0).mean() > 0.3 > (halves[1] == 0).mean()


def test_what_a_picture_cannot_be_written_as_is_refused() -> None:
    assert check_picture_output(Path("a.png"), 1)
    assert not check_picture_output(Path("a.png"), 2) and not check_picture_output(Path("a.svg"), 1)
    with pytest.raises(ConfigError, match=r"a\.ply: a network that is a picture has no surface; it is drawn as \.png"):
        check_picture_output(Path("a.ply"), 1)
