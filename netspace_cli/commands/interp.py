"""netspace interp: a path between two networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.unused_options import note_ignored
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent
from netspace_cli.views.interp_fields import note_jumps, sight_of

if TYPE_CHECKING:
    from netspace_cli.core.data.points import Data
    from netspace_cli.core.paths.path import Step
    from netspace_cli.core.requests.inputs import Input
    from netspace_cli.core.runtime.runner import Runner
    from netspace_cli.core.spaces.space import Space

# Paths between shapes: solved for, or a line of the space.
BENT, STRAIGHT = "bent", "straight"


@click.command()
@click.argument("start", type=options.INPUT_FILE)
@click.argument("end", type=options.INPUT_FILE)
@click.option(
    "--steps", type=click.IntRange(min=1), default=20, show_default=True, help="Steps; there is one row more."
)
@click.option("--weights", is_flag=True, help="Walk between the weights too, raw and with hidden units aligned.")
@click.option(
    "--bend/--straight",
    default=None,
    help="Of shapes: solve for a path whose steps blend both ends and change evenly, the straight one beside it; or "
    "walk the straight line alone, in seconds.  [default: bend, where the space's decoder can be solved for]",
)
@click.option("--save-dir", type=options.OUTPUT_PATH, help="Write every step's checkpoint there.")
@click.option(
    "--plot",
    type=options.OUTPUT_PATH,
    metavar="F.png",
    help="Draw accuracy along the path, or the shapes (.png, .svg, .pdf).",
)
@click.option("--csv", "csv_path", type=options.OUTPUT_PATH, metavar="F.csv", help="Write the rows.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Images that score.",
)
@options.refine
@options.space
@options.data
@options.arch
@options.key
@options.force
@options.dry_run
@options.running
@options.shared
def interp(
    start: Path,
    end: Path,
    steps: int,
    weights: bool,
    bend: bool | None,
    save_dir: Path | None,
    plot: Path | None,
    csv_path: Path | None,
    split: str,
    refine: int | None,
    space: str | None,
    data: str | None,
    arch: str | None,
    key: str | None,
    force: bool,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
) -> None:
    """Walk from START to END, checkpoints or embeddings, and score every network on the way.

    The space's classifier names the architecture of each step, so a path may lead through architectures. Of
    networks that are shapes --plot draws the row of shapes, the walks between the weights beneath it.

    Example: netspace interp lenet.pt resnet32.pt --steps 20 --plot path.png

    Example: netspace interp chair-a.pt chair-b.pt --steps 5 --plot row.png
    """
    from netspace_cli.core.data.images import ImageData
    from netspace_cli.core.files.outputs import check_no_input
    from netspace_cli.core.paths.bent import bendable, check_bend
    from netspace_cli.core.paths.path_figure import plot_path
    from netspace_cli.core.paths.path_files import check_path_outputs, write_csv, write_steps
    from netspace_cli.core.requests.choose_data import data_for, images_for, no_accuracy, recorded, required_data
    from netspace_cli.core.requests.choose_space import space_for
    from netspace_cli.core.requests.inputs import check_same_architecture, read_inputs
    from netspace_cli.core.requests.plan import planned_inputs

    runner = running.runner(console)
    check_no_input([csv_path, plot, save_dir], [start, end, space])
    check_path_outputs(csv_path, plot, save_dir, force=force)
    opened = space_for(space, (start, end), arch=arch, key=key)
    images = data_for(opened, data)
    sight = sight_of(opened.signal)
    if plot is not None and sight is not None:
        sight.check_drawing()
    elif plot is not None:
        required_data(images if isinstance(images, ImageData) else images_for(opened, data), opened)
    bends = bendable(opened, images)
    can_bend = steps > 1 and bends
    if bend:
        check_bend(opened, images)
    bend = can_bend if bend is None else bend
    if weights:
        check_same_architecture((start, end), opened, arch=arch, key=key)
    document: dict[str, Any] = {"space": opened.name, "data": recorded(images), "split": split, "bent": bend}
    outputs = [output for output in (csv_path, plot, save_dir) if output is not None]
    note_ignored(console, (start, end), images)
    main = BENT if bend else STRAIGHT if bends else "space"
    if dry_run:
        inputs = planned_inputs((start, end), opened, data=images, refine_steps=refine, arch=arch, key=key)
        _show_plan(console, inputs, steps, bend=bend and can_bend)
        console.document({**document, "inputs": inputs, "rows": steps + 1, "outputs": outputs, "dry_run": True})
        for output in outputs:
            console.note(f"{output} would be written.")
        return
    with runner:
        how: dict[str, Any] = {"refine_steps": refine, "arch": arch, "key": key}
        a, b = read_inputs((start, end), opened, runner, data=images, **how)
        way: dict[str, Any] = {"name": main, "weights": weights, "steps": steps, "split": split}
        walks = _walk(a, b, opened, images, runner, **way)
        path = walks[main]
        looked: dict[str, Any] = walks
        if sight is not None:
            looked = {name: sight.look(each, name, runner) for name, each in walks.items()}
        report = runner.report()
    console.cost(report)
    if csv_path is not None:
        write_csv(csv_path, looked, force=force)
    if plot is not None and sight is not None:
        sight.draw(plot, looked, force=force)
    elif plot is not None:
        plot_path(plot, path, {name: each for name, each in walks.items() if name != main}, force=force)
    if save_dir is not None:
        write_steps(save_dir, path, force=force)
    if sight is not None:
        sight.show(console, looked)
    else:
        _show(console, path, {name: each for name, each in walks.items() if name != main})
    document |= {key: [s.row() for s in looked.get(name, [])] for key, name in _documented(main, weights).items()}
    console.document(document | {"report": report})
    if can_bend:
        note_jumps(console, looked[main], bent=bend)
    if weights and a.network is None and b.network is None:
        console.note(
            "Both ends are embeddings: walked between are the weights of what they decode to, not of the networks that "
            "were encoded."
        )
    if images is None:
        console.note(no_accuracy(opened))
    for output in outputs:
        console.note(f"Wrote {output}.")


def _walk(
    a: Input,
    b: Input,
    space: Space,
    data: Data | None,
    runner: Runner,
    *,
    name: str,
    weights: bool,
    steps: int,
    split: str,
) -> dict[str, list[Step]]:
    """The path of that name, and those that are shown beside it."""
    from netspace_cli.core.data.images import ImageData
    from netspace_cli.core.data.points import FieldData
    from netspace_cli.core.paths.bent import bent
    from netspace_cli.core.paths.path import interpolate, walk, weight_paths
    from netspace_cli.core.requests.inputs import network_of

    images = data if isinstance(data, ImageData) else None
    common: dict[str, Any] = {"data": images, "split": split}
    ends = (a.origin.arch, b.origin.arch)
    straight = interpolate(a.vector, b.vector, space, runner, steps=steps, ends=ends, **common)
    walks = {name: straight}
    if name == BENT:
        assert isinstance(data, FieldData)  # seen to before
        way = bent(a.vector, b.vector, space, data, runner, steps=steps)
        walks = {name: walk(list(way), space, runner, ends=ends, **common), STRAIGHT: straight}
    if weights:
        one, other = (network_of(end, space, runner) for end in (a, b))
        walks |= weight_paths(one, other, runner, steps=steps, **common)
    return walks


def _documented(main: str, weights: bool) -> dict[str, str]:
    """Which walk is told under which key of the document."""
    return (
        {"steps": main}
        | ({"straight_steps": STRAIGHT} if main == BENT else {})
        | ({"weight_steps": "weights", "aligned_weight_steps": "aligned weights"} if weights else {})
    )


def _show_plan(console: Console, inputs: list[dict[str, Any]], steps: int, *, bend: bool) -> None:
    console.table(
        f"would walk in {steps} {'step' if steps == 1 else 'steps'} between",
        ["network", "arch", Column("parameters", integer), Column("refined", integer)],
        [(row["path"], row["arch"], row["parameters"], row["refine_steps"]) for row in inputs],
    )
    if bend:
        console.note("The path would be bent, solved for step by step; --straight walks the line alone.")


def _show(console: Console, path: list[Any], baselines: dict[str, list[Any]]) -> None:
    columns: list[str | Column] = [
        "step",
        Column("gamma", decimal),
        "arch",
        Column("parameters", integer),
        Column("accuracy", percent),
        Column("loss", decimal),
    ]
    columns += [Column(name, percent) for name in baselines]
    rows = []
    for i, step in enumerate(path):
        row = step.row()
        cells = [
            row["step"],
            row["gamma"],
            row["arch"],
            row["parameters"],
            row.get("accuracy"),
            row.get("loss"),
        ]
        rows.append([*cells, *(walk[i].accuracy for walk in baselines.values())])
    console.table("from one network to the other", columns, rows)
    for step in path:
        if step.error:
            console.note(f"step {step.step}: {step.error}")
