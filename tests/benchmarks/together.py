"""How many times the networks a second are trained at once as one by one: python -m tests.benchmarks.together [DATA]

Both ways alternate on one thread; processor time counts, which others on the machine disturb less than the clock.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from statistics import median

from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos.plan import ZooPlan, jobs_of
from netspace_cli.core.zoos.train_many import train_many
from netspace_cli.core.zoos.train_one import train_one

TOGETHER, ALONE, ROUNDS, STEPS = 64, 16, 5, 10


def seconds_a_network(data: ImageData, plan: ZooPlan, count: int, runner: Runner) -> float:
    """Processor seconds for one network of `count`, one by one where the plan says so."""
    jobs = jobs_of(replace(plan, counts=(count, 0, 0)), 0)
    began = time.process_time()
    if plan.together == 1:
        for job in jobs:
            list(train_one(job, plan, data, runner))
    else:
        list(train_many(jobs, plan, data, runner))
    return (time.process_time() - began) / count


def main() -> None:
    """Print the seconds of both ways in each round, and the median of their ratios."""
    data = load_images(sys.argv[1]) if len(sys.argv) > 1 else load_images("digits", size=28)
    plan = ZooPlan(("cnn-small",), epochs=(1, 1), batch=64, epoch_images=64 * STEPS)
    ratios = []
    with Runner("cpu", threads=1) as runner:
        for number in range(ROUNDS + 1):
            alone = seconds_a_network(data, replace(plan, together=1), ALONE, runner)
            together = seconds_a_network(data, plan, TOGETHER, runner)
            if number:  # the first warms up
                ratios.append(alone / together)
                print(f"a step alone {1e3 * alone / STEPS:.2f} ms, of {TOGETHER} {1e3 * together / STEPS:.2f} ms each")
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
