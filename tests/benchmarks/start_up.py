"""Processor time of `netspace encode one.pt` against `import torch`: python -m tests.benchmarks.start_up [ROUNDS]

Both take turns as processes of one thread; the network is examples/cifar10/lenet.pt, without images.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

NETWORK = Path(__file__).parents[2] / "examples" / "cifar10" / "lenet.pt"
ROUNDS = 7


def seconds(arguments: list[str], folder: str) -> float:
    """Processor seconds of Python with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NETSPACE_DATA_DIR": folder}
    subprocess.run([sys.executable, *arguments], check=True, env=environment, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the seconds of both in each round, and the median of their ratios."""
    ratios = []
    with TemporaryDirectory() as folder:
        encode = ["-m", "netspace_cli", "encode", str(NETWORK), "-o", f"{folder}/one.emb", "--force"]
        for number in range(1 + int(sys.argv[1]) if len(sys.argv) > 1 else 1 + ROUNDS):
            alone, whole = seconds(["-c", "import torch"], folder), seconds(encode, folder)
            if number:  # the first fills the caches
                ratios.append(whole / alone)
                print(f"import torch {alone:.2f} s, encode {whole:.2f} s, {ratios[-1]:.2f} times", flush=True)
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
