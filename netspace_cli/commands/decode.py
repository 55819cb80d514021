"""netspace decode: embeddings in, ready-to-use checkpoints out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer, percent


@click.command()
@click.argument("embedding", type=options.INPUT_FILE)
@options.output(help="The checkpoint (.pt or .safetensors); for several embeddings a directory.")
@click.option("--arch", metavar="NAME", help="Build this architecture. [default: that of the network encoded]")
@click.option("--recognised", is_flag=True, help="Build the architecture the space recognises, as published.")
@click.option("--fused", is_flag=True, help="Write the folded form, without batch norms.")
@options.space
@options.data
@options.force
@options.dry_run
@options.running
@options.shared
def decode(
    embedding: Path,
    output: Path,
    arch: str | None,
    recognised: bool,
    fused: bool,
    space: str | None,
    data: str | None,
    force: bool,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
) -> None:
    """Build the networks that embeddings stand for.

    The checkpoint has the layout of the one that was encoded: its own module loads it with strict=True.

    Example: netspace decode a.emb -o a2.pt
    """
    from netspace_cli.core.data.images import ImageData
    from netspace_cli.core.data.points import FieldData
    from netspace_cli.core.encoding.decode import decode as build
    from netspace_cli.core.encoding.decode import output_paths, write_decoded
    from netspace_cli.core.files.outputs import check_no_input
    from netspace_cli.core.networks.scores import accuracies_on_test
    from netspace_cli.core.requests.choose_data import data_for, no_accuracy, recorded
    from netspace_cli.core.requests.choose_space import space_for
    from netspace_cli.core.spaces.embeddings import check_space, load_embeddings

    if recognised and arch is not None:
        raise click.UsageError("--arch and --recognised say both what is built: give one of them.")
    runner = running.runner(console)
    check_no_input([output], [embedding, space])
    embeddings = load_embeddings(embedding)
    opened = space_for(space, [embedding])
    check_space(embedding, embeddings, opened)
    paths = output_paths(output, embeddings, force=force)
    images = data_for(opened, data)
    with runner:
        form: Any = "fused" if fused else None
        networks = build(embeddings, opened, runner, arch=arch, recognised=recognised, form=form)
        accuracies = (
            accuracies_on_test(networks, images, runner) if isinstance(images, ImageData) else [None] * len(networks)
        )
    rows: list[dict[str, Any]] = [
        {"arch": n.architecture.name, "parameters": n.architecture.parameters, "path": path}
        | ({} if found is None else {"accuracy": found})
        for n, path, found in zip(networks, paths, accuracies, strict=True)
    ]
    if not dry_run:
        write_decoded(networks, paths, opened, force=force)
    columns: list[str | Column] = ["network", "arch", Column("parameters", integer)]
    cells = [[r["path"], r["arch"], r["parameters"]] for r in rows]
    if not isinstance(images, FieldData):
        columns.append(Column("accuracy", percent))
        cells = [[*each, r.get("accuracy")] for each, r in zip(cells, rows, strict=True)]
    console.table(f"{opened.name}: decoded", columns, cells)
    console.document({"networks": rows, "space": opened.name, "data": recorded(images), "dry_run": dry_run})
    if images is None:
        console.note(no_accuracy(opened))
    console.note(f"{output} would be written." if dry_run else f"Wrote {output}.")
