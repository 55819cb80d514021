"""The figure of a merge: a marker for each way, and those far below it on its edge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netspace_cli.core.merging.merge import Merged, merge
from netspace_cli.core.merging.merge_figure import MARKERS, plot_merged
from netspace_cli.core.merging.plan import WAYS, MergePlan
from netspace_cli.core.merging.ways import Way
from netspace_cli.core.runtime.runner import Runner
from tests.worlds import Tiny


@pytest.fixture(scope="module")
def found(tiny: Tiny) -> Merged:
    """Of the mean of two networks."""
    (architecture,) = tiny.single_zoo.architectures()
    members = [tiny.single_zoo.network(i, architecture) for i in tiny.single_zoo.instances[:3]]
    return merge(members, tiny.data, Runner("cpu"), plan=MergePlan(method="mean", choose_members=False))


def drawn(found: Merged, path: Path, *ways: Way) -> str:
    """The figure with these ways and members of .9, as SVG."""
    plot_merged(path, replace(found, ways=ways, accuracies=(0.9,) * len(found.accuracies)))
    return path.read_text()


def scored(found: Merged, name: str, test: float) -> Way:
    way = found.way(name)
    assert way is not None
    return replace(way, scores=replace(way.scores, test=test), seconds=0.0)


def test_every_way_has_a_marker_of_its_own() -> None:
    assert len(set(MARKERS)) >= len(WAYS)


def test_the_legend_says_which_ways_are_drawn_too_high(found: Merged, tmp_path: Path) -> None:
    low = scored(found, "mean", 0.01)
    ways = (scored(found, "best", 0.9), low, replace(low, name="aligned-mean", chosen=False))
    picture = drawn(found, tmp_path / "a.svg", *ways)
    for label in ("best, 90.0", "mean, 1.0 (chosen, below)", "aligned-mean, 1.0 (below)"):
        assert picture.count(f"<!-- {label} -->") == 1
