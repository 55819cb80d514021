"""From a scan to a network: how much of a chair comes back from points of its surface, with normals and without.

python examples/scan.py [scanned chair] [chair to begin from]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
import trimesh

from netspace_cli import Network, Runner, Space, encode, load_space, read_network
from netspace_cli.core.data.points import grid_points
from netspace_cli.core.requests.choose_data import choose_data, require_data
from netspace_cli.core.search.lso import decoded_network, optimise_towards, optimiser_for
from netspace_cli.core.search.shape_objectives import objective_of_scan
from netspace_cli.core.shapes.mesh_files import surface_of
from netspace_cli.core.shapes.scans import Scan
from netspace_cli.core.shapes.solids import solid_of
from netspace_cli.core.shapes.values import iou, values_of

SHAPES = Path(__file__).parent / "shapes"
POINTS, RESOLUTION = 20_000, 48
SEEN_FROM = (1.0, 0.5, 0.7)


def scans_of(network: Network, runner: Runner) -> dict[str, Scan]:
    """Points of a network's surface: of all of it, or of what faces one direction; with normals or without."""
    surface = surface_of(solid_of(network, runner, resolution=RESOLUTION), network.source)
    points, faces = trimesh.sample.sample_surface(surface, POINTS, seed=0)
    normals = surface.face_normals[faces]
    seen = normals @ np.array(SEEN_FROM) > 0
    found = {}
    for side, kept in (("all around", np.ones_like(seen)), ("one side", seen)):
        placed, towards = (torch.from_numpy(np.asarray(rows[kept], dtype=np.float32)) for rows in (points, normals))
        found[f"{side}, points alone"] = Scan(placed)
        found[f"{side}, with normals"] = Scan(placed, towards)
    return found


def overlap(network: Network, other: Network, runner: Runner) -> float:
    """Intersection over union of two shapes on 64 x 64 x 64 voxels."""
    points = grid_points(3, 64)
    values = [values_of(each.architecture, each.weights, points, runner) for each in (network, other)]
    return iou(values[0], values[1]) or 0.0


def main(scanned: Path, begin: Path) -> None:
    """Prints, for each scan, the share of its points that the found surface is within 0.01 of, and the overlap."""
    space: Space = load_space("shapes")
    data = require_data(choose_data(space, None), space)
    with Runner("auto", seed=0) as runner:
        target, start = (read_network(path, candidates=space.architectures) for path in (scanned, begin))
        embedding = encode([start], space, runner, data=data, refine_steps=space.recipe.refine.steps).vectors[0]
        print(f"{begin.name} overlaps {scanned.name} by {overlap(start, target, runner):.3f}")
        for name, scan in scans_of(target, runner).items():
            clock = time.perf_counter()
            found = optimise_towards(objective_of_scan(scan, runner), embedding, space, optimiser_for(space))
            seconds = time.perf_counter() - clock
            share = overlap(decoded_network(found, space, runner), target, runner)
            print(
                f"{name}: {len(scan.points):,} points, {100 * found.initial.accuracy:.1f} to "
                f"{100 * found.optimised.accuracy:.1f} % within 0.01, overlap {share:.3f}, {seconds:.0f} s"
            )


if __name__ == "__main__":
    given = [Path(path) for path in sys.argv[1:]]
    main(*(given or [SHAPES / "chair-b.pt", SHAPES / "chair-c.pt"]))
