"""Paths between shapes: volumes, pieces and overlaps step by step, and steps where nothing stands."""

from __future__ import annotations

import csv
from math import pi
from pathlib import Path

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.errors import ConfigError

from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.paths.path import interpolate_weights
from netspace_cli.core.paths.path_files import write_csv
from netspace_cli.core.runtime.progress import Silent
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes import path_solids
from netspace_cli.core.shapes.path_solids import SolidStep, solid_steps
from netspace_cli.core.shapes.solids import Solid, solid_refined_near_surface
from tests.worlds import MakeBall


def walk(*networks: Network, failed: tuple[int, ...] = ()) -> list[SolidStep]:
    """What stands along a path through these; a radius below zero has no surface."""
    steps = [
        Step(i, i / max(1, len(networks) - 1), n, error="weights are not finite" if i in failed else "")
        for i, n in enumerate(networks)
    ]
    return solid_steps(steps, Runner("cpu"))


def test_balls_one_in_the_other_overlap_by_their_volumes(ball: MakeBall) -> None:
    path = walk(ball(0.4), ball(0.6), ball(0.8))
    assert [s.iou is None for s in path] == [True, False, False]
    assert [s.iou for s in path[1:]] == pytest.approx([(4 / 6) ** 3, (6 / 8) ** 3], abs=0.03)
    for step, radius in zip(path, (0.4, 0.6, 0.8), strict=True):
        row = step.row()
        assert row["volume"] == pytest.approx(4 / 3 * pi * radius**3 / 8, rel=0.04)
        assert (row["pieces"], row["largest"], step.error) == (1, 1.0, "") and "error" not in row


def test_balls_apart_do_not_overlap_and_equal_ones_wholly(ball: MakeBall) -> None:
    left, right = ball(0.3, (-0.5, 0, 0)), ball(0.3, (0.5, 0, 0))
    assert [s.iou for s in walk(left, left, right)] == [None, 1.0, 0.0]


def test_a_step_without_a_surface_keeps_its_row_and_says_so(ball: MakeBall) -> None:
    path = walk(ball(0.5), ball(-0.5), ball(-0.5), ball(3.0), ball(0.5))
    outside, inside = "no surface: all of the box is outside", "no surface: all of the box is inside"
    assert [s.error for s in path] == ["", outside, outside, inside, ""]
    assert [s.iou for s in path[:3]] == [None, 0.0, None], "of two that are empty there is none"
    assert path[4].iou == pytest.approx(4 / 3 * pi * 0.125 / 8, rel=0.04)
    rows = [s.row() for s in path]
    assert [r["step"] for r in rows] == list(range(5))
    assert [r["volume"] for r in rows[1:4]] == [0, 0, 1]
    assert ["largest" in r for r in rows[1:4]] == [False, False, True]
    assert rows[1]["error"] == outside and "iou" not in rows[2]


def test_a_step_that_failed_has_no_solid_and_its_own_error(ball: MakeBall) -> None:
    path = walk(ball(0.5), ball(0.5), ball(0.5), ball(0.5), failed=(1,))
    assert [s.iou for s in path] == [None, None, None, 1.0]
    assert path[1].solid is None and path[1].error == "weights are not finite"
    assert path[1].row() == {
        "step": 1,
        "gamma": 1 / 3,
        "arch": "siren-3x1",
        "parameters": 16,
        "error": "weights are not finite",
    }


def test_a_network_at_the_end_of_another_path_is_not_looked_at_again(
    ball: MakeBall, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, middles = walk(ball(0.4), ball(0.3), ball(0.6)), (ball(0.5), ball(0.8))
    looked: list[Network] = []

    def spy(network: Network, runner: Runner, *, resolution: int) -> Solid:
        looked.append(network)
        return solid_refined_near_surface(network, runner, resolution=resolution)

    monkeypatch.setattr(path_solids, "solid_refined_near_surface", spy)
    steps = [Step(i, i / 3, n) for i, n in enumerate((ball(0.4), *middles, ball(0.6)))]
    bent = solid_steps(steps, Runner("cpu"), beside=(straight[0], straight[-1]))
    assert looked == list(middles) and bent[0].solid is straight[0].solid and bent[3].solid is straight[2].solid
    assert [s.row() for s in bent] == [s.row() for s in solid_steps(steps, Runner("cpu"))]


def test_between_weights_of_networks_every_step_is_looked_at(ball: MakeBall) -> None:
    steps = interpolate_weights(ball(0.4), ball(0.8), Runner("cpu"), steps=2)
    path = solid_steps(steps, Runner("cpu"))
    middle = ((0.4**2 + 0.8**2) / 2) ** 0.5  # the last bias alone differs, by the squares
    assert path[1].row()["volume"] == pytest.approx(4 / 3 * pi * middle**3 / 8, rel=0.04)
    assert [(s.step.step, s.step.gamma, s.step.accuracy) for s in path] == [(0, 0, None), (1, 0.5, None), (2, 1, None)]


def test_progress_is_told_and_ended_even_when_a_network_is_no_shape() -> None:
    told: list[object] = []

    class Told(Silent):
        def start(self, description: str, total: int | None, done: int = 0) -> None:
            told.append((description, total))

        def stop(self) -> None:
            told.append("stop")

    architecture = build("lenetlike", ImageIO(1, 8, 3))
    wrong = Network(architecture, torch.zeros(architecture.parameter_count))
    with pytest.raises(ConfigError, match="lenetlike is for 1x8x8, 3 classes, so it has no surface"):
        solid_steps([Step(0, 0.0, wrong)], Runner("cpu", progress=Told()))
    assert told == [("looking at shapes", 1), "stop"]


def test_a_path_of_shapes_as_a_file(tmp_path: Path, ball: MakeBall) -> None:
    path = walk(ball(0.4), ball(-0.5), ball(0.6))
    write_csv(tmp_path / "path.csv", {"bent": path})
    with (tmp_path / "path.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = ["volume", "pieces", "largest", "iou"]
    assert list(rows[0]) == ["path", "step", "gamma", "arch", "parameters", *scores, "error"]
    assert {r["path"] for r in rows} == {"bent"}
    assert [float(r["volume"]) for r in rows] == [s.row()["volume"] for s in path]
    assert [(r["iou"], r["error"]) for r in rows] == [
        ("", ""),
        ("0.0", "no surface: all of the box is outside"),
        ("0.0", ""),
    ]
