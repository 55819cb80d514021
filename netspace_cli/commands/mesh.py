"""netspace mesh: the surface of a network that is a shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netspace_cli import options
from netspace_cli.console import Column, Console, integer, percent


@click.command()
@click.argument("networks", nargs=-1, required=True, type=options.INPUT_FILE, metavar="NETWORK...")
@options.output(help="A mesh (.ply, .obj, .stl, .off, .glb) of one network, or a picture (.png, .svg, .pdf) of all.")
@click.option(
    "--resolution", type=click.IntRange(min=4), default=64, show_default=True, help="Cells along each axis of the box."
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
    resolution: int,
    space: str | None,
    arch: str | None,
    key: str | None,
    force: bool,
    running: options.RunnerOptions,
    console: Console,
) -> None:
    """Extract and draw the surface of NETWORK: a checkpoint as it is, or what an embedding decodes to.

    Example: netspace mesh chair.pt -o chair.ply
    """
    from netspace_cli.core.checks import check_no_input
    from netspace_cli.core.fields.drawing import draw_surfaces
    from netspace_cli.core.fields.inputs import read_shapes
    from netspace_cli.core.fields.meshes import check_mesh_extra
    from netspace_cli.core.fields.surface import check_surface_output, solid_of, surface_of, write_surface
    from netspace_cli.core.files import check_output

    runner = running.runner()
    check_no_input([output], [*networks, space])
    check_output(output, force=force)
    check_surface_output(output, len(networks))
    check_mesh_extra()
    rows: list[dict[str, Any]] = []
    surfaces = []
    with runner:
        shapes = read_shapes(networks, space, runner, arch=arch, key=key)
        drawn = check_surface_output(output, len(shapes))
        for shape in shapes:
            solid = solid_of(shape, runner, resolution=resolution)
            surface = surface_of(solid, shape.source) if solid.has_surface or not drawn else None
            surfaces.append((Path(shape.source).stem, surface))
            faces = 0 if surface is None else len(surface.faces)
            rows.append({"path": shape.source, "volume": solid.volume, "pieces": solid.pieces, "faces": faces})
        report = runner.report()
    if drawn:
        draw_surfaces(output, [("", surfaces)], force=force)
    else:
        ((_, only),) = surfaces
        assert only is not None  # an only shape without a surface was refused
        write_surface(output, only, force=force)
    console.table(
        f"at {resolution} cells along each axis",
        ["network", Column("volume", percent), Column("pieces", integer), Column("faces", integer)],
        [tuple(row.values()) for row in rows],
    )
    console.document({"networks": rows, "output": output, "resolution": resolution, "report": report})
    for row in rows:
        if not row["faces"]:
            console.note(f"{row['path']}: no surface: its place in the picture is empty.")
    console.note(f"Wrote {output}.")
