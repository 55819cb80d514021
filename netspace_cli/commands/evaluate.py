"""netspace eval: target against predicted instances of a zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netspace_cli import options
from netspace_cli.console import Column, Console, decimal, integer, percent


@click.command(name="eval")
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Instances of the zoo.",
)
@click.option("--plot", type=options.OUTPUT_PATH, metavar="F.png", help="Draw target against predicted accuracy.")
@click.option(
    "--refine",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Refine each embedding by N steps.",
)
@options.space
@options.data
@options.force
@options.running
@options.shared
def evaluate(
    zoo: Path,
    split: str,
    plot: Path | None,
    refine: int,
    space: str | None,
    data: str | None,
    force: bool,
    running: options.RunnerOptions,
    console: Console,
) -> None:
    """Compare every instance of a zoo with what its embedding decodes to, on the test images.

    "unrelated" is the agreement between an instance and others of equal accuracy: what a space must beat.

    Example: netspace eval zoo/ --space space.safetensors --refine 200 --plot fidelity.png
    """
    from netspace_cli.core.checks import check_no_input
    from netspace_cli.core.data_choice import data_for, recorded, required_data
    from netspace_cli.core.evaluate import evaluate as compare
    from netspace_cli.core.figures import check_figure, plot_evaluation
    from netspace_cli.core.files import check_output
    from netspace_cli.core.space_choice import check_zoo, space_for_zoo
    from netspace_cli.core.zoo import open_zoo

    if plot is not None:
        check_no_input([plot], [space])
        check_output(plot, force=force)
        check_figure(plot)
    opened = open_zoo(zoo)
    chosen = space_for_zoo(space, opened)
    check_zoo(opened, chosen, split)
    images = required_data(data_for(chosen, data), chosen)
    with running.runner() as runner:
        found = compare(opened, chosen, images, runner, split=split, refine_steps=refine, progress=console.reporter())
        report = runner.report()
    console.cost(report)
    if plot is not None:
        plot_evaluation(plot, found, force=force)
    console.table(
        f"{zoo}, {split} instances in space {chosen.name}",
        [
            "id",
            "arch",
            "predicted arch",
            Column("target", percent),
            Column("predicted", percent),
            Column("agreement", percent),
            Column("unrelated", percent),
        ],
        [
            (
                e.id,
                e.arch,
                e.predicted_arch,
                e.target_accuracy,
                e.predicted_accuracy,
                e.agreement,
                e.unrelated_agreement,
            )
            for e in found.instances
        ],
    )
    summaries = {arch: found.summary(arch) for arch in found.architectures()}
    _show_summaries(console, {**summaries, **({"all": found.summary()} if len(summaries) > 1 else {})})
    console.document(
        {
            "space": chosen.name,
            "data": recorded(images),
            "zoo": zoo,
            "split": split,
            "refine_steps": refine,
            "instances": found.instances,
            "summary": found.summary(),
            "by_arch": summaries,
            "report": report,
        }
    )
    if plot is not None:
        console.note(f"Wrote {plot}.")


def _show_summaries(console: Console, summaries: dict[str, dict[str, Any]]) -> None:
    console.table(
        "summary",
        [
            "arch",
            Column("n", integer),
            Column("recognised", percent),
            Column("target", percent),
            Column("predicted", percent),
            Column("pearson", decimal),
            Column("mae", percent),
            Column("agreement", percent),
            Column("unrelated", percent),
        ],
        [
            (
                arch,
                s["n"],
                s["arch_accuracy"],
                s["target_accuracy"],
                s["predicted_accuracy"],
                s["pearson"],
                s["mae"],
                s["agreement"],
                s["unrelated_agreement"],
            )
            for arch, s in summaries.items()
        ],
    )
