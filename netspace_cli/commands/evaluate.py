"""netspace eval: compare target and predicted instances of a zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import workers
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer
from netspace_cli.views.view import view_of

if TYPE_CHECKING:
    from netspace_cli.core.requests.evaluate import EvaluateTask


@click.command(name="eval")
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Instances to compare.",
)
@click.option(
    "--plot",
    type=options.OUTPUT_PATH,
    metavar="F.png",
    help="Plot predicted against target accuracy (.png, .svg, .pdf).",
)
@click.option(
    "--refine",
    type=click.IntRange(min=0),
    metavar="N",
    help="Refine each embedding by N steps; 0 for the encoder alone. [default: both, refined as the space records]",
)
@options.space
@options.data
@workers
@options.force
@options.dry_run
@options.running
@options.shared
def evaluate(
    refine: int | None,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Compare every instance of a zoo with the network that its embedding decodes to.

    Classifiers are compared on the test images, regressors on the test rows, neural fields on a grid of points.
    "unrelated" is the agreement between an instance and others of equal accuracy, which a space must beat. "paired"
    is the agreement with the predicted instances, over those that have such others.

    Example: netspace eval zoo/ --space space.safetensors --refine 200 --plot fidelity.png
    """
    from netspace_cli.core.requests.evaluate import EvaluateRequest

    runner = running.shared_by(asked["workers"], asked["cluster"]).runner(console)
    request = EvaluateRequest(**asked, refine_steps=refine)
    task = request.prepare()
    if dry_run:
        _show_plan(console, task)
        return
    undivided = task.undivided(runner)
    if undivided is not None:
        console.note(undivided)
    with runner:
        found = task.run(runner)
        report = runner.report()
    console.cost(report)
    task.write(found)
    title = f"{request.zoo}, {request.split} instances in space {task.space.name}"
    view_of(task.space.kind).show_evaluation(console, title, found)
    document = task.document(found)
    remark = task.remark(document["summary"])
    if remark is not None:
        console.note(remark)
    console.document({**task.record(), **document, "report": report})
    if request.plot is not None:
        console.note(f"Wrote {request.plot}.")


def _show_plan(console: Console, task: EvaluateTask) -> None:
    counts, plot = task.counts(), task.request.plot
    console.table(
        "would compare",
        ["how", "arch", Column("n", integer), Column("refined", integer)],
        [(how, arch, n, each) for how, each in task.steps.items() for arch, n in counts.items()],
    )
    console.document({**task.record(), "counts": counts, "runs": task.steps, "plot": plot, "dry_run": True})
    if plot is not None:
        console.note(f"{plot} would be written.")
