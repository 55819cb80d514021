"""Files that once ended in a raw error, a hang or a wrong network, each with its kind: now refused properly."""

from __future__ import annotations

import io
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netspace_models.errors import CheckpointError, ConfigError, InputFileError, NetspaceError, OutputExists
from PIL import Image

from netspace_cli.core.data.image_files import load_folder
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.files.picture_file import PictureError, read_picture_file
from netspace_cli.core.shapes.meshes import read_mesh
from netspace_cli.core.shapes.pictures import read_picture
from netspace_cli.core.shapes.scans import read_scan
from netspace_cli.core.spaces.recipe_reading import load_recipe, recipe_from
from netspace_cli.core.training.run_folder import RunFolder

from .trial import bounded_memory

STATE = {"w": torch.arange(6.0).reshape(2, 3)}


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def saved(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def refusal(read: Callable[[Path], object], path: Path) -> str:
    """The text of a refusal, which names the file and the next step."""
    with pytest.raises(NetspaceError) as refused:
        read(path)
    assert str(path) in refused.value.message
    assert refused.value.hint and refused.value.exit_code in (2, 3)
    assert str(refused.value).isprintable()
    return str(refused.value)


# torch's files


def with_directory(content: bytes, name: bytes, place: int, number: bytes) -> bytes:
    """An archive whose directory says something else of one record."""
    entry = content.rindex(name) - 46
    assert content[entry : entry + 4] == b"PK\x01\x02"
    return content[: entry + place] + number + content[entry + place + len(number) :]


@pytest.mark.parametrize(
    ("place", "number", "words"),
    [
        (8, b"\1\0", "is compressed or encrypted; torch.save does neither"),
        (8, b"\x41\x20", "is compressed or encrypted; torch.save does neither"),
        (10, b"\x63\0", "is compressed or encrypted; torch.save does neither"),
        (42, b"\xff\xff\xff\x7f", "'archive/data/0' lies outside the file"),
        (42, b"\1\0\0\0", "'archive/data/0' is not where its directory says"),
        (38, b"\x10", "'archive/data/0' is marked as empty"),
        (20, b"\0\0\0\0", "'archive/data/0' is marked as empty"),
        (16, b"\0\0\0\1", "the checksum of its record 'archive/data/0' is"),
    ],
)
def test_directories_of_archives_that_lie(tmp_path: Path, place: int, number: bytes, words: str) -> None:
    content = with_directory(saved(STATE), b"archive/data/0", place, number)
    assert words in refusal(read_checkpoint, written(tmp_path / "a.pt", content))


@pytest.mark.parametrize("place", [2**63 - 1, 2**63, 2**64 - 1])
def test_offsets_beyond_what_a_file_can_have(tmp_path: Path, place: int) -> None:
    """In a directory of the 64-bit kind."""
    content = saved(STATE)
    start = content.index(b"PK\x01\x02")
    end = content.rindex(b"PK\x05\x06")
    name_bytes = struct.unpack("<H", content[start + 28 : start + 30])[0]
    extra = struct.pack("<HHQ", 1, 8, place)
    entry = bytearray(content[start : start + 46 + name_bytes])
    entry[30:32], entry[42:46] = struct.pack("<H", len(extra)), b"\xff" * 4
    count = struct.unpack("<H", content[end + 10 : end + 12])[0]
    old = struct.unpack("<H", content[start + 30 : start + 32])[0]
    directory = bytes(entry) + extra + content[start + 46 + name_bytes + old : content.index(b"PK\x06\x06", start)]
    closing = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0)
    path = written(tmp_path / "a.pt", content[:start] + directory + closing)
    assert "'archive/data.pkl' lies outside the file" in refusal(read_checkpoint, path)


@pytest.mark.parametrize("which", ["data/0", "data.pkl", "byteorder"])
def test_a_flipped_bit_is_told_by_the_checksum(tmp_path: Path, which: str) -> None:
    content = bytearray(saved(STATE))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        place = bytes(content).index(archive.read(f"archive/{which}"))
    content[place] ^= 1
    message = refusal(read_checkpoint, written(tmp_path / "a.pt", bytes(content)))
    assert f"damaged: the checksum of its record 'archive/{which}' is" in message


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        content = saved(STATE)
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_checkpoint(written(tmp_path / "a.pt", content)).state["w"], STATE["w"])


