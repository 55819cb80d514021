"""netspace encode: checkpoints in, embeddings out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import normalised, workers
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer
from netspace_cli.views.view import View, view_of

if TYPE_CHECKING:
    from netspace_cli.core.requests.encode import EncodeTask


@click.command()
@click.argument("networks", nargs=-1, required=True, type=options.INPUT_FILE, metavar="CHECKPOINT...")
@options.output(help="File for the embeddings (.emb).")
@options.refine
@options.space
@options.data
@normalised("refused where it is not the space's: ", default="the space's")
@options.arch
@options.key
@workers
@options.force
@options.dry_run
@options.running
@options.shared
def encode(
    refine: int | None,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Embed trained networks.

    If the images are available, the embeddings are refined, and the predicted instances are scored on the test
    split beside their targets. Neural fields need no images.

    Example: netspace encode lenet.pt resnet32.pt -o two.emb
    """
    from netspace_cli.core.requests.encode import EncodeRequest

    runner = running.shared_by(asked["workers"], asked["cluster"]).runner(console)
    task = EncodeRequest(**asked, refine_steps=refine).prepare()
    for network in task.networks:
        for note in network.notes:
            console.detail(f"{network.source}: {note}")
    undivided = task.undivided(runner)
    if undivided is not None:
        console.note(undivided)
    rows = task.rows()
    if not dry_run:
        with runner:
            rows = task.run(runner)
            console.cost(runner.report())
    _show(console, task, rows, dry_run=dry_run)


def _show(console: Console, task: EncodeTask, rows: list[dict[str, Any]], *, dry_run: bool) -> None:
    from netspace_cli.core.requests.choose_data import missing_images_note

    view, output = view_of(task.space.kind), task.request.output
    title = f"{task.space.name}: {'would be ' if dry_run else ''}{'refined' if task.refine_steps else 'encoded'}"
    _show_rows(console, view, rows, title)
    for row in rows:
        view.note_fidelity(console, row)
        if row.get("predicted_arch", row["arch"]) != row["arch"]:
            console.note(
                f"{row['path']}: the space recognises this embedding as {row['predicted_arch']}, not {row['arch']}. "
                f"`netspace decode` builds {row['arch']} all the same. More --refine steps bring the embedding nearer."
            )
    console.document({"networks": rows, **task.record(), "dry_run": dry_run})
    if task.data is None:
        console.note(missing_images_note(task.space))
    console.note(f"{output} would be written." if dry_run else f"Wrote {output}.")


def _show_rows(console: Console, view: View, rows: list[dict[str, Any]], title: str) -> None:
    known = ("path", "arch", "parameters", "embedding_size", "refine_steps")
    console.table(
        title,
        [
            "network",
            "arch",
            Column("parameters", integer),
            Column("embedding", integer),
            Column("refined", integer),
            *(column for _, column in view.fidelity),
        ],
        [(*(row[name] for name in known), *(row.get(name) for name, _ in view.fidelity)) for row in rows],
    )
