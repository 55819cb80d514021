"""Processor time of this tree against another commit: python -m tests.benchmarks.against COMMIT CASE … [--rounds 9]

A process for each side, one thread each, which take turns: a round of the one, a round of the other. Processor time
counts, which others on the machine disturb less than the clock; what is printed is the ratio of each pair of rounds.
`--operations` counts torch's operations of a round as well: on an accelerator each is a kernel to be launched.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
SIDE = Path(__file__).resolve().parent / "side.py"


def asked(process: subprocess.Popen[str], what: str) -> dict[str, Any]:
    """Send a process a line, and wait for the line of JSON that it answers."""
    assert process.stdin is not None and process.stdout is not None
    print(what, file=process.stdin, flush=True)
    answer = process.stdout.readline()
    if not answer:
        sys.exit("a side ended before its time; what it says is above")
    found: dict[str, Any] = json.loads(answer)
    return found


class Side:
    """A process that runs a case in one tree, a round when asked."""

    def __init__(self, tree: Path, links: Path, case: str, folder: Path) -> None:
        links.mkdir(exist_ok=True)
        (links / "netspace_models").symlink_to(tree / "models")
        paths = {"PYTHONPATH": f"{tree}:{links}", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, SIDE, case, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **paths},
        )

    def ask(self, what: str) -> dict[str, Any]:
        """Run a "round", or count "operations"."""
        return asked(self._process, what)

    def end(self) -> None:
        """Let the process end."""
        self._process.kill()
        self._process.wait()


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The tree of a commit, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", tree, commit], cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def compare(before: Path, case: str, rounds: int, *, operations: bool) -> None:
    """Print a line for one case."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sides = [Side(tree, folder / f"links{i}", case, folder / f"side{i}") for i, tree in enumerate((before, ROOT))]
        try:
            for side in sides:
                side.ask("round")  # warms up
            pairs = [[side.ask("round") for side in sides] for _ in range(rounds)]
            counts = [side.ask("operations")["operations"] for side in sides] if operations else []
        finally:
            for side in sides:
                side.end()
    ratios = [a["seconds"] / b["seconds"] for a, b in pairs]
    times = [median(pair[i]["seconds"] for pair in pairs) for i in (0, 1)]
    off = max(abs(a["value"] - b["value"]) / max(abs(a["value"]), 1e-12) for a, b in pairs)
    counted = f"; operations {counts[0]:,} to {counts[1]:,}" if counts else ""
    print(
        f"{case}: {median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"{times[0]:.3f} to {times[1]:.3f} s; results differ by {off:.1e} at most{counted}",
        flush=True,
    )


def main() -> None:
    """Compare case by case."""
    parser = argparse.ArgumentParser(description="Compare processor time with another commit.")
    parser.add_argument("commit")
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--operations", action="store_true")
    given = parser.parse_args()
    with checked_out(given.commit) as before:
        for case in given.cases:
            compare(before, case, given.rounds, operations=given.operations)


if __name__ == "__main__":
    main()
