"""The main job from end to end, on what ships with netspace: run by `make demo`, under a minute.

Each line beginning with $ can be typed as it stands. Results go to demo/.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "demo"
NETWORKS = [f"examples/digits/{name}.pt" for name in ("lenet", "vanillacnn", "resnet8", "resnet32")]
TEACHER = "examples/digits/resnet56.pt"

COMMANDS = [
    ["spaces"],
    ["encode", *NETWORKS, "-o", "demo/all.emb", "--refine", "20"],
    ["encode", "examples/digits/lenet.pt", "-o", "demo/lenet.emb"],
    ["decode", "demo/lenet.emb", "-o", "demo/lenet2.pt"],
    ["inspect", "demo/lenet2.pt"],
    ["interp", NETWORKS[0], NETWORKS[3], "--steps", "20", "--plot", "demo/path.png", "--csv", "demo/path.csv"],
    [
        "lso",
        "demo/lenet.emb",
        "--teacher",
        TEACHER,
        "--steps",
        "60",
        "-o",
        "demo/best.emb",
        "--decode",
        "demo/best.pt",
    ],
]


def main() -> int:
    """Run every command in turn; the first that fails ends the demo with its exit code."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    began = time.perf_counter()
    for command in COMMANDS:
        print(f"\n$ netspace {' '.join(command)}", flush=True)
        code = subprocess.run([sys.executable, "-m", "netspace_cli", *command], cwd=HERE.parent, check=False).returncode
        if code:
            return code
    print(f"\nDone in {time.perf_counter() - began:.0f} s. The picture of the path is demo/path.png.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
