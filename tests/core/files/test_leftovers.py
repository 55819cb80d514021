"""Temporary files of killed processes are removed by the next that writes there; those of live ones never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netspace_cli.core.files import leftovers
from netspace_cli.core.files.leftovers import LONG_AGO, collecting_removed, describe_removed, is_temporary
from netspace_cli.core.files.outputs import atomic_write

PROGRAM = (
    "import sys, time\nfrom pathlib import Path\nfrom netspace_cli.core.files.outputs import atomic_write\n"
    "def write(t):\n    t.write_text('half')\n    print('.', flush=True)\n    time.sleep(60)\n"
    "atomic_write(Path(sys.argv[1]), write, force=True)\n"
)


@pytest.fixture(autouse=True)
def not_looked_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has looked through no folder yet."""
    monkeypatch.setattr(leftovers, "_swept", set())


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process amid writing `a` in the test's folder."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "a")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.read(1) == b"."
        yield process
        process.kill()


def put(path: Path) -> list[Path]:
    with collecting_removed() as removed:
        atomic_write(path, lambda temporary: temporary.write_text("new"), force=True)
    return removed


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if is_temporary(path)]


def old(path: Path, seconds: float = LONG_AGO + 60) -> Path:
    path.write_text("half")
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_a_file_of_a_killed_process_is_removed_and_told(tmp_path: Path, writer: subprocess.Popen[bytes]) -> None:
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    left = temporaries(tmp_path)
    assert len(left) == 1
    assert put(tmp_path / "b") == left
    assert os.listdir(tmp_path) == ["b"]
    assert describe_removed(left) == f"1 unfinished file of an earlier command that was killed removed from {tmp_path}."
    assert describe_removed([]) == ""


def test_a_file_of_a_live_process_stays(tmp_path: Path, writer: subprocess.Popen[bytes]) -> None:
    left = temporaries(tmp_path)
    assert len(left) == 1 and put(tmp_path / "b") == []
    assert temporaries(tmp_path) == left


def test_a_lock_alone_keeps_a_file(
    tmp_path: Path, writer: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes of a container have other numbers."""
    monkeypatch.setattr(leftovers, "_is_alive", lambda process: False)
    assert put(tmp_path / "b") == [] and len(temporaries(tmp_path)) == 1


def test_a_process_alone_keeps_a_file(tmp_path: Path) -> None:
    """Some file systems have no locks."""
    mine = tmp_path / f".netspace-{leftovers._host()}-{os.getppid()}-0123456789ab.pt"
    mine.write_text("half")
    assert put(tmp_path / "b") == [] and mine.exists()


@pytest.mark.parametrize("name", [".netspace-00000000-1-0123456789ab.pt", ".netspace-0123456789abcdef.pt"])
def test_a_file_of_another_machine_or_an_older_version_stays_for_a_day(tmp_path: Path, name: str) -> None:
    left = old(tmp_path / name, seconds=60)
    assert put(tmp_path / "b") == []
    leftovers._swept.clear()
    old(left)
    assert put(tmp_path / "b") == [left]


@pytest.mark.parametrize("name", [".netspace-splits.json", ".netspace-notes", "netspace-0123456789abcdef.pt", ".other"])
def test_files_of_other_names_stay(tmp_path: Path, name: str) -> None:
    old(tmp_path / name)
    assert put(tmp_path / "b") == [] and (tmp_path / name).exists()


def test_a_link_of_such_a_name_stays(tmp_path: Path) -> None:
    old(tmp_path / "mine")
    link = tmp_path / ".netspace-0123456789abcdef.pt"
    link.symlink_to(tmp_path / "mine")
    assert put(tmp_path / "b") == [] and link.is_symlink()


def test_a_write_within_a_write_leaves_the_outer_one_alone(tmp_path: Path) -> None:
    def outer(temporary: Path) -> None:
        temporary.write_text("outer")
        leftovers._swept.clear()
        put(tmp_path / "inner")

    atomic_write(tmp_path / "a", outer, force=False)
    assert sorted(os.listdir(tmp_path)) == ["a", "inner"] and (tmp_path / "a").read_text() == "outer"


def test_a_long_extension_makes_no_name_that_is_too_long(tmp_path: Path) -> None:
    for name in ("a." + "x" * 253, "ü" * 127, "a.emb" + "é" * 125):
        put(tmp_path / name)
        assert (tmp_path / name).read_text() == "new"
