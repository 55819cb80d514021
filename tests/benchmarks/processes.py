"""How much quicker a step is in several processes: python -m tests.benchmarks.processes [DEVICES [KEY=VALUE ...]]

A zoo of sixteen LeNet-likes on digits; one process and several alternate, each with one thread. A step's seconds are
those between two lengths of a run, without what comes before and after: by the clock, which needs an idle core for each
process, and of the processor in each process, which other work disturbs less but which leaves out waiting. Losses are
compared as well.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos.plan import ZooPlan
from netspace_cli.core.zoos.train import train_zoo

ROUNDS, SHORT, LONG = 3, 4, 24


def run(zoo: Path, output: Path, devices: int, steps: int, settings: list[str]) -> tuple[float, float, list[float]]:
    """Seconds of a run by the clock, and of the processor in each process, and its losses."""
    changed = [f"train.steps={steps}", "train.warmup=1", "train.validate_every=1000", *settings]
    options = ["--device", "cpu", "--threads", "1", "--devices", str(devices), "--force", "--json"]
    command = [sys.executable, "-m", "netspace_cli", "train", str(zoo), "-o", str(output), *options]
    command += [word for setting in changed for word in ("-s", setting)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads(subprocess.run([*command, "-q"], check=True, stdout=subprocess.PIPE).stdout)["report"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines = (output.with_suffix(".run") / "metrics.jsonl").read_text().splitlines()
    return report["seconds"], busy / devices, [json.loads(line)["loss"] for line in lines]


def ratio(name: str, pairs: list[list[float]]) -> None:
    """Print how the seconds of one process compare with those of several."""
    found = [alone / together for alone, together in pairs]
    print(f"{name}: ratio {median(found):.2f} ({min(found):.2f} to {max(found):.2f})")


def main() -> None:
    """Print the seconds a step of both in each round, the median of their ratios, and how far losses differ."""
    devices, settings = int(sys.argv[1]) if len(sys.argv) > 1 else 2, sys.argv[2:]
    with tempfile.TemporaryDirectory() as name:
        folder, clock, processor = Path(name), list[list[float]](), list[list[float]]()
        with Runner("cpu", threads=1) as runner:
            plan = ZooPlan(("lenetlike",), (16, 1, 0), (1, 1))
            train_zoo(folder / "zoo", plan, load_images("digits"), runner)
        for _ in range(ROUNDS):
            times, busy, losses = [], [], []
            for count in (1, devices):
                output = folder / f"of{count}.safetensors"
                short, busy_short, _ = run(folder / "zoo", output, count, SHORT, settings)
                long, busy_long, found = run(folder / "zoo", output, count, LONG, settings)
                times.append((long - short) / (LONG - SHORT))
                busy.append((busy_long - busy_short) / (LONG - SHORT))
                losses.append(found)
            clock.append(times)
            processor.append(busy)
            apart = max(abs(a / b - 1) for a, b in zip(*losses, strict=True))
            print(
                f"a step of 1 process {times[0]:.3f} s, of {devices} {times[1]:.3f} s; "
                f"of the processor {busy[0]:.3f} s, {busy[1]:.3f} s each; losses differ by {apart:.1e}"
            )
    ratio("by the clock", clock)
    ratio("of the processor", processor)


if __name__ == "__main__":
    main()
