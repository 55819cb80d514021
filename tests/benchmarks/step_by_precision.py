"""A step of training in bf16, and in float32: python -m tests.benchmarks.step_by_precision [CASE ...] [--rounds 7]

On noise in CIFAR-10's shape. Both take turns in one process, one thread; processor seconds, and the median of the
ratios with the lowest and highest. It pays where the processor has arithmetic of its own for bf16, and in large
products.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from netspace_cli.core.runtime.runner import Runner

from . import cases
from .image_views import asked, by_turns

PRECISIONS = ("float32", "bf16")
# By name: architectures, instances of each, and the recipe.
STEPS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "lenetlike": (("lenetlike",), 20, "cifar10-lenetlike.toml"),
    "resnet8": (("resnet8",), 12, "cifar10-resnet8.toml"),
    "several": (cases.SEVERAL, 3, "cifar10.toml"),
}


def main() -> None:
    """Measure and print."""
    names, rounds = asked("Time steps of training in bf16 and in float32.", "case", list(STEPS))
    for case in names:
        with tempfile.TemporaryDirectory() as folder:
            turns = []
            for precision in PRECISIONS:
                own = Path(folder) / precision
                own.mkdir()
                turns.append(cases.step(own, *STEPS[case], {}, Runner("cpu", threads=1, precision=precision)))
            pairs = by_turns(turns, rounds)
        ratios = [plain / half for plain, half in pairs]
        plain, half = (median(pair[i] for pair in pairs) for i in (0, 1))
        print(
            f"{case}: {plain:.3f} s in float32, {half:.3f} s in bf16: {median(ratios):.2f} times as fast "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