class Rebuilt:
    """Pickles as a tensor of this size and stride on a storage of three values."""

    def __init__(self, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.arguments = offset, size, stride

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        storage = torch.zeros(3).untyped_storage()
        typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
        return torch._utils._rebuild_tensor_v2, (typed, *self.arguments, False, {})


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize(
    ("arguments", "count"),
    [((0, (2**40,), (1,)), 2**40), ((2**40, (1,), (1,)), 2**40 + 1), ((0, (2**20, 2), (2**20, 2**50)), None)],
)
def test_tensors_that_would_enlarge_their_storage(
    tmp_path: Path, options: dict[str, Any], arguments: tuple[Any, ...], count: int | None
) -> None:
    path = written(tmp_path / "a.pt", saved({"w": Rebuilt(*arguments)}, **options))
    message = refusal(read_checkpoint, path)
    assert "truncated or damaged pickle ('storages of" in message
    assert count is None or f"{count:,} values or more in {path.stat().st_size:,} bytes" in message


def test_storages_of_the_older_format_that_the_file_does_not_hold(tmp_path: Path) -> None:
    content = saved({"w": torch.zeros(200)}, _use_new_zipfile_serialization=False)
    claim = b"K\xc8Nt"  # of the storage: 200 values, no view
    assert content.count(claim) == 1
    huge = content.replace(claim, b"\x8a\x06" + (2**40).to_bytes(6, "little") + b"Nt")
    message = refusal(read_checkpoint, written(tmp_path / "a.pt", huge))
    assert "storages of 1,099,511,627,776 values or more in" in message


def test_a_pickle_whose_text_is_longer_than_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt", b"\x80\x02X\xff\xff\xff\x7fshort text.")
    with bounded_memory():
        assert "a truncated, damaged or foreign pickle" in refusal(read_checkpoint, path)


# safetensors' headers


def headed(shape: list[int]) -> bytes:
    header = f'{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,4]}}}}'.encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ([1] * 65, "'w' has 65 axes, the limit is 64"),
        ([2**62] * 64, "'w' takes more than 10^30 bytes by its shape, 4 by its offsets"),
        ([2**62] * 400, "'w' has 400 axes, the limit is 64"),
    ],
)
def test_shapes_that_no_tensor_has(tmp_path: Path, shape: list[int], words: str) -> None:
    assert words in refusal(read_checkpoint, written(tmp_path / "a.safetensors", headed(shape)))


# Recipes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[train]\nsteps = 10000000000000", "invalid train.steps = 10000000000000 in the recipe: input should be less"),
        ("[train]\nimages = 1000000000000", "invalid train.images = 1000000000000 in the recipe: input should be less"),
        ("[train]\nsteps = true", "invalid train.steps = True in the recipe: input should be a number."),
        ("[lso.rates]\nlenetlike = false", "invalid lso.rates.lenetlike = False in the recipe: input should be"),
        ("[backbone]\nlatents = true", "invalid backbone.latents = True in the recipe: input should be a number."),
        ("[backbone.feedback]\nrounds = 1000000000", "invalid backbone.feedback.rounds = 1000000000 in the recipe"),
        ("[train]\nsteps = [1]", "invalid train.steps = [1] in the recipe"),
        ("train = 5", "invalid train = 5 in the recipe: input should be a table."),
        ("[train]\nlr = nan", "cannot be read as a recipe: nan where a number belongs."),
        ("a = " + "[" * 100_000, "cannot be read as a recipe: nested more than 32 levels deep."),
        ("[train]\nsteps = " + "9" * 5000, "cannot be read as a recipe: Exceeds the limit (4300 digits)"),
        ("x" * 5000 + " = 1", "the recipe has no key 'xxx"),
    ],
)
def test_recipes_are_refused_with_their_path(tmp_path: Path, content: str, words: str) -> None:
    message = refusal(load_recipe, written(tmp_path / "a.toml", content))
    assert words in message and len(message) < 2600


def test_the_path_is_named_where_the_file_is_at_fault_and_not_a_setting(tmp_path: Path) -> None:
    good, bad = written(tmp_path / "a.toml", "[train]\nsteps = 5"), written(tmp_path / "b.toml", "[train]\nsteps = 0")
    with pytest.raises(ConfigError) as refused:
        load_recipe(good, {"train.lr": "true"})
    assert refused.value.message == "invalid train.lr = True in the recipe: input should be a number."
    with pytest.raises(ConfigError, match=r"b.toml: invalid train.steps = 0"):
        load_recipe(bad, {"train.lr": "0.5"})
    assert load_recipe(bad, {"train.steps": "5"}).train.steps == 5


