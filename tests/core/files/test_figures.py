"""Figures: drawn from whatever there is, the same bytes for the same numbers."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from netspace_models.errors import ConfigError, OutputExists

from netspace_cli.core.evaluation.evaluation_figure import plot_evaluation
from netspace_cli.core.files.figures import check_figure
from netspace_cli.core.kinds.images import Evaluated
from netspace_cli.core.kinds.images import ImageEvaluation as Evaluation
from netspace_cli.core.networks.path_figure import plot_path
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.paths.path import interpolate
from netspace_cli.core.runtime.runner import Runner
from tests.worlds import Tiny

HEADS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
EVALUATION = Evaluation(
    tuple(Evaluated(str(i), "ab"[i % 2], "a", 0.1 * i, 0.1 * i + 0.05, 0.5, None) for i in range(6))
)


@pytest.fixture(scope="module")
def steps(tiny: Tiny) -> list[Step]:
    """One of them failed."""
    with Runner("cpu") as runner:
        found = interpolate(
            tiny.space.embeddings[0], tiny.space.embeddings[-1], tiny.space, runner, steps=4, data=tiny.data
        )
    found[2] = replace(found[2], accuracy=None, loss=None, error="weights are not finite")
    return found


@pytest.mark.parametrize("suffix", list(HEADS))
def test_the_same_numbers_give_the_same_bytes(steps: list[Step], tmp_path: Path, suffix: str) -> None:
    for name in "ab":
        plot_path(tmp_path / f"{name}{suffix}", steps, {"weights": steps, "aligned weights": steps})
        plot_evaluation(tmp_path / f"{name}-eval{suffix}", {"encoded": EVALUATION, "refined": EVALUATION})
    for name in ("", "-eval"):
        content = (tmp_path / f"a{name}{suffix}").read_bytes()
        assert content.startswith(HEADS[suffix])
        assert content == (tmp_path / f"b{name}{suffix}").read_bytes()


def test_a_path_of_which_every_step_failed_is_drawn(steps: list[Step], tmp_path: Path) -> None:
    plot_path(tmp_path / "a.png", [replace(s, accuracy=None, loss=None, error="x") for s in steps], {})
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_names_and_numbers_are_in_the_figure(steps: list[Step], tmp_path: Path) -> None:
    plot_path(tmp_path / "a.svg", steps, {"weights": steps})
    text = (tmp_path / "a.svg").read_text()
    for step in steps:
        assert f"{step.network.architecture.name} ({step.network.architecture.parameter_count:,} parameters)" in text
    assert "weights" in text
    first, last = (steps[i].network.architecture.name for i in (0, -1))
    assert f"{first} to {last}: accuracy along the path" in text


def test_chance_is_a_line_where_a_path_comes_near_it(steps: list[Step], tmp_path: Path) -> None:
    for name, accuracy, there in (("a", 0.36, True), ("b", 0.9, False)):
        plot_path(tmp_path / f"{name}.svg", [replace(s, accuracy=accuracy, error="") for s in steps], {})
        assert ("<!-- chance -->" in (tmp_path / f"{name}.svg").read_text()) == there


def test_every_evaluation_has_a_panel_of_its_own(tmp_path: Path) -> None:
    for name, ways in (("one", ["encoded"]), ("two", ["encoded", "refined"])):
        plot_evaluation(tmp_path / f"{name}.svg", dict.fromkeys(ways, EVALUATION))
    one, two = ((tmp_path / f"{name}.svg").read_text() for name in ("one", "two"))
    assert "<!-- encoded -->" in one and "<!-- refined -->" not in one
    assert two.count("<!-- encoded -->") == two.count("<!-- refined -->") == 1
    assert two.count("<!-- predicted accuracy (%) -->") == 2


def test_a_figure_of_one_instance_is_drawn(tmp_path: Path) -> None:
    plot_evaluation(tmp_path / "a.png", {"encoded": Evaluation(EVALUATION.instances[:1])})
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    with pytest.raises(OutputExists):
        plot_evaluation(tmp_path / "a.png", {"encoded": EVALUATION})
    assert (tmp_path / "a.png").read_text() == "mine"
    plot_evaluation(tmp_path / "a.png", {"encoded": EVALUATION}, force=True)
    assert (tmp_path / "a.png").read_bytes().startswith(HEADS[".png"])


def test_what_cannot_be_drawn_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    check_figure(Path("a.svg"))
    with pytest.raises(ConfigError, match=r"a\.bmp: a figure is written as \.png, \.svg, \.pdf"):
        check_figure(Path("a.bmp"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match="figures need matplotlib") as refused:
        check_figure(Path("a.png"))
    assert "netspace[plot]" in refused.value.hint
