"""The bodies of a closed triangle mesh: which way each faces, and which points are inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import trimesh

# Pairs of a point and a triangle at once.
_CHUNK = 1 << 20


def bodies_of(mesh: trimesh.Trimesh) -> list[np.ndarray]:
    """The faces (their numbers) of each connected part, in the order of their first faces."""
    import trimesh

    labels = trimesh.graph.connected_component_labels(mesh.face_adjacency, node_count=len(mesh.faces))
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return sorted(parts, key=lambda faces: int(faces[0]))


def inside_out(mesh: trimesh.Trimesh) -> list[np.ndarray]:
    """Find the bodies that face the wrong way.

    A body faces inwards where its volume is negative; that is right where it bounds a hollow of others.

    Args:
        mesh: closed, the faces of each body in one direction.
    Returns:
        The faces of each such body, with those of the bodies within it, which turn with it.
    """
    parts = bodies_of(mesh)
    triangles = np.asarray(mesh.triangles)
    volumes = np.linalg.det(triangles) / 6  # of the tetrahedra to the origin
    wrong: list[np.ndarray] = []
    for i, faces in enumerate(parts):
        if volumes[faces].sum() > 0:
            continue
        place = triangles[faces[0]].mean(axis=0)[None]
        others = np.delete(triangles, faces, axis=0)
        if winding_numbers(others, place)[0] > 0.5:
            continue
        within = [p for j, p in enumerate(parts) if j != i and _is_within(triangles[p[0]], triangles[faces])]
        wrong.append(np.concatenate([faces, *within]))
    return wrong


def turn(mesh: trimesh.Trimesh, wrong: Sequence[np.ndarray]) -> None:
    """Turn faces of a mesh around, in place."""
    faces = mesh.faces.copy()
    for each in wrong:
        faces[each] = faces[each, ::-1]
    mesh.faces = faces


def winding_numbers(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How often a surface winds around points: 1 inside a closed one that faces outwards, 0 outside.

    The sum of the triangles' solid angles over 4 pi; each by A. Van Oosterom and J. Strackee, "The Solid Angle of a
    Plane Triangle" (1983), eq. 8.

    Args:
        triangles: (F, 3, 3) corners; points: (N, 3).
    Returns:
        (N,).
    """
    found = np.zeros(len(points))
    if len(triangles) == 0:
        return found
    step = max(1, _CHUNK // len(triangles))
    for start in range(0, len(points), step):
        corners = triangles[None] - points[start : start + step, None, None]  # (n, F, 3, 3)
        a, b, c = (corners[:, :, i] for i in range(3))
        la, lb, lc = np.moveaxis(np.linalg.norm(corners, axis=-1), -1, 0)
        over = np.einsum("nfi,nfi->nf", a, np.cross(b, c))
        under = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        found[start : start + step] = np.arctan2(over, under).sum(1) / (2 * np.pi)
    return found


def _is_within(triangle: np.ndarray, body: np.ndarray) -> bool:
    return bool(abs(winding_numbers(body, triangle.mean(axis=0)[None])[0]) > 0.5)
