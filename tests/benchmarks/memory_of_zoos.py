"""Peak memory of training on zoos of many instances: python -m tests.benchmarks.memory_of_zoos [lenetlike|resnet18]

A process for each training of three steps, with the zoo's weights in memory and in a file. Zoos are simulated: all
instances are one of a few files. The backbone is a small one, so that the zoo is what counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training import training_set
from netspace_cli.core.training.loop import train
from netspace_cli.core.zoos.zoo import open_zoo

from .made_zoos import RESNET18, made_data, made_zoo

CASES = {"lenetlike": ("lenetlike", (10, 100, 1000, 10_000)), "resnet18": (RESNET18, (2, 10, 50))}
RECIPE = {
    "backbone": {"embedding_size": 256, "latents": 4, "chunk": 4096, "width": 16, "heads": 2, "reader": {"probes": 0}},
    "train": {"steps": 3, "instances": 2, "images": 8, "warmup": 0, "validate_every": 3, "shuffle": False},
}


def measure(arch: str, count: int, share: float) -> None:
    """Train in this process, and print the peak."""
    training_set.SHARE = share  # type: ignore[misc]  # of this process alone
    with TemporaryDirectory(dir="/var/tmp") as temporary, trusting(RESNET18):
        folder = Path(temporary)
        data = made_data(folder)
        path = made_zoo(folder, data, (arch,), (2, 1, 0))
        first, second, last = open_zoo(path).instances
        many = [replace((first, second)[i % 2], id=f"{i}") for i in range(count)]
        (path / "instances.jsonl").write_text("".join(json.dumps(asdict(i)) + "\n" for i in (*many, last)))
        with Runner("cpu", threads=1) as runner:
            train(open_zoo(path), folder / "space.safetensors", recipe_from(RECIPE), data, runner)
            print(json.dumps(runner.report()["peak_memory_bytes"]))


def main() -> None:
    """Print a row for each number of instances."""
    for name in sys.argv[1:] or CASES:
        arch, counts = CASES[name]
        for count in counts:
            peaks = []
            for share in (1.0, 0.0):
                command = [sys.executable, "-m", "tests.benchmarks.memory_of_zoos", "--measure", arch, str(count)]
                ran = subprocess.run([*command, str(share)], check=True, capture_output=True, text=True)
                peaks.append(int(ran.stdout.splitlines()[-1]) / 1e6)
            print(
                f"{count} {name}: {peaks[0]:,.0f} MB with weights in memory, {peaks[1]:,.0f} MB in a file", flush=True
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    else:
        main()
