"""netspace spaces: the built-in spaces."""

from __future__ import annotations

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer


@click.command()
@click.argument("name", required=False)
@options.shared
def spaces(name: str | None, console: Console) -> None:
    """List the built-in spaces, or show the card of one: how it was made, and how well it works.

    Example: netspace spaces digits
    """
    if name is None:
        _list(console)
    else:
        _show_card(name, console)


def _list(console: Console) -> None:
    from netspace_cli.core.requests.inspect import describe_built_in

    found = describe_built_in()
    console.table(
        "built-in spaces",
        [
            "name",
            "data",
            "architectures",
            Column("embedding", integer),
            Column("starts", integer),
            "zoo",
            Column("bytes", integer),
        ],
        [
            (
                s["name"],
                s["data"],
                ", ".join(s["architectures"]),
                s["embedding_size"],
                s.get("starts", 1),
                s["instances"],
                s["bytes"],
            )
            for s in found
        ],
    )
    console.document({"spaces": found})
    if not found:
        console.note("There are no built-in spaces. `netspace train` makes a space; --space PATH uses it.")


def _show_card(name: str, console: Console) -> None:
    from netspace_cli.core.spaces.built_in import space_card

    card = space_card(name)
    console.markdown(card)
    console.document({"name": name, "card": card})
