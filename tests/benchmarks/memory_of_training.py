"""Peak memory of trainings, told by a dry run and seen in the process: python -m tests.benchmarks.memory_of_training

A process for each training of two steps, on fresh networks. Names of cases choose among them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.requests.train import TrainRequest
from netspace_cli.core.runtime.runner import GIB, Runner

from .made_zoos import RESNET18, made_data, made_zoo

LENETS = {"backbone.chunk": "512", "backbone.reader.probes": "64", "train.images": "64", "train.instances": "16"}
CONV = {"backbone.kind": "conv", "train.instances": "8", "train.images": "128"}
ROUNDS = {"backbone.feedback.rounds": "1"}
# Architectures, instances of each, settings.
CASES: dict[str, tuple[tuple[str, ...], int, dict[str, str]]] = {
    "lenetlike, tokens": (("lenetlike",), 16, LENETS | ROUNDS | {"backbone.direct.kind": "learnt"}),
    "lenetlike, conv": (("lenetlike",), 8, CONV),
    "resnet8, tokens": (("resnet8",), 8, LENETS | {"train.instances": "8"}),
    "resnet8, conv": (("resnet8",), 8, CONV),
    "resnet32, tokens": (("resnet32",), 4, LENETS | {"train.instances": "2", "backbone.direct.kind": "curvature"}),
    "resnet18, tokens": ((RESNET18,), 2, LENETS | {"train.images": "16", "backbone.reader.probes": "8"}),
    "resnet18, directions": (
        (RESNET18,),
        2,
        ROUNDS | LENETS | {"train.images": "16", "backbone.reader.probes": "8", "backbone.direct.kind": "learnt"},
    ),
}


def measure(name: str) -> None:
    """Train in this process, and print bytes told and seen."""
    archs, count, settings = CASES[name]
    with TemporaryDirectory() as temporary, trusting(RESNET18):
        folder = Path(temporary)
        data = made_data(folder)
        zoo = made_zoo(folder, data, archs, (count, 1, 0))
        steps = {"train.steps": "2", "train.warmup": "0", "train.validate_every": "1"}
        request = TrainRequest(
            zoo, folder / "space.safetensors", settings=settings | steps, data=str(folder / "images.npz")
        )
        with Runner("cpu", threads=1) as runner:
            task = request.prepare()
            told = task.footprint.total_bytes
            task.run(runner)
            report = runner.report()
    print(json.dumps({"told": told, "seen": report["peak_memory_bytes"], "parts": task.footprint.describe()}))


def main() -> None:
    """Print a row for each case."""
    for name in sys.argv[1:] or CASES:
        command = [sys.executable, "-m", "tests.benchmarks.memory_of_training", "--measure", name]
        found: dict[str, Any] = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        )
        told, seen = found["told"] / GIB, found["seen"] / GIB
        print(f"{name}: told {told:.2f} GiB, seen {seen:.2f} GiB, {told / seen:.2f} of it", flush=True)
        print(f"    {found['parts']}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2])
    else:
        main()
