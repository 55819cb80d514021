"""What an embedding of a shape is brought to: a whole shape or points of its surface; and scans that are refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from netspace_models.architectures import FieldSignal, build
from netspace_models.errors import InputFileError
from scipy.spatial import KDTree
from torch import Tensor

from netspace_cli.core.fields.goals import SLOPE_WEIGHT, ScanGoal, is_scan, read_scan, scan_goal, shape_goal
from netspace_cli.core.fields.shape import Shape
from netspace_cli.core.runner import Runner

NOTHING = torch.zeros(0)


class Known:
    """Stands for an architecture: the function that it is given, whatever the parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def run(self, vector: Tensor, inputs: Tensor) -> Tensor:
        return self.function(inputs)


def known(function: Callable[[Tensor], Tensor]) -> Any:
    return Known(function)


def to_ball(radius: float, slope: float = 1.0) -> Any:
    """The signed distance to a ball, enlarged."""
    return known(lambda x: slope * (x.norm(dim=1, keepdim=True) - radius))


def constant(value: float) -> Any:
    return known(lambda x: 0 * x[:, :1] + value)


def on_ball(count: int, radius: float) -> Tensor:
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return radius * points / points.norm(dim=1, keepdim=True)


def small_shape() -> Shape:
    """Six samples, and four held out."""
    points = torch.linspace(-0.9, 0.9, 30).reshape(10, 3)
    values = torch.arange(10.0)[:, None] / 10
    return Shape("it", Path("it.npz"), points[:6], values[:6], points[6:], values[6:])


def test_the_loss_of_a_shape_is_the_mean_squared_error_at_the_samples_drawn() -> None:
    shape, runner = small_shape(), Runner("cpu", seed=3)
    architecture = build("siren-4x1", FieldSignal(3, 1))
    vector = 0.1 * torch.randn(architecture.parameters, generator=torch.Generator().manual_seed(0))
    goal = shape_goal(shape, runner)
    for step in (0, 7):
        index = torch.randint(6, (5,), generator=runner.generator("lso", step)).tolist()
        found = [architecture.run(vector, shape.points[i : i + 1]).item() - shape.values[i].item() for i in index]
        expected = sum(off * off for off in found) / 5
        assert goal.loss(architecture, vector, step, 5).item() == pytest.approx(expected, rel=1e-5)
        assert torch.equal(goal.loss(architecture, vector, step, 5), goal.loss(architecture, vector, step, 5))
    assert not torch.equal(goal.loss(architecture, vector, 0, 5), goal.loss(architecture, vector, 7, 5))


def test_the_loss_of_a_shape_has_a_gradient_in_the_parameters() -> None:
    architecture = build("siren-4x1", FieldSignal(3, 1))
    vector = torch.full((architecture.parameters,), 0.01, requires_grad=True)
    shape_goal(small_shape(), Runner("cpu")).loss(architecture, vector, 0, 5).backward()
    assert vector.grad is not None and vector.grad.any()


def test_held_out_samples_are_halved_into_what_chooses_and_what_is_scored() -> None:
    shape = small_shape()
    goal = shape_goal(shape, Runner("cpu"))
    assert set(goal.held) == {"val", "test"}
    for split, at in (("val", slice(0, 2)), ("test", slice(2, 4))):
        points, values = goal.held[split]
        assert torch.equal(points, shape.held_points[at]) and torch.equal(values, shape.held_values[at])
    # Values of "val" are 0.6 and 0.7, of "test" 0.8 and 0.9.
    assert goal.on(constant(0.705), NOTHING, "val") == pytest.approx((0.5, (0.105**2 + 0.005**2) / 2), rel=1e-4)
    assert goal.on(constant(0.9), NOTHING, "test") == pytest.approx((0.5, 0.005), rel=1e-4)


def test_the_loss_of_a_scan_is_nothing_for_the_distance_to_it() -> None:
    goal = scan_goal(on_ball(200, 0.6), Runner("cpu"))
    assert goal.loss(to_ball(0.6), NOTHING, 0, 64).item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        (constant(0), SLOPE_WEIGHT),  # on the surface everywhere, without a slope
        (constant(0.5), 0.25 + SLOPE_WEIGHT),
        (to_ball(0.4), 0.04),  # a fifth away, of the right slope
        (to_ball(0.6, slope=3), 4 * SLOPE_WEIGHT),
        (to_ball(0.4, slope=-2), 0.16 + SLOPE_WEIGHT),
    ],
)
def test_the_loss_of_a_scan_is_the_squared_distance_and_how_far_the_slope_is_from_one(
    architecture: Any, expected: float
) -> None:
    goal = scan_goal(on_ball(200, 0.6), Runner("cpu"))
    assert goal.loss(architecture, NOTHING, 0, 64).item() == pytest.approx(expected, rel=1e-4)


