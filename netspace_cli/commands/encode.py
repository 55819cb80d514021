"""netspace encode: checkpoints in, embeddings out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer, percent
from netspace_cli.views.evaluate_fields import OF_SIGNALS, note_poor


@click.command()
@click.argument("networks", nargs=-1, required=True, type=options.INPUT_FILE, metavar="CHECKPOINT...")
@options.output(help="Where the embeddings go (.emb).")
@options.refine
@options.space
@options.data
@options.arch
@options.key
@options.force
@options.dry_run
@options.running
@options.shared
def encode(
    networks: tuple[Path, ...],
    output: Path,
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
    """Embed trained networks.

    With images at hand the embeddings are refined, and the predicted instances are scored beside their
    targets on the test split. Networks that are signals need no images: points are always at hand.

    Example: netspace encode lenet.pt resnet32.pt -o two.emb
    """
    from netspace_cli.core.data.points import FieldData
    from netspace_cli.core.encoding.encode import default_refine_steps
    from netspace_cli.core.encoding.encode import encode as embed
    from netspace_cli.core.encoding.fidelity import fidelities
    from netspace_cli.core.encoding.refine import check_refining
    from netspace_cli.core.files.outputs import check_no_input, check_output
    from netspace_cli.core.requests.choose_data import data_for, no_accuracy, recorded
    from netspace_cli.core.requests.choose_space import space_for
    from netspace_cli.core.requests.inputs import read_networks
    from netspace_cli.core.spaces.embeddings import check_embedding_output, save_embeddings

    runner = running.runner(console)
    check_embedding_output(output)
    check_no_input([output], [*networks, space])
    check_output(output, force=force)
    opened = space_for(space, networks, arch=arch, key=key)
    read = read_networks(networks, opened, arch=arch, key=key)
    for network in read:
        for note in network.notes:
            console.detail(f"{network.source}: {note}")
    images = data_for(opened, data)
    steps = default_refine_steps(opened, images) if refine is None else refine
    check_refining(opened, images, steps)
    rows: list[dict[str, Any]] = [
        {
            "path": n.source,
            "arch": n.architecture.name,
            "parameters": n.architecture.parameters,
            "embedding_size": opened.model.embedding_size,
            "refine_steps": steps,
        }
        for n in read
    ]
    if not dry_run:
        with runner:
            embeddings = embed(read, opened, runner, data=images, refine_steps=steps)
            if images is not None:
                for row, found in zip(rows, fidelities(read, embeddings, opened, images, runner), strict=True):
                    row |= vars(found)
            console.cost(runner.report())
        save_embeddings(output, embeddings, force=force)
    title = f"{opened.name}: {'would be ' if dry_run else ''}{'refined' if steps else 'encoded'}"
    _show(console, rows, title, signals=isinstance(images, FieldData))
    for row in rows:
        note_poor(console, row)
        if row.get("predicted_arch", row["arch"]) != row["arch"]:
            console.note(
                f"{row['path']}: the space takes this embedding for a {row['predicted_arch']}, not a {row['arch']}; "
                "it is decoded as it was encoded all the same. Refining (--refine) brings it nearer."
            )
    console.document(
        {
            "networks": rows,
            "space": opened.name,
            "space_sha256": opened.sha256,
            "data": recorded(images),
            "output": output,
            "dry_run": dry_run,
        }
    )
    if images is None:
        console.note(no_accuracy(opened))
    console.note(f"{output} would be written." if dry_run else f"Wrote {output}.")


# How predicted instances of classifiers compare with their targets.
OF_CLASSIFIERS = (
    ("target_accuracy", Column("target", percent)),
    ("predicted_accuracy", Column("predicted", percent)),
    ("agreement", Column("agreement", percent)),
)


def _show(console: Console, rows: list[dict[str, Any]], title: str, *, signals: bool) -> None:
    measures = OF_SIGNALS if signals else OF_CLASSIFIERS
    console.table(
        title,
        [
            "network",
            "arch",
            Column("parameters", integer),
            Column("embedding", integer),
            Column("refined", integer),
            *(column for _, column in measures),
        ],
        [
            (
                r["path"],
                r["arch"],
                r["parameters"],
                r["embedding_size"],
                r["refine_steps"],
                *(r.get(name) for name, _ in measures),
            )
            for r in rows
        ],
    )
