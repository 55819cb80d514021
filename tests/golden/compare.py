"""Compare two commits of this repository bit for bit on this machine: every scenario, as JSON and as text.

python tests/golden/compare.py COMMIT [COMMIT]     # the second is the working tree where it is left out

Both run this tree's scenarios with the Python that runs this script. The exit code is 1 where an answer differs: an
exit code, a document, the bits of a tensor. Other files and printed words that differ are listed, but may be meant.
"""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from tests.golden.test_golden import differences  # noqa: E402


def answers_of(commit: str | None, scratch: Path) -> dict[str, Any]:
    """The answers of a commit, or of the working tree where it is None: {scenario: {answers, text}}."""
    tree, out = ROOT, scratch / f"answers-{commit or 'here'}"
    if commit is not None:
        tree = scratch / f"tree-{commit}"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), commit], cwd=ROOT, check=True)
    try:
        paths = [str(tree), str(tree / ".types")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        script = f"import sys; sys.argv = ['', {str(out)!r}, '--all']; sys.path.append({str(scratch)!r}); {RUN}"
        (scratch / "netspace_golden").mkdir(exist_ok=True)
        for name in ("recording.py", "scenarios.py"):
            source = (HERE / name).read_text().replace("tests.golden.", "netspace_golden.")
            (scratch / "netspace_golden" / name).write_text(source)
        samples = f"import netspace_golden.scenarios as s; from pathlib import Path; s.ROOT = Path({str(tree)!r}); "
        script = script.replace(RUN, samples + RUN)
        subprocess.run([sys.executable, "-c", script], cwd=scratch, env=environment, check=True)
    finally:
        if commit is not None:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    return {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}


RUN = "from netspace_golden.recording import main; main()"


def main() -> int:
    """Compare; print what differs."""
    first, second = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    with TemporaryDirectory() as made:
        before, after = (answers_of(commit, Path(made)) for commit in (first, second))
    faults, remarks = [], []
    for name in before:
        for a, b in zip(before[name]["answers"], after[name]["answers"], strict=True):
            faults += differences(b, a, bits=True, at=a["line"])
            pairs = ((path, a["files"][path], b["files"].get(path, {})) for path in a["files"])
            remarks += [
                f"{a['line']}: {path} has other bytes, the same tensors"
                for path, one, other in pairs
                if one["sha256"] != other.get("sha256") and one.get("bits") == other.get("bits")
            ]
        for a, b in zip(before[name]["text"], after[name]["text"], strict=True):
            for stream in ("stdout", "stderr"):
                lines = difflib.unified_diff(a[stream].splitlines(), b[stream].splitlines(), "before", "after", n=0)
                remarks += [f"{a['line']} ({stream}): {line}" for line in list(lines)[2:] if not line.startswith("@")]
    print("\n".join(remarks))
    print("\n".join(faults))
    print(f"{sum(len(each['answers']) for each in before.values())} commands, {len(faults)} answers differ.")
    return bool(faults)


if __name__ == "__main__":
    raise SystemExit(main())
