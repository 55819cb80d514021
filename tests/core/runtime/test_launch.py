"""A command as several processes: each knows its place, and one that fails ends all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from netspace_models.errors import ConfigError, ProcessLost

from netspace_cli.core.runtime import launch as launching
from netspace_cli.core.runtime.launch import LOST, launch
from netspace_cli.core.runtime.places import ALONE, Place, place_in


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE", 0.5)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, signal, sys, time\nnumber = int(os.environ['RANK'])\n{code}"]


def test_each_process_knows_its_place_and_the_first_ones_code_is_returned(tmp_path: Path) -> None:
    code = f"open(os.path.join({str(tmp_path)!r}, str(number)), 'w').write(repr(place_in(os.environ)))"
    written = f"sum(file.stat().st_size > 0 for file in os.scandir({str(tmp_path)!r}))"
    wait = f"while number == 0 and {written} < 3: time.sleep(0.01)\nsys.exit(number == 0)"
    command = python(f"from netspace_cli.core.runtime.places import Place, place_in\n{code}\n{wait}")
    started: dict[int, int] = {}
    assert launch(command, 3, on_start=started.__setitem__) == 1
    places = [eval((tmp_path / str(i)).read_text(), {"Place": Place}) for i in range(3)]  # noqa: S307
    assert [(p.number, p.count, p.local_number, p.local_count) for p in places] == [(i, 3, i, 3) for i in range(3)]
    assert len({p.meeting for p in places}) == 1 and places[0].meeting.startswith("file://")
    assert all(p.launcher_pipe is not None for p in places)
    assert list(started) == [0, 1, 2]


@pytest.mark.parametrize("first", ["time.sleep(60)", f"time.sleep(0.2); sys.exit({LOST})"])
def test_a_killed_process_ends_all_and_is_named(first: str) -> None:
    code = f"if number == 0: {first}\nif number == 1: os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(60)"
    pids: list[int] = []
    began = time.monotonic()
    with pytest.raises(ProcessLost) as lost:
        launch(python(code), 3, on_start=lambda number, pid: pids.append(pid))
    assert lost.value.message == ("process 1 of 3 (counted from 0) was ended by SIGKILL, perhaps for want of memory.")
    assert time.monotonic() - began < 30
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_that_fails_alone_is_named_with_what_it_said() -> None:
    code = "if number == 1: print('error: no memory.\\nhint: x', file=sys.stderr); sys.exit(1)\ntime.sleep(60)"
    with pytest.raises(ProcessLost, match=r"process 1 of 2 .* failed with exit code 1 \(no memory\)\."):
        launch(python(code), 2)


def test_a_process_that_hangs_is_named() -> None:
    with pytest.raises(ProcessLost, match=r"process 1 of 2 .* did not answer in time\."):
        launch(python(f"if number == 0: sys.exit({LOST})\ntime.sleep(60)"), 2)


def test_a_killed_first_process_is_named() -> None:
    code = "if number == 0: os.kill(os.getpid(), signal.SIGSEGV)\ntime.sleep(60)"
    with pytest.raises(ProcessLost, match=r"process 0 of 2 .* was ended by SIGSEGV\."):
        launch(python(code), 2)


def test_the_first_process_speaks_for_all_that_fail_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE", 60)
    assert launch(python("time.sleep(0.2 if number == 0 else 0)\nsys.exit(2)"), 2) == 2


def test_a_process_that_was_asked_to_stop_has_time_to_save() -> None:
    assert launch(python("time.sleep(1 if number == 0 else 0)\nsys.exit(143)"), 2) == 143


def test_a_process_that_will_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "KILL", 0.3)
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nif number == 1: sys.exit(3)\ntime.sleep(60)"
    with pytest.raises(ProcessLost, match="process 1 of 2"):
        launch(python(code), 2)


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_goes_to_the_first_process_alone(tmp_path: Path, order: signal.Signals) -> None:
    code = (
        "got = []\n"
        "for each in (signal.SIGINT, signal.SIGTERM): signal.signal(each, lambda n, f: got.append(n))\n"
        f"open(os.path.join({str(tmp_path)!r}, str(number)), 'w').close()\n"
        f"done = os.path.join({str(tmp_path)!r}, 'done')\n"
        "while not got and not os.path.exists(done): time.sleep(0.01)\n"
        "if number == 1: sys.exit(bool(got))\n"
        "open(done, 'w').close(); sys.exit(int(got[0]))"
    )
    program = f"from netspace_cli.core.runtime.launch import launch; import sys; sys.exit(launch({python(code)!r}, 2))"
    with subprocess.Popen([sys.executable, "-c", program], start_new_session=True) as launcher:
        try:
            while not all((tmp_path / name).exists() for name in "01"):
                time.sleep(0.01)
            os.killpg(launcher.pid, order)  # as Ctrl-C does
            assert launcher.wait(30) == order
        finally:
            launcher.kill()  # its processes end with it


TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


def test_places_are_torchruns_too() -> None:
    assert place_in(TORCHRUN | {"LOCAL_WORLD_SIZE": "2"}) == Place(3, 4, 1, 2, "env://")
    assert place_in(TORCHRUN) == Place(3, 4, 1, 4, "env://")
    assert place_in({}) is None and ALONE.count == 1
    # Some programs set a part of these for purposes of their own.
    assert place_in({"RANK": "0", "WORLD_SIZE": "2"}) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"RANK": "x"}, "RANK is 'x', not a number"),
        ({"RANK": "4"}, "this process 4 of 4, and 1 of 4 on this machine"),
        ({"LOCAL_WORLD_SIZE": "1"}, "1 of 1 on this machine"),
    ],
)
def test_contradictory_places_are_refused(change: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        place_in(TORCHRUN | change)