def test_slopes_are_looked_at_all_over_the_box_and_points_drawn_anew_each_step() -> None:
    # Of x² the slope is 2 |x|: (2 |x| - 1)² is 1/3 in the mean over the box; the scan lies where x is zero.
    parabola = known(lambda x: x[:, :1].square())
    points = torch.cat([torch.zeros(100, 1), torch.rand(100, 2)], dim=1)
    goal = scan_goal(points, Runner("cpu"))
    losses = [goal.loss(parabola, NOTHING, step, 64).item() / SLOPE_WEIGHT for step in range(20)]
    assert sum(losses) / 20 == pytest.approx(1 / 3, abs=0.02)
    assert len(set(losses)) == 20
    assert goal.loss(parabola, NOTHING, 3, 64).item() / SLOPE_WEIGHT == losses[3]


def test_the_loss_of_a_scan_has_a_gradient_in_the_parameters() -> None:
    architecture = build("siren-4x1", FieldSignal(3, 1))
    vector = torch.full((architecture.parameters,), 0.01, requires_grad=True)
    goal = scan_goal(on_ball(50, 0.5), Runner("cpu"))
    with_slope = torch.autograd.grad(goal.loss(architecture, vector, 0, 20), vector)[0]
    index = torch.randint(len(goal.points), (20,), generator=goal.runner.generator("lso", 0))
    alone = torch.autograd.grad(architecture.run(vector, goal.points[index]).square().mean(), vector)[0]
    assert with_slope.isfinite().all() and (with_slope - alone).abs().max() > 1e-4


@pytest.mark.parametrize(("count", "held"), [(20, 2), (57, 5), (300, 30)])
def test_a_tenth_of_a_scan_chooses_and_a_tenth_is_scored(count: int, held: int) -> None:
    points = on_ball(count, 0.5)
    goal = scan_goal(points, Runner("cpu"))
    assert [len(part) for part in (goal.points, goal.held["val"], goal.held["test"])] == [count - 2 * held, held, held]
    shared = torch.cat([goal.points, goal.held["val"], goal.held["test"]])
    assert sorted(map(tuple, shared.tolist())) == sorted(map(tuple, points.tolist()))
    assert not torch.equal(shared, points)
    assert torch.equal(goal.points, scan_goal(points, Runner("cpu")).points)
    assert not torch.equal(goal.points, scan_goal(points, Runner("cpu", seed=1)).points)


def test_a_scan_scores_the_share_of_points_that_the_surface_is_near_to() -> None:
    points = torch.tensor([[0.5, 0, 0], [0, 0.505, 0], [0, 0, 0.52], [0.4, 0, 0]])
    goal = ScanGoal(Runner("cpu"), points, {"val": points, "test": points[:2]}, KDTree(points.numpy()))
    expected = (0.005**2 + 0.02**2 + 0.1**2) / 4
    assert goal.on(to_ball(0.5), NOTHING, "val") == pytest.approx((0.5, expected), rel=1e-3)
    assert goal.on(to_ball(0.5), NOTHING, "test") == pytest.approx((1.0, 0.005**2 / 2), rel=1e-3)


def test_a_solved_step_wants_the_samples_drawn_and_distances_near_the_surface_weigh_more() -> None:
    shape, runner = small_shape(), Runner("cpu", seed=3)
    for distances in (True, False):
        points, wanted, weights = shape_goal(shape, runner, distances=distances).wanted(constant(0), NOTHING, 2, 50)
        index = torch.randint(6, (50,), generator=runner.generator("lso", 2))
        assert torch.equal(points, shape.points[index]) and torch.equal(wanted, shape.values[index, 0])
        if distances:
            assert weights is not None and weights.mean().item() == pytest.approx(1)
            assert weights[wanted == 0].min() > weights[wanted > 0.05].max()
        else:
            assert weights is None


@pytest.mark.parametrize(("radius", "moves"), [(0.6, False), (0.3, True), (1.5, True)])
def test_a_solved_step_wants_zero_at_a_scan_and_no_more_than_its_distance_elsewhere(radius: float, moves: bool) -> None:
    goal = scan_goal(on_ball(4000, 0.6), Runner("cpu"))
    points, wanted, weights = goal.wanted(to_ball(radius), NOTHING, 0, 400)
    assert weights is None and points.shape == (400, 3) and wanted.shape == (400,)
    scanned, anywhere = points[:200], points[200:]
    assert scanned.norm(dim=1).allclose(torch.tensor(0.6), atol=1e-5) and not wanted[:200].any()
    nearest = torch.cdist(anywhere, goal.points).amin(dim=1)
    now = anywhere.norm(dim=1) - radius
    assert (wanted[200:].abs() <= nearest + 1e-5).all()
    kept = now.abs() <= nearest
    assert torch.equal(wanted[200:][kept], now[kept]), "what may be is kept"
    assert (wanted[200:] * now >= 0).all(), "inside stays inside"
    changed = ((wanted[200:] - now).abs() > 1e-5).double().mean().item()
    assert changed > 0.25 if moves else changed < 0.01, "a ball the size of the scan wants nothing"


def saved(path: Path, points: np.ndarray) -> Path:
    """Points in the format of the extension."""
    if path.suffix.lower() == ".npy":
        np.save(path, points)
    elif path.suffix.lower() == ".ply":
        trimesh.PointCloud(points).export(path)
    else:
        path.write_text("".join(" ".join(f"{x:.9g}" for x in row) + "\n" for row in points))
    return path


