"""netspace inspect: what a file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import normalised
from netspace_cli.terminal.console import Console


@click.command()
@click.argument("file", type=options.PATH_OR_NAME, metavar="FILE|NAME")
@options.arch
@options.key
@click.option("--data", metavar="SPEC", help="Images (as for zoo train) that decide which architecture a network has.")
@normalised()
@options.threads
@options.shared
def inspect(file: Path, console: Console, **asked: Any) -> None:
    """Show what FILE is (a checkpoint, an embedding, a space, a zoo, images or a table) and what it holds.

    NAME is the name of a built-in space. With images, a checkpoint's network is scored, too.

    Example: netspace inspect lenet.pt
    """
    from netspace_cli.core.requests.inspect import inspect as look

    found = look(file, **asked)
    rows = [(name, value) for name, value in found.items() if not isinstance(value, list | dict)]
    for name, value in found.items():
        if isinstance(value, list):
            rows += [(name, ", ".join(f"{k}={v}" for k, v in v.items()) if isinstance(v, dict) else v) for v in value]
        elif isinstance(value, dict):
            rows += [(f"{name}.{k}", v) for k, v in value.items()]
    console.table(str(file), ["what", "value"], rows)
    console.document(found)
