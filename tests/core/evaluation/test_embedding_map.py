"""Maps of embeddings: what lies over them has no part in making them, and what is not known is not coloured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import ImageIO
from netspace_models.errors import ConfigError

from netspace_cli.core.evaluation.embedding_map import MapPoint, embedding_map, point_of
from netspace_cli.core.evaluation.map_figure import colouring_of, plot_map


def named(count: int, **known: Any) -> list[MapPoint]:
    return [replace(MapPoint(f"n{i}", "lenetlike", "train", 0.5 + i / 100, i), **known) for i in range(count)]


@pytest.fixture
def embeddings() -> torch.Tensor:
    """Twelve, of which the first three values vary most, in this order."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 6, generator=generator) * torch.tensor([9.0, 3.0, 1.0, 0.1, 0.1, 0.1])


def test_distances_along_the_largest_directions_are_kept(embeddings: torch.Tensor) -> None:
    flat = torch.cat([embeddings[:, :2], torch.zeros(12, 4)], dim=1)
    found = embedding_map(named(12), flat)
    places = torch.tensor([[point.x, point.y] for point in found.points], dtype=torch.float64)
    torch.testing.assert_close(torch.cdist(places, places), torch.cdist(flat, flat).double(), atol=1e-4, rtol=1e-4)
    assert found.explained is not None and sum(found.explained) == pytest.approx(1)
    assert [point.id for point in found.points] == [f"n{i}" for i in range(12)]


def test_what_is_drawn_over_a_map_does_not_move_it(embeddings: torch.Tensor) -> None:
    alone = embedding_map(named(12), embeddings)
    over = MapPoint("far", "lenetlike", over="samples")
    both = embedding_map([*named(12), over], torch.cat([embeddings, 100 * embeddings[:1]]))
    for one, other in zip(both.points[:12], alone.points, strict=True):
        assert (one.x, one.y) == pytest.approx((other.x, other.y))
    assert both.explained == pytest.approx(alone.explained)
    assert max(abs(both.points[12].x), abs(both.points[12].y)) > 50


def test_few_or_equal_embeddings_are_refused(embeddings: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="a map needs 3 embeddings; there are 2"):
        embedding_map(named(2), embeddings[:2])
    with pytest.raises(ConfigError, match="all 3 embeddings are equal"):
        embedding_map(named(3), embeddings[:1].expand(3, -1))


def test_colours_are_those_that_fit(embeddings: torch.Tensor) -> None:
    assert colouring_of(named(3)) == "accuracy"
    assert colouring_of([*named(3), *named(1, arch="resnet8")]) == "arch"
    assert colouring_of(named(3, accuracy=None)) == "split"
    assert colouring_of(named(3), "epochs") == "epochs"
    unknown = [*named(2), MapPoint("a", "lenetlike", "train"), MapPoint("b", "lenetlike", over="samples")]
    with pytest.raises(ConfigError, match="epochs is not recorded for 1 of 3 networks"):
        colouring_of(unknown, "epochs")


def test_a_point_says_what_is_recorded() -> None:
    record = {"id": "a", "arch": "siren", "split": "val", "accuracy": {"test": 0.9}, "sha256": "0"}
    assert point_of(record).row() == {"id": "a", "arch": "siren", "split": "val", "accuracy": 0.9, "x": 0.0, "y": 0.0}
    assert "accuracy" not in point_of({**record, "accuracy": {}}).row()


@pytest.mark.parametrize("colouring", ["accuracy", "arch"])
def test_the_same_map_gives_the_same_bytes(tmp_path: Path, embeddings: torch.Tensor, colouring: str) -> None:
    found = embedding_map([*named(11), MapPoint("s", "lenetlike", over="samples")], embeddings)
    for name in ("a.svg", "b.svg"):
        plot_map(tmp_path / name, found, "12 networks", colouring, ImageIO(1, 8, 3))  # type: ignore[arg-type]
    drawn = (tmp_path / "a.svg").read_bytes()
    assert drawn == (tmp_path / "b.svg").read_bytes() and len(drawn) > 10_000
