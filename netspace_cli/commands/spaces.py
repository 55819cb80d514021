"""netspace spaces: what comes with netspace."""

from __future__ import annotations

import click

from netspace_cli import options
from netspace_cli.console import Column, Console, integer


@click.command()
@options.shared
def spaces(console: Console) -> None:
    """List the built-in spaces.

    Example: netspace spaces
    """
    from netspace_cli.core.inspect import describe_built_in

    found = describe_built_in()
    console.table(
        "built-in spaces",
        ["name", "data", "architectures", Column("embedding", integer), "zoo", Column("bytes", integer)],
        [
            (
                s["name"],
                s["data"],
                ", ".join(s["architectures"]),
                s["embedding_size"],
                s["instances"],
                s["bytes"],
            )
            for s in found
        ],
    )
    console.document({"spaces": found})
    if not found:
        console.note("No space is built in. `netspace train` makes one; --space PATH uses it.")
