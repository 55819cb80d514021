"""Pictures as fields: colours where the pixels are, grey and red, green, blue; and pictures that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from netspace_models.errors import InputFileError
from PIL import Image

from netspace_cli.core.shapes import pictures
from netspace_cli.core.shapes.pictures import channels_of, read_picture, shape_from_picture
from netspace_cli.core.shapes.samples import Shape
from netspace_cli.core.shapes.sources import find_shapes


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points than usual."""
    monkeypatch.setattr(pictures, "SAMPLES", 500)
    monkeypatch.setattr(pictures, "HELD_OUT", 200)


def drawn(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path)
    return path


def read(path: Path, seed: int = 0) -> Shape:
    return shape_from_picture(path.stem, path, torch.Generator().manual_seed(seed))


def test_the_first_coordinate_runs_down_and_the_second_to_the_right(tmp_path: Path) -> None:
    pixels = np.array([[0, 255], [51, 102]], dtype=np.uint8)
    shape = read(drawn(tmp_path / "four.png", pixels))
    colours = pixels / 127.5 - 1
    # Beyond the centres of the outer pixels, half way to the middle, a colour stays as it is.
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        rows, columns = ((shape.points[:, i] * (1 if at else -1)) > 0.5 for i, at in enumerate((y, x)))
        found = shape.values[rows & columns]
        assert len(found) > 10
        torch.testing.assert_close(found, torch.full_like(found, colours[y, x]), rtol=0, atol=1e-5)


def test_a_transparent_colour_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / "a.png", transparency=1)
    with pytest.raises(InputFileError, match="1 picture of mode L with transparency; one of 8 bits"):
        read_picture(tmp_path / "a.png")


def test_between_pixels_colours_are_linear(tmp_path: Path) -> None:
    ramp = np.tile(np.array([[0], [85], [170], [255]], dtype=np.uint8), (1, 4))
    shape = read(drawn(tmp_path / "ramp.png", ramp))
    for points, values in ((shape.points, shape.values), (shape.held_points, shape.held_values)):
        # From -1 at the centre of the first row, 1/8 of the height down, to 1 at that of the last.
        expected = (points[:, :1] / 0.75).clamp(-1, 1)
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-5)


def test_colours_are_three_values_and_grey_is_one(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 2], pixels[0, 0, 1] = 255, 51, 1
    colour, grey = drawn(tmp_path / "c.png", pixels), drawn(tmp_path / "g.png", pixels[..., 1])
    assert (channels_of(colour), channels_of(grey)) == (3, 1)
    shape = read(colour)
    assert (shape.points.shape, shape.values.shape) == ((500, 2), (500, 3))
    assert (shape.held_points.shape, shape.held_values.shape) == ((200, 2), (200, 3))
    torch.testing.assert_close(shape.values[:, 0], torch.ones(500))
    torch.testing.assert_close(shape.values[:, 2], torch.full((500,), -0.6))
    assert read(grey).values.shape == (500, 1)
    for path, values in ((colour, 3), (grey, 1)):
        (source,) = find_shapes(path)
        assert (source.kind, source.dimensions, source.values) == ("picture", 2, values)
        assert torch.equal(source.read(torch.Generator().manual_seed(0)).values, read(path).values)


def test_points_fill_the_square_and_follow_the_generator(tmp_path: Path) -> None:
    path = drawn(tmp_path / "p.jpg", np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8))
    shape = read(path)
    assert shape.points.abs().max() <= 1 and (shape.points.abs() > 0.95).any(dim=0).all()
    assert torch.equal(shape.points, read(path).points) and not torch.equal(shape.points, read(path, 1).points)


NOISE = np.random.default_rng(0).integers(0, 255, (8, 8, 4), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (
            NOISE,
            "1 picture of mode RGBA; one of 8 bits of grey (L) or of red, green, blue (RGB) is needed. Convert it.",
        ),
        (NOISE[..., :2], "1 picture of mode LA; one of 8 bits of grey (L)"),
        (NOISE[..., 0].astype(np.uint16) * 200, "1 picture of mode I;16; one of 8 bits of grey (L)"),
        (np.full((5, 5, 3), 9, np.uint8), "all its pixels are of one colour: there is nothing to fit. Leave it out."),
        (NOISE[:1, :1, 0], "all its pixels are of one colour"),
    ],
)
def test_other_pictures_are_refused(tmp_path: Path, pixels: np.ndarray, words: str) -> None:
    path = drawn(tmp_path / "p.png", pixels)
    with pytest.raises(InputFileError) as refused:
        read_picture(path)
    assert str(refused.value).startswith(f"{path}: {words}") and refused.value.hint


def test_several_pictures_in_one_file_are_refused(tmp_path: Path) -> None:
    first, *others = (Image.fromarray(NOISE[..., i]) for i in range(3))
    first.save(tmp_path / "p.gif", save_all=True, append_images=others)
    path = (tmp_path / "p.gif").rename(tmp_path / "p.png")
    with pytest.raises(InputFileError) as refused:
        read_picture(path)
    assert str(refused.value) == (
        f"{path}: 3 pictures of mode P; one of 8 bits of grey (L) or of red, green, blue (RGB) is needed. Convert it."
    )


def test_a_picture_cut_short_is_refused(tmp_path: Path) -> None:
    for name in ("p.png", "p.jpg"):
        path = drawn(tmp_path / name, NOISE[..., :3])
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(InputFileError) as refused:
            channels_of(path)
        assert refused.value.message == f"{path}: cannot be read as a picture."


@pytest.mark.parametrize("content", [b"", b"a letter", b"\x89PNG\r\n\x1a\n cut off"])
def test_files_that_are_no_picture_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.png"
    path.write_bytes(content)
    with pytest.raises(InputFileError) as refused:
        read_picture(path)
    assert str(refused.value) == f"{path}: cannot be read as a picture. Give a whole .png or .jpg."
