"""netspace mesh: draw the surface of a shape, or the pixels of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.unused_options import note_unused
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.requests.mesh import Pictures, Surfaces


@click.command()
@click.argument("networks", nargs=-1, required=True, type=options.INPUT_FILE, metavar="NETWORK...")
@options.output(help="Mesh (.ply, .obj, .stl, .off, .glb) of one network, or picture (.png, .svg, .pdf) of all.")
@click.option(
    "--resolution",
    type=click.IntRange(min=4),
    help="Voxels or pixels along each axis. [default: 64; for pictures 128]",
)
@options.space
@options.arch
@options.key
@options.force
@options.running
@options.shared
def mesh(running: options.RunnerOptions, console: Console, **asked: Any) -> None:
    """Extract or draw the surface of NETWORK, a checkpoint or an embedding of a shape.

    An embedding is decoded first. Networks that are pictures are drawn too: one as a .png of --resolution pixels a
    side, several in a row.

    Example: netspace mesh chair.pt -o chair.ply
    """
    from netspace_cli.core.requests.mesh import MeshRequest, Surfaces

    runner = running.runner(console)
    request = MeshRequest(**asked)
    task = request.prepare()
    note_unused(console, request.networks, None, among=("arch", "key"))
    with runner:
        drawn = task.run(runner)
        report = runner.report()
    if isinstance(drawn, Surfaces):
        _show_surfaces(console, drawn)
    else:
        _show_pictures(console, drawn)
    shown = {"networks": [vars(row) for row in drawn.rows], "resolution": drawn.resolution}
    console.document({**shown, "output": request.output, "report": report})
    console.note(f"Wrote {request.output}.")


def _show_surfaces(console: Console, drawn: Surfaces) -> None:
    console.table(
        f"at {drawn.resolution} voxels along each axis",
        ["network", Column("volume", percent), Column("pieces", integer), Column("faces", integer)],
        [(row.path, row.volume, row.pieces, row.faces) for row in drawn.rows],
    )
    for note in drawn.notes:
        console.note(note)


def _show_pictures(console: Console, drawn: Pictures) -> None:
    console.table(
        f"at {drawn.resolution} pixels along each side",
        ["network", Column("channels", integer), Column("brightness", percent)],
        [(row.path, row.channels, row.brightness) for row in drawn.rows],
    )
