"""What commands say where several architectures have a file's parameters, and --strict-arch."""

from __future__ import annotations

from pathlib import Path

import torch
from netspace_models.architectures import ImageIO, build

from netspace_cli.core.networks.assumptions import assume
from netspace_cli.core.networks.trust import is_trusted
from tests.worlds import Cli, Refused


def test_commands_say_what_is_assumed_once_and_refuse_it_on_request(work: Path, cli: Cli, refused: Refused) -> None:
    torch.save(build("lenet5", ImageIO(3, 32, 10)).module.state_dict(), "a.pt")
    result = cli("prep", "a.pt", "-o", "a.npy")
    assert result.exit_code == 0
    assert result.stderr.count("a.pt: lenetlike assumed: lenet5, ") == 1 and "--arch lenet5 chooses" in result.stderr
    assert "assumed" not in cli("prep", "a.pt", "-o", "b.npy", "--arch", "lenet5").stderr
    told = refused(3, "prep", "a.pt", "-o", "c.npy", "--strict-arch")
    assert "a.pt: its architecture is not certain" in told and "Name it: --arch NAME." in told
    assert not Path("c.npy").exists()


def test_a_refused_command_line_leaves_nothing_behind(work: Path, refused: Refused) -> None:
    refused(2, "prep", "--arch", "a.b:make", "--strict-arch", "missing.pt", "-o", "c.npy")
    assert not is_trusted("a.b:make")
    assert assume("a.pt", "lenetlike assumed") == "lenetlike assumed"