def test_truth_is_read_where_it_belongs() -> None:
    recipe = recipe_from({"train": {"shuffle": False}, "backbone": {"feedback": {"second_order": True, "rounds": 1}}})
    assert recipe.train.shuffle is False


# Run folders


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "a.run")
    folder.path.mkdir()
    folder.begin(SETTINGS, force=True)
    folder.log({"step": 1})
    folder.save({"step": 1, "model": {}})
    return folder


SETTINGS = {"recipe": {"train": {"steps": 5}}, "seed": 0}


def test_a_run_whose_settings_are_no_text(run: RunFolder) -> None:
    written(run.path / "settings.json", b'{"seed": "\xff"}')
    words = "settings.json: cannot be read (not text in UTF-8 (invalid start byte at byte 10)). Start again with"
    assert words in refusal(lambda _: run.resume(SETTINGS), run.path)
    assert words in refusal(lambda _: run.progress(), run.path)


def test_metrics_that_are_no_text_are_kept_as_they_are(run: RunFolder) -> None:
    run.metrics.write_bytes(b"\xff\xfe\n\xff\n")
    assert run.progress() == (2, 5)
    assert run.resume(SETTINGS)["step"] == 1
    assert run.metrics.read_bytes() == b"\xff\xfe\n"


def test_a_run_of_absurd_settings(run: RunFolder) -> None:
    for text, words in (("[" * 9999, "nested more"), ('{"seed": NaN}', "NaN where"), ('{"a":1,"a":2}', "'a' appears")):
        written(run.path / "settings.json", text)
        assert words in refusal(lambda _: run.resume(SETTINGS), run.path)
    written(run.path / "settings.json", '{"recipe": {"train": {"steps": true}}}')
    assert "settings.json: has no steps." in refusal(lambda _: run.progress(), run.path)


def test_a_damaged_checkpoint_of_a_run(run: RunFolder) -> None:
    run.save({"step": 1, "model": STATE})
    content = bytearray(run.checkpoint.read_bytes())
    content[bytes(content).index(STATE["w"].numpy().tobytes()) + 5] ^= 1
    written(run.checkpoint, bytes(content))
    assert "checkpoint.pt: cannot be read (damaged: the checksum of" in refusal(
        lambda _: run.resume(SETTINGS), run.path
    )
    run.save({"step": -1})
    assert "it holds no state of a run" in refusal(lambda _: run.resume(SETTINGS), run.path)


# Pictures


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 6, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_picture_whose_checksum_is_wrong(tmp_path: Path) -> None:
    content = bytearray(picture())
    at = bytes(content).index(b"IDAT")
    size = struct.unpack(">I", content[at - 4 : at])[0]
    content[at + 4 + size] ^= 1  # of the checksum itself: the pixels are as they were
    assert "cannot be read as a picture" in refusal(read_picture, written(tmp_path / "a.png", bytes(content)))


