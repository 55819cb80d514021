"""A checkpoint is read once per command, and what is none is called what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from netspace_models.errors import CheckpointError

from netspace_cli.core.files.checkpoint import Checkpoint
from netspace_cli.core.requests import reader as module
from netspace_cli.core.requests.reader import CheckpointReader
from tests.worlds import Cli, Tiny, space_file

ROOT = Path(__file__).parents[3]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read, in order."""
    found: list[Path] = []
    real = module.read_checkpoint

    def noted(path: Path, *, key: str | None = None) -> Checkpoint:
        found.append(path)
        return real(path, key=key)

    monkeypatch.setattr(module, "read_checkpoint", noted)
    return found


def test_a_checkpoint_is_read_once(tiny: Tiny, reads: list[Path]) -> None:
    reader, path = CheckpointReader(), tiny.networks["resnet8"]
    first = reader.network(path, candidates=tiny.space.architectures)
    again = reader.network(path, io=tiny.data.io)
    assert reads == [path] and first.sha256 == again.sha256


@pytest.mark.parametrize(
    "command",
    [
        ["encode", "lenet.pt", "vanillacnn.pt", "-o", "two.emb", "--refine", "0"],
        ["interp", "lenet.pt", "vanillacnn.pt", "--steps", "1", "--refine", "0"],
        ["lso", "lenet.pt", "--steps", "1", "--images", "2", "--refine", "0"],
    ],
    ids=lambda command: command[0],
)
def test_commands_read_each_checkpoint_once(
    command: list[str], cli: Cli, reads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three built-in spaces are asked whether they know a network; it is read once for them all."""
    samples = ROOT / "examples" / "digits"
    placed = [samples / word if word.endswith(".pt") else word for word in command]
    monkeypatch.chdir(tmp_path)
    result = cli(*placed)
    assert result.exit_code == 0, result.output
    assert sorted(reads) == sorted(path for path in placed if isinstance(path, Path))


def test_a_space_in_a_checkpoint_s_place_is_called_so(tiny: Tiny) -> None:
    with pytest.raises(CheckpointError, match="this is a space, not a checkpoint"):
        CheckpointReader().network(space_file(tiny.space))