POINTS = np.random.default_rng(0).uniform(-0.9, 0.9, (40, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["a.npy", "a.xyz", "a.ply"])
def test_scans_are_read_as_they_lie(tmp_path: Path, name: str) -> None:
    # Far from the middle and small: nothing is moved or scaled.
    points = 0.1 * POINTS + np.float32(0.7)
    path = saved(tmp_path / name, points)
    assert is_scan(path)
    found = read_scan(path)
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), points)


def test_of_more_columns_the_first_three_are_the_point(tmp_path: Path) -> None:
    with_normals = np.concatenate([POINTS, 9 * POINTS], axis=1)
    for name in ("a.npy", "a.xyz"):
        assert np.array_equal(read_scan(saved(tmp_path / name, with_normals)).numpy(), POINTS)


def test_whole_numbers_and_other_floats_are_points(tmp_path: Path) -> None:
    corners = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)])
    for kind in ("int64", "float16", "float64"):
        found = read_scan(saved(tmp_path / "a.npy", corners.astype(kind)))
        assert found.dtype == torch.float32 and np.array_equal(found.numpy(), corners)


def test_meshes_and_other_files_are_no_scans(tmp_path: Path) -> None:
    mesh = tmp_path / "box.ply"
    trimesh.creation.box((1, 1, 1)).export(mesh)
    assert not is_scan(mesh)
    assert not any(is_scan(tmp_path / name) for name in ("a.obj", "a.npz", "a.stl", "a.png"))
    assert is_scan(tmp_path / "A.XYZ") and is_scan(tmp_path / "A.NPY")
    with pytest.raises(InputFileError) as refused:
        read_scan(mesh)
    assert refused.value.message == f"{mesh}: a mesh, not points alone." and refused.value.hint


def edited(place: tuple[int, int], value: float, kind: str = "float32") -> np.ndarray:
    found = POINTS.astype(kind)
    found[place] = value
    return found


@pytest.mark.parametrize("suffix", [".npy", ".xyz", ".ply"])
@pytest.mark.parametrize(
    ("points", "words"),
    [
        (edited((3, 1), np.nan), "1 of 40 points are NaN or infinite. Leave them out."),
        (edited((7, 2), -np.inf), "1 of 40 points are NaN or infinite. Leave them out."),
        (POINTS[:19], "19 points are too few. Give 20 or more."),
        (
            edited((5, 0), -1.25),
            "its points reach 1.25 from the middle of the box, whose half side is 1. "
            "Bring the scan into the frame of the space's shapes.",
        ),
    ],
)
def test_scans_that_are_none_are_refused(tmp_path: Path, suffix: str, points: np.ndarray, words: str) -> None:
    path = saved(tmp_path / f"a{suffix}", points)
    with pytest.raises(InputFileError) as refused:
        read_scan(path)
    assert str(refused.value) == f"{path}: {words}"


@pytest.mark.parametrize(
    ("points", "shape"),
    [
        (POINTS[:, :2], "float32 of shape (40, 2)"),
        (POINTS[None], "float32 of shape (1, 40, 3)"),
        (POINTS[0], "float32 of shape (3,)"),
        (POINTS.astype(complex), "complex128 of shape (40, 3)"),
        (POINTS > 0, "bool of shape (40, 3)"),
    ],
)
def test_arrays_of_another_shape_or_kind_are_refused(tmp_path: Path, points: np.ndarray, shape: str) -> None:
    path = saved(tmp_path / "a.npy", points)
    with pytest.raises(InputFileError) as refused:
        read_scan(path)
    assert refused.value.message == f"{path}: {shape} are no points; (N, 3) numbers are needed." and refused.value.hint


def test_numbers_too_large_for_float32_are_refused_as_infinite(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", edited((3, 1), 1e300, "float64"))
    with pytest.raises(InputFileError, match="1 of 40 points are NaN or infinite"):
        read_scan(path)


def objects(path: Path) -> None:
    np.save(path, np.array([None] * 60), allow_pickle=True)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps([0.0] * 60))


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("a.npy", objects, "cannot be read as points (Object arrays cannot be loaded when allow_pickle=False)."),
        ("a.npy", pickled, "cannot be read as points (This file contains pickled (object) data."),
        ("a.npy", text(""), "cannot be read as points (No data left in file)."),
        ("a.xyz", text("a b c\n" * 30), "cannot be read as points (could not convert string 'a' to float32"),
        ("a.xyz", text("0 0 0\n" * 30 + "0 0\n"), "cannot be read as points (the number of columns changed"),
        ("a.xyz", text("0 0\n" * 30), "float32 of shape (30, 2) are no points; (N, 3) numbers are needed."),
        ("a.ply", text("to nobody\n"), "cannot be read (Not a ply file!)."),
    ],
)
def test_files_that_hold_no_points_are_refused(
    tmp_path: Path, name: str, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(InputFileError) as refused:
        read_scan(path)
    assert refused.value.message.startswith(f"{path}: {words}") and refused.value.hint


def test_a_file_without_a_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text("# nothing\n")
    with pytest.raises(InputFileError, match=r"a\.xyz: "):
        read_scan(path)
