"""netspace zoo fit: fit neural fields to shapes and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import workers
from netspace_cli.commands.zoo.index import Counts
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer
from netspace_cli.terminal.interrupts import continues
from netspace_cli.views.fields import FIT_COLUMNS

if TYPE_CHECKING:
    from netspace_cli.core.zoos.zoo import Zoo


@click.command()
@click.argument("shapes", type=click.Path(path_type=Path))
@options.output(metavar="DIR", help="Folder for the zoo.")
@click.option(
    "--arch",
    callback=options.trust_named,
    default="siren",
    show_default=True,
    help="Architecture: siren, or siren-WxL with L hidden layers of W units.",
)
@click.option("--counts", type=Counts(), help="Number of shapes in each split, drawn at random. [default: all, 8/1/1]")
@click.option("--steps", type=click.IntRange(min=1), default=8000, show_default=True, help="Steps per network.")
@click.option("--points", type=click.IntRange(min=1), default=128, show_default=True, help="Points per shape and step.")
@click.option(
    "--lr",
    type=click.FloatRange(min=0, min_open=True),
    default=3e-4,
    show_default=True,
    help="Peak learning rate; it falls to a hundredth by a cosine schedule.",
)
@click.option(
    "--together", type=click.IntRange(min=1), default=16, show_default=True, help="Number of networks fitted at once."
)
@workers
@click.option(
    "--shared-init", is_flag=True, help="Start all networks from the same weights. [default: each from its own]"
)
@click.option("--repair", is_flag=True, help="Close open meshes: fill holes, or take the voxels that they hide.")
@click.option(
    "--as-is", is_flag=True, help="Keep the position and scale of meshes in the box [-1, 1]. [default: scaled to fit]"
)
@click.option(
    "--licence", default="CC0-1.0", show_default=True, help="Licence of the weights; recorded with each instance."
)
@options.dry_run
@options.running
@options.shared
def fit(
    shapes: Path,
    output: Path,
    repair: bool,
    as_is: bool,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **plan: Any,
) -> None:
    """Fit a neural field to each of SHAPES, and write them as a zoo.

    SHAPES is a mesh (.ply, .obj, .stl, .off, .glb), a picture (.png, .jpg), an .npz or .binvox of occupancy grids,
    an .npz of DeepSDF samples (pos, neg), or a folder of these. A grid gets three empty voxels on each side, so
    that a solid that fills it is closed. Networks are saved in groups of --together: the same command again
    continues with the first unfinished group.

    Example: netspace zoo fit chairs.npz -o chairs/ --counts 48/8/8
    """
    from netspace_cli.core.requests.zoo import FitZooRequest
    from netspace_cli.core.zoos.fitting import FitPlan

    runner = running.runner(console)
    how = {name: plan.pop(name) for name in ("workers", "cluster")}
    task = FitZooRequest(shapes, output, FitPlan(**plan), repair, not as_is, **how).prepare(runner)
    if not task.jobs:
        console.note(f"{output} already has all these instances: nothing to fit.")
    if dry_run:
        console.table("would fit", ["id", "split", "kind"], [(j.id, j.split, j.source.kind) for j in task.jobs])
        console.document({"jobs": [{"id": j.id, "split": j.split, "kind": j.source.kind} for j in task.jobs]})
        return
    with runner, continues():
        zoo = task.run(runner)
        report = runner.report()
    console.cost(report)
    _show(console, zoo, report)
    console.note(f"{output}: {len(zoo.instances)} instances; {report['seconds']:.0f} s on {report['device']}.")


def _show(console: Console, zoo: Zoo, report: dict[str, Any]) -> None:
    from netspace_cli.core.zoos.fit import fit_errors

    rows = [
        {"id": i.id, "split": i.split, "within": i.accuracy["test"], "error": i.training["error"]}
        for i in zoo.instances
    ]
    console.table(
        f"{zoo.path}: {zoo.architectures()[0].name}, on points not used for fitting",
        ["id", "split", *FIT_COLUMNS],
        [tuple(row.values()) for row in rows],
    )
    errors = fit_errors(zoo)
    console.table(
        "mean absolute error",
        [Column("n", integer), Column("median", decimal), Column("95 %", decimal), Column("highest", decimal)],
        [(errors.n, errors.median, errors.most, errors.highest)],
    )
    console.document({"zoo": zoo.path, "instances": rows, "errors": vars(errors), "report": report})