def whole_png(width: int, height: int, rows: bytes, interlaced: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def interlaced_rows(pixels: np.ndarray) -> bytes:
    """The seven passes of Adam7, without filters."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = [pixels[y::dy, x::dx] for x, y, dx, dy in passes]
    return b"".join(b"\0" + row.tobytes() for part in parts if part.shape[1] for row in part)


@pytest.mark.parametrize(("width", "height"), [(5, 7), (1, 3), (3, 1), (16, 9)])
@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_picture_with_fewer_rows_than_it_says(tmp_path: Path, width: int, height: int, interlaced: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width), np.uint8)
    rows = interlaced_rows(pixels) if interlaced else b"".join(b"\0" + row.tobytes() for row in pixels)
    path = written(tmp_path / "a.png", whole_png(width, height, rows, interlaced))
    assert np.array_equal(read_picture(path)[0].numpy(), pixels)
    written(path, whole_png(width, height, rows[:-1], interlaced))
    assert "cannot be read as a picture" in refusal(read_picture, path)
    with pytest.raises(
        PictureError, match=rf"its {width} x {height} pixels take {len(rows)} bytes, it has {len(rows) - 1}"
    ):
        read_picture_file(path, lambda picture: picture.load())


def test_a_picture_of_no_bytes_for_many_pixels_is_refused_at_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", whole_png(4, 16_777_220, bytes(52), 0))
    start = time.process_time()
    assert "cannot be read as a picture" in refusal(read_picture, path)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("side", [2500, 9000])
def test_a_picture_that_grows_with_its_frame(tmp_path: Path, side: int) -> None:
    """Of a GIF: its screen is small, its frame is not, and most rows are missing."""
    buffer = io.BytesIO()
    Image.new("L", (16, 16)).save(buffer, "GIF")
    content = bytearray(buffer.getvalue())
    path = written(tmp_path / "a.gif", bytes(content))
    assert read_picture_file(path, lambda picture: picture.convert("RGB").size) == (16, 16)
    frame = bytes(content).index(b",\0\0\0\0\x10\0\x10\0")
    content[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
    written(path, bytes(content))
    with pytest.raises(PictureError, match=f"its {side} x {side} pixels cannot be in {len(content)} bytes"):
        read_picture_file(path, lambda picture: picture.convert("RGB"))


@pytest.mark.parametrize("side", [20_000, 2**31 - 1])
def test_a_picture_of_too_many_pixels(tmp_path: Path, side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )
    assert "cannot be read as a picture" in refusal(read_picture, written(tmp_path / "a.png", content))
    for part in ("train", "test"):
        (tmp_path / part / "x").mkdir(parents=True)
        path = written(tmp_path / part / "x" / "a.png", content)
    message = refusal(lambda _: load_folder(tmp_path, 8), tmp_path / "train" / "x" / "a.png")
    assert "this picture cannot be decoded" in message and path.exists()


def test_a_transparency_of_nonsense(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("P", (4, 4)).save(buffer, "PNG")
    content = buffer.getvalue()
    at = content.index(b"IDAT") - 4
    spoilt = content[:at] + chunk(b"tRNS", b"") + content[at:]
    for part in ("train", "test"):
        (tmp_path / part / "x").mkdir(parents=True)
        written(tmp_path / part / "x" / "a.png", spoilt)
    try:
        load_folder(tmp_path, 4)
    except InputFileError as refused:
        assert "this picture cannot be decoded" in refused.message


# Meshes and scans

FACES = "f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
CORNERS = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"


def mesh(path: Path) -> object:
    return read_mesh(path, repair=True, scale=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CORNERS.replace("v 0 0 1", "v 0 0") + FACES, "corners of the shape (4, 2), not of three"),
        ("v 0 0\nv 1 0\nv 0 1\nv 1 1\n" + FACES, "corners of the shape (4, 2), not of three coordinates each."),
        (CORNERS.replace("v 0 0 1", "v 0 0 1e30") + FACES, "its vertices reach 1e+30, the limit is 1e+18."),
        (CORNERS.replace("v 0 0 1", "v 0 0 1e999") + FACES, "1 of its 4 vertices are NaN or infinite."),
        (CORNERS + FACES + "f 1 2 2147483648\n", "cannot be read as a mesh (index 2147483647 is out of bounds"),
    ],
)
def test_meshes_of_nonsense(tmp_path: Path, content: str, words: str) -> None:
    assert words in refusal(mesh, written(tmp_path / "a.obj", content))


def test_other_files_that_a_mesh_names_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = written(tmp_path / "secret.mtl", "newmtl m\nmap_Kd secret.png\n")
    opened: list[str] = []
    whole = open

    def noted(*arguments: Any, **more: Any) -> object:
        opened.append(str(arguments[0]))
        return whole(*arguments, **more)

    monkeypatch.setattr("builtins.open", noted)
    path = written(tmp_path / "a.obj", f"mtllib {secret.name}\nusemtl m\n{CORNERS}{FACES}")
    assert mesh(path)
    assert str(secret) not in opened


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xyz", b"\xff\xfe 1 2\n", "not text in UTF-8"),
        ("a.xyz", b"1 2 3\n" * 30 + b"9" * 5000 + b" 1 2\n", "1 of 31 points are NaN or infinite"),
        (
            "a.ply",
            b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999999\nproperty float x\nend_header\n",
            "cannot be read (",
        ),
    ],
)
def test_scans_of_nonsense(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    assert words in refusal(read_scan, written(tmp_path / name, content))


# Messages


def test_no_message_steers_a_terminal_or_fills_it() -> None:
    for error in (
        InputFileError("a\x1b[31m.pt", "it says \x1b]0;x\x07 and\nmore\u202e", "Leave it."),
        CheckpointError("a.pt", "x" * 100_000),
        ConfigError("\x1b[2J\ud800"),
    ):
        assert str(error).isprintable() and len(str(error)) < 2100
    assert str(OutputExists(Path("a b/ü.pt"))).startswith("a b/ü.pt exists already.")
    assert ConfigError("two\nlines").message == "two\nlines"
