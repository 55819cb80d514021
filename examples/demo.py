"""The main job from end to end, on what ships with netspace: run by `make demo`, under a minute.

Each line beginning with $ can be typed as it stands. Results go to demo/, which is made anew, or to a new folder that
is named; fewer steps than 20 are for seeing quickly that all of it runs.

python examples/demo.py [new folder] [steps]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
NETWORKS = [f"examples/digits/{name}.pt" for name in ("lenet", "vanillacnn", "resnet8", "resnet32")]
TEACHER = "examples/digits/resnet56.pt"
OUT = "demo"


def commands(out: str, steps: int) -> list[str]:
    """Command lines without `netspace`, in the order in which they need each other."""
    lenet, resnet32 = NETWORKS[0], NETWORKS[3]
    return [
        "spaces",
        f"encode {' '.join(NETWORKS)} -o {out}/all.emb --refine {steps}",
        f"encode {lenet} -o {out}/lenet.emb",
        f"decode {out}/lenet.emb -o {out}/lenet2.pt",
        f"inspect {out}/lenet2.pt",
        f"interp {lenet} {resnet32} --steps {steps} --plot {out}/path.png --csv {out}/path.csv",
        f"lso {out}/lenet.emb --teacher {TEACHER} --steps {3 * steps} -o {out}/best.emb --decode {out}/best.pt",
    ]


def main(folder: str = OUT, steps: int = 20) -> int:
    """Run every command in turn; the first that fails ends the demo with its exit code."""
    if folder == OUT:
        shutil.rmtree(HERE.parent / OUT, ignore_errors=True)
    (HERE.parent / folder).mkdir()
    began = time.perf_counter()
    for command in commands(folder, steps):
        print(f"\n$ netspace {command}", flush=True)
        words = [sys.executable, "-m", "netspace_cli", *command.split()]
        code = subprocess.run(words, cwd=HERE.parent, check=False).returncode
        if code:
            return code
    print(f"\nDone in {time.perf_counter() - began:.0f} s. The picture of the path is {folder}/path.png.")
    return 0


if __name__ == "__main__":
    given = argparse.ArgumentParser(description="The main job from end to end.")
    given.add_argument("folder", nargs="?", default=OUT)
    given.add_argument("steps", nargs="?", type=int, default=20)
    raise SystemExit(main(**vars(given.parse_args())))
