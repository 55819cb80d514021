"""netspace mesh: the surface of a network that is a shape, or the pixels of one that is a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.unused_options import note_unused
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.networks.network import Network
    from netspace_cli.core.runtime.runner import Runner

CELLS = 64


@click.command()
@click.argument("networks", nargs=-1, required=True, type=options.INPUT_FILE, metavar="NETWORK...")
@options.output(help="A mesh (.ply, .obj, .stl, .off, .glb) of one network, or a picture (.png, .svg, .pdf) of all.")
@click.option(
    "--resolution", type=click.IntRange(min=4), help="Cells along each axis of the box. [default: 64; of pictures 128]"
)
@options.space
@options.arch
@options.key
@options.force
@options.running
@options.shared
def mesh(
    networks: tuple[Path, ...],
    output: Path,
    resolution: int | None,
    space: str | None,
    arch: str | None,
    key: str | None,
    force: bool,
    running: options.RunnerOptions,
    console: Console,
) -> None:
    """Extract and draw the surface of NETWORK: a checkpoint as it is, or what an embedding decodes to.

    Networks that are pictures are drawn too: one as .png of so many pixels, several in a row.

    Example: netspace mesh chair.pt -o chair.ply
    """
    from netspace_cli.core.files.outputs import check_no_input, check_output
    from netspace_cli.core.requests.fields import read_fields
    from netspace_cli.core.shapes.mesh_files import check_surface_output
    from netspace_cli.core.shapes.rendered_pictures import is_picture

    runner = running.runner(console)
    check_no_input([output], [*networks, space])
    check_output(output, force=force)
    check_surface_output(output, len(networks))
    note_unused(console, networks, None, among=("arch", "key"))
    with runner:
        fields = read_fields(networks, space, runner, arch=arch, key=key)
        show = _show_pictures if all(is_picture(f.architecture.io) for f in fields) else _show_surfaces
        document = show(console, fields, output, resolution, runner, force=force)
        report = runner.report()
    console.document({**document, "output": output, "report": report})
    console.note(f"Wrote {output}.")


def _show_surfaces(
    console: Console, shapes: list[Network], output: Path, resolution: int | None, runner: Runner, *, force: bool
) -> dict[str, Any]:
    from netspace_cli.core.shapes.drawing import draw_surfaces
    from netspace_cli.core.shapes.mesh_files import check_surface_output, surface_of, write_surface
    from netspace_cli.core.shapes.meshes import check_mesh_extra
    from netspace_cli.core.shapes.solids import solid_of

    check_mesh_extra()
    drawn = check_surface_output(output, len(shapes))
    resolution = resolution or CELLS
    rows: list[dict[str, Any]] = []
    surfaces, notes = [], []
    for shape in shapes:
        solid = solid_of(shape, runner, resolution=resolution)
        surface = solid.lack if solid.lack and drawn else surface_of(solid, shape.source)
        surfaces.append((Path(shape.source).stem, surface))
        faces = 0 if isinstance(surface, str) else len(surface.faces)
        rows.append({"path": shape.source, "volume": solid.volume, "pieces": solid.pieces, "faces": faces})
        if solid.lack:
            notes.append(f"{shape.source}: {solid.lack}, as its place in the picture says.")
        elif solid.cut_by_box:
            notes.append(f"{shape.source}: the solid reaches the side of the box, and is closed there.")
    if drawn:
        draw_surfaces(output, [("", surfaces)], force=force)
    else:
        ((_, only),) = surfaces
        assert not isinstance(only, str)  # an only shape without a surface was refused
        write_surface(output, only, force=force)
    console.table(
        f"at {resolution} cells along each axis",
        ["network", Column("volume", percent), Column("pieces", integer), Column("faces", integer)],
        [tuple(row.values()) for row in rows],
    )
    for note in notes:
        console.note(note)
    return {"networks": rows, "resolution": resolution}


def _show_pictures(
    console: Console, pictures: list[Network], output: Path, resolution: int | None, runner: Runner, *, force: bool
) -> dict[str, Any]:
    from netspace_cli.core.shapes.drawing import draw_pictures
    from netspace_cli.core.shapes.rendered_pictures import (
        RESOLUTION,
        check_picture_output,
        render_picture,
        write_picture,
    )

    alone = check_picture_output(output, len(pictures))
    resolution = resolution or RESOLUTION
    frames = [render_picture(picture, runner, resolution=resolution) for picture in pictures]
    if alone:
        write_picture(output, frames[0], force=force)
    else:
        named = [(Path(picture.source).stem, frame) for picture, frame in zip(pictures, frames, strict=True)]
        draw_pictures(output, [("", named)], force=force)
    rows = [
        {"path": picture.source, "channels": frame.channels, "brightness": frame.brightness}
        for picture, frame in zip(pictures, frames, strict=True)
    ]
    console.table(
        f"at {resolution} pixels along each side",
        ["network", Column("channels", integer), Column("brightness", percent)],
        [tuple(row.values()) for row in rows],
    )
    return {"networks": rows, "resolution": resolution}
