"""Fragments of a solid: which components they are, and the distances without them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from netspace_cli.core.shapes.components import distances_without_fragments, fragments_of, without_fragments

SIDES = 32
SIDE = 2 / SIDES
AXES = np.meshgrid(*[(np.arange(SIDES) + 0.5) * SIDE - 1] * 3, indexing="ij")


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """Signed distances."""
    return np.sqrt(sum((x - c) ** 2 for x, c in zip(AXES, centre, strict=True))) - radius


LARGE, MIDDLE, SMALL = ball((-0.4, 0, 0), 0.45), ball((0.55, 0.5, 0), 0.3), ball((0.5, -0.5, 0), 0.12)


def test_large_components_stay_and_fragments_go() -> None:
    inside = np.minimum.reduce([LARGE, MIDDLE, SMALL]) < 0
    assert ndimage.label(inside)[1] == 3
    assert (without_fragments(inside) == (np.minimum(LARGE, MIDDLE) < 0)).all(), (
        "two shapes may be meant, a fragment is not"
    )
    assert (without_fragments(SMALL < 0) == (SMALL < 0)).all(), "what is alone is no fragment"
    assert not without_fragments(np.zeros((4, 4), dtype=bool)).any()
    assert (fragments_of(inside) == (SMALL < 0)).all()


def test_fragments_that_are_meant_stay() -> None:
    other = ball((0.5, 0.5, 0.5), 0.1)
    values = np.minimum.reduce([LARGE, SMALL, other])
    meant = other < 0
    assert (without_fragments(values < 0, meant) == (np.minimum(LARGE, other) < 0)).all()
    assert (without_fragments(values < 0, LARGE > 0.9) == (LARGE < 0)).all(), "where nothing is, nothing is meant"
    found = distances_without_fragments(values, np.minimum(LARGE, other), SIDE, meant=meant)
    assert ((found < 0) == (np.minimum(LARGE, other) < 0)).all()


def test_distances_are_those_to_what_is_left() -> None:
    found = distances_without_fragments(np.minimum(LARGE, SMALL), LARGE, SIDE)
    assert ((found < 0) == (LARGE < 0)).all()
    assert np.abs(found - LARGE).max() < SIDE
    assert (found[LARGE < 0] == LARGE[LARGE < 0]).all()


@pytest.mark.parametrize("depth", [0.01, 0.05])
def test_what_is_nearly_a_solid_is_lifted(depth: float) -> None:
    # No voxel of the small ball is inside, but its values are far below the distance to the large one.
    nearly = np.minimum(LARGE, SMALL + 0.12 + depth)
    assert np.abs(distances_without_fragments(nearly, LARGE, SIDE) - LARGE).max() < SIDE
    half = distances_without_fragments(nearly, (nearly + LARGE) / 2, SIDE)
    assert (half <= (nearly + LARGE) / 2 + 1e-9).all() and half.sum() > nearly.sum()


def test_a_fragment_goes_though_its_ceiling_is_below_zero() -> None:
    values = np.minimum(LARGE, SMALL)
    found = distances_without_fragments(values, values, SIDE)
    assert ((found < 0) == (LARGE < 0)).all() and found[SMALL < 0].min() == SIDE / 2


def test_where_nothing_is_inside_nothing_changes() -> None:
    assert (distances_without_fragments(SMALL + 1, LARGE, SIDE) == SMALL + 1).all()
