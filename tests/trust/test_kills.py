"""A short run of the kills, and that they find what is not protected; `make trust` runs many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netspace_cli.cli import COMMANDS
from tests.golden.scenarios import ROOT
from tests.trust.kills import CASES, CLASSES, rows_of

# In a process of its own, since commands are forked from one without threads.
BEGIN = """
import json, sys, torch
torch.set_num_threads(1)
from dataclasses import asdict
from pathlib import Path
from tests.trust import kills
from tests.trust.children import Fault
"""
SOME = """
kills.CASES = tuple(case for case in kills.CASES if case.name in sys.argv[2:])
for row in kills.trials(0, int(sys.argv[1]), 2):
    print(json.dumps(asdict(row)))
"""
# One case at its operations in turn, for kills from the last to the first, until something is lost.
EACH = """
folder, kind, name = Path(sys.argv[1]), *sys.argv[2:]
case = next(case for case in kills.CASES if case.name == name)
kills.make_world(folder / "world", [case])
work = kills.Trials(folder / "world", folder / "work")
for at in sorted(range(1, work.known(case).whole.operations + 1), reverse=kind != "full"):
    outcome = work.trial(case, Fault(kind, at))
    if outcome.how != "survived":
        print(json.dumps(outcome.why))
        break
"""


def told(program: str, *arguments: object) -> list[Any]:
    path = os.pathsep.join([str(ROOT), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.trust
def test_nothing_is_lost_by_kills_or_full_disks() -> None:
    found = told(SOME, 3, "zoo train", "zoo index again", "prep")
    assert [row["faults"] for row in found] == [[]] * len(CLASSES)
    assert sum(row["survived"] for row in found) == 6


BREAKS = {
    "a write that is not atomic": (
        ("half", "zoo export"),
        "from netspace_cli.core.files import safetensors_file\n"
        "safetensors_file.atomic_write = lambda path, write, force: write(path)\n",
        "half written: new.safetensors",
    ),
    "temporary files that stay": (
        ("kill", "zoo export"),
        "from netspace_cli.core.files import leftovers\nleftovers._sweep = lambda folder: None\n",
        "other bytes in .netspace-",
    ),
    "a manifest that may end in half a line": (
        ("half", "zoo index"),
        "from netspace_cli.core.zoos import zoo\nzoo.whole_lines = lambda content: content\n",
        "is not an instance",
    ),
    "splits that are drawn again": (
        ("kill", "zoo index"),
        "from netspace_cli.core.zoos import drawn_splits\ndrawn_splits.atomic_write = lambda *a, **k: None\n",
        "other bytes in loose/instances.jsonl",
    ),
    "a full disk in the words of torch": (
        ("full", "train"),
        "import torch\nfrom netspace_cli.core.training import run_folder\n"
        "run_folder.save_by_torch = lambda state, path: torch.save(state, path.open('wb'))\n",
        "internal error",
    ),
}


@pytest.mark.trust
@pytest.mark.parametrize("name", BREAKS)
def test_what_is_not_protected_is_found(name: str, tmp_path: Path) -> None:
    arguments, change, seen = BREAKS[name]
    found = told(change + EACH, tmp_path, *arguments)
    assert found and seen in found[0]


def test_every_command_that_writes_is_killed() -> None:
    names = {case.line.split()[0] for case in CASES}
    assert set(COMMANDS) - names == {"ensemble", "probe", "inspect", "spaces"}, "these write nothing"


def test_rows_count_what_came_of_trials() -> None:
    told = [
        {"kind": "kill", "case": "prep", "fault": "1", "how": how, "why": "x"} for how in ("survived", "lost", "lost")
    ]
    told.append({"kind": "full", "case": "prep", "fault": "2", "how": "crashed", "why": "y"})
    first, second = rows_of(told)
    assert (first.tried, first.survived, first.crashed, first.lost) == (3, 1, 0, 2)
    assert (second.tried, second.survived, second.crashed, second.lost) == (1, 0, 1, 0)
    assert second.faults == ("prep, 2: y",)
