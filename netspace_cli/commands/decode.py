"""netspace decode: embeddings in, checkpoints out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer
from netspace_cli.views.view import view_of

if TYPE_CHECKING:
    from netspace_cli.core.requests.decode import DecodeTask


@click.command()
@click.argument("embedding", type=options.INPUT_FILE)
@options.output(help="Checkpoint (.pt or .safetensors); a directory for several embeddings.")
@click.option("--arch", metavar="NAME", help="Architecture to build. [default: that of the encoded network]")
@click.option("--recognised", is_flag=True, help="Build the architecture that the space recognises, as published.")
@click.option(
    "--start", type=click.IntRange(min=0), default=0, metavar="N", help="Number of the starting point to decode from."
)
@click.option(
    "--members",
    type=click.IntRange(min=1),
    metavar="N",
    help="Decode each embedding from the first N starting points, into a directory.",
)
@click.option("--fused", is_flag=True, help="Write the folded network, without batch norms.")
@options.space
@options.data
@options.force
@options.dry_run
@options.running
@options.shared
def decode(
    fused: bool,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Build networks from embeddings.

    The checkpoint has the same layout as the encoded one, so its module loads it with strict=True.

    Example: netspace decode a.emb -o a2.pt
    """
    from netspace_cli.core.requests.decode import DecodeRequest

    runner = running.runner(console)
    task = DecodeRequest(**asked, form="fused" if fused else None).prepare()
    together: list[dict[str, Any]] | None = None
    with runner:
        networks = task.run(runner)
        if task.request.members is None:
            rows = task.rows(networks, runner)
        else:
            rows, together = task.ensembles(networks, runner)
    if not dry_run:
        task.write(networks)
    _show(console, task, rows, together, dry_run=dry_run)


def _show(
    console: Console,
    task: DecodeTask,
    rows: list[dict[str, Any]],
    together: list[dict[str, Any]] | None,
    *,
    dry_run: bool,
) -> None:
    from netspace_cli.core.requests.choose_data import missing_images_note

    output = task.request.output
    more = [*([] if together is None else [("start", Column("start", integer))]), *view_of(task.space.kind).decoded]
    console.table(
        f"{task.space.name}: decoded",
        ["network", "arch", Column("parameters", integer), *(column for _, column in more)],
        [(row["path"], row["arch"], row["parameters"], *(row.get(name) for name, _ in more)) for row in rows],
    )
    if together is not None and task.data is not None:
        _show_ensembles(console, task, together)
    ensembles = {} if together is None else {"ensembles": together}
    console.document({"networks": rows, **ensembles, **task.record(), "dry_run": dry_run})
    if task.data is None:
        console.note(missing_images_note(task.space))
    console.note(f"{output} would be written." if dry_run else f"Wrote {output}.")


def _show_ensembles(console: Console, task: DecodeTask, together: list[dict[str, Any]]) -> None:
    score, key = view_of(task.space.kind).score, task.space.io.problem.key
    console.table(
        "members of each embedding together",
        ["embedding of", Column("members", integer), score, Column("agreement", score.show)],
        [(row["source"], row["members"], row[key], row.get("agreement")) for row in together],
    )
