"""netspace prep: a network's parameters as the PRep itself."""

from __future__ import annotations

from pathlib import Path

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer


@click.command()
@click.argument("network", type=options.INPUT_FILE)
@options.output(help="A .npy array, or a .png picture.")
@click.option("--height", type=click.IntRange(min=1), help="Rows. [default: the lowest published height that fits]")
@click.option("--width", type=click.IntRange(min=1), default=10_000, show_default=True, help="Columns.")
@options.space
@options.arch
@options.key
@options.force
@options.dry_run
@options.shared
def prep(
    network: Path,
    output: Path,
    height: int | None,
    width: int,
    space: str | None,
    arch: str | None,
    key: str | None,
    force: bool,
    dry_run: bool,
    console: Console,
) -> None:
    """Write a network's PRep: its parameters in order, batch norm folded, row after row.

    --space is only for recognising a network whose images have an unusual size.

    Example: netspace prep resnet8.pt -o resnet8.png
    """
    from netspace_cli.core.files.outputs import check_no_input, check_output
    from netspace_cli.core.networks.prep_files import check_prep, write_prep
    from netspace_cli.core.requests.reader import CheckpointReader
    from netspace_cli.core.spaces.built_in import built_in_architectures
    from netspace_cli.core.spaces.space import load_space

    check_no_input([output], [network, space])
    check_output(output, force=force)
    candidates = built_in_architectures() if space is None else load_space(space).architectures
    read = CheckpointReader(arch, key).network(network, candidates=candidates)
    make = check_prep if dry_run else write_prep
    shape = make(read, output, height=height, width=width, force=force)
    console.table(
        "PRep",
        ["network", "arch", Column("parameters", integer), "height", "width", "output"],
        [(network, read.architecture.name, read.architecture.parameter_count, *shape, output)],
    )
    console.document(
        {
            "path": network,
            "arch": read.architecture.name,
            "parameters": read.architecture.parameter_count,
            "height": shape[0],
            "width": shape[1],
            "output": output,
            "dry_run": dry_run,
        }
    )
    if dry_run:
        console.note(f"{output} would be written.")
