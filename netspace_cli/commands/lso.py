"""netspace lso: latent space optimisation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.unused_options import note_ignored
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.networks.network import Network


@click.command()
@click.argument("init", type=options.INPUT_FILE)
@options.teacher(help="Network to imitate. [default: none, the labels alone]")
@click.option(
    "--target",
    type=options.INPUT_FILE,
    help="Shape to become (mesh, grid or samples), or points of its surface, best with normals (.npy, .xyz, .ply); of "
    "networks that are signals.",
)
@click.option("--repair", is_flag=True, help="Close a target that is an open mesh, as `zoo fit` does.")
@click.option(
    "--method",
    type=click.Choice(["adam", "gauss-newton"]),
    help="The optimiser. [default: adam, or what the space refines networks that are signals by]",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Steps of the optimiser. [default: what the space records, of gauss-newton as many as it refines with]",
)
@click.option(
    "--lr",
    type=click.FloatRange(min=0, min_open=True),
    help="Learning rate, of adam alone. [default: what the space records for the architecture]",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    help="Images, or points, a step. [default: what the space records, of gauss-newton as many as it refines with]",
)
@options.output(required=False, help="Where the best embedding goes (.emb).")
@click.option("--decode", "decoded", type=options.OUTPUT_PATH, metavar="FILE", help="Write the best network too.")
@click.option("--arch", metavar="NAME", help="The architecture to aim at. [default: the one the space recognises]")
@options.refine
@options.space
@options.data
@options.key
@options.force
@options.dry_run
@options.running
@options.shared
def lso(
    init: Path,
    teacher: options.TeacherOptions,
    target: Path | None,
    repair: bool,
    method: str | None,
    steps: int | None,
    lr: float | None,
    images: int | None,
    output: Path | None,
    decoded: Path | None,
    arch: str | None,
    refine: int | None,
    space: str | None,
    data: str | None,
    key: str | None,
    force: bool,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
) -> None:
    """Optimise an embedding, the decoder frozen, so that its network does the task better.

    INIT is an embedding or a checkpoint. The best embedding on the validation split is kept; the test split
    is scored before and after. --arch aims at another architecture of the space than that of INIT.

    Networks that are signals are brought to a --target; the accuracy is then the share of its values, or of a
    scan's points, that are within 0.01.

    Example: netspace lso init.emb --teacher resnet56.pt -o best.emb --decode best.pt
    """
    from netspace_cli.core.data.images import ImageData
    from netspace_cli.core.data.points import Data, FieldData
    from netspace_cli.core.encoding.decode import write_decoded
    from netspace_cli.core.files.checkpoint import check_checkpoint_suffix
    from netspace_cli.core.files.outputs import check_no_input, check_output
    from netspace_cli.core.requests.choose_data import data_for, recorded, required_data
    from netspace_cli.core.requests.choose_space import space_for
    from netspace_cli.core.requests.inputs import read_inputs
    from netspace_cli.core.requests.plan import planned_inputs
    from netspace_cli.core.requests.shape_objective import read_target
    from netspace_cli.core.search.lso import decoded_network, goal_of, optimise_towards, optimiser_for
    from netspace_cli.core.search.search import Aim
    from netspace_cli.core.spaces.embeddings import Origin, check_embedding_output, embeddings_of, save_embeddings

    runner = running.runner(console)
    check_no_input([output, decoded], [init, teacher.path, space])
    if output is not None:
        check_embedding_output(output)
        check_output(output, force=force)
    if decoded is not None:
        check_checkpoint_suffix(decoded)
        check_output(decoded, force=force)
    opened = space_for(space, [init], key=key)
    if arch is not None:
        opened.model.architecture(arch)
    data_set: Data = required_data(data_for(opened, data), opened)
    if target is None and isinstance(data_set, FieldData):
        raise click.UsageError("Missing option '--target': networks that are signals have no labels.")
    if teacher.path is not None and target is not None:
        raise click.UsageError("--teacher and --target say both what to become: give one of them.")
    if repair and target is None:
        raise click.UsageError("--repair closes a --target that is a mesh: give one.")
    optimiser = optimiser_for(opened, data_set, method=method, steps=steps, images=images, lr=lr)
    guide = teacher.read(opened.signal)
    shape = None if target is None else read_target(target, opened, runner, repair=repair)
    document: dict[str, Any] = {"space": opened.name, "data": recorded(data_set), "teacher": teacher.path}
    document |= {
        "method": optimiser.method,
        "steps": optimiser.steps,
        "images": optimiser.images,
        "target": target,
        "output": output,
        "decoded": decoded,
    }
    # --arch is what is aimed at here.
    note_ignored(console, [init], data_set, among=("refine", "key"))
    if dry_run:
        (row,) = planned_inputs((init,), opened, data=data_set, refine_steps=refine, key=key)
        wanted = arch or row["arch"]
        _show_plan(console, row, wanted, guide, {**document, "lr": optimiser.rate(opened, wanted)})
        return
    with runner:
        aim: Aim | None = shape
        if isinstance(data_set, ImageData):
            aim = aim or goal_of(opened, data_set, runner, guide)
        assert aim is not None
        (begin,) = read_inputs(
            (init,),
            opened,
            runner,
            data=data_set,
            refine_steps=refine,
            key=key,
        )
        found = optimise_towards(
            aim,
            begin.vector,
            opened,
            optimiser,
            arch=arch or begin.origin.arch,
        )
        network = decoded_network(found, opened, runner, form=begin.origin.form)
        report = runner.report()
    console.cost(report)
    if output is not None:
        origin = Origin(found.arch, begin.origin.form, str(init), begin.origin.sha256, "optimised", found.step)
        save_embeddings(output, embeddings_of(opened, found.embedding[None], [origin]), force=force)
    if decoded is not None:
        write_decoded([network], [decoded], opened, force=force)
    console.table(
        f"best after {found.step} of {optimiser.steps} steps",
        ["", "arch", Column("accuracy" if target is None else "within .01", percent), Column("loss", decimal)],
        [
            ("initial", found.initial.arch, found.initial.accuracy, found.initial.loss),
            ("optimized", found.optimized.arch, found.optimized.accuracy, found.optimized.loss),
        ],
    )
    console.document(
        {
            **document,
            "lr": found.lr,
            "best_step": found.step,
            "initial": found.initial,
            "optimized": found.optimized,
            "history": found.history,
            "report": report,
        }
    )
    if found.step == 0:
        lr = found.lr
        rates = "" if lr is None else f" another --lr ({3 * lr:.2g} or {lr / 3:.2g}), or"
        console.note(f"No step did better than the start on the validation split: give{rates} more --steps.")
    if found.optimized.arch != found.arch:
        console.note(
            f"The space still takes the best embedding for a {found.optimized.arch}, not the {found.arch} aimed at: "
            "give it more --steps or a higher --lr."
        )
    for path in filter(None, (output, decoded)):
        console.note(f"Wrote {path}.")
    if output is None and decoded is None:
        console.note("Nothing was written: -o keeps the embedding, --decode the network.")


def _show_plan(
    console: Console, start: dict[str, Any], arch: str, teacher: Network | None, document: dict[str, Any]
) -> None:
    guide = document["target"] or ("the labels" if teacher is None else teacher.architecture.name)
    console.table(
        "would optimise",
        ["network", "arch", Column("refined", integer), "aim", "towards", Column("steps", integer)],
        [(start["path"], start["arch"], start["refine_steps"], arch, guide, document["steps"])],
    )
    console.document({**document, "input": start, "arch": arch, "dry_run": True})
    for path in filter(None, (document["output"], document["decoded"])):
        console.note(f"{path} would be written.")
