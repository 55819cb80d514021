"""Fitting networks to shapes: who is fitted, what is recorded, going on where it was stopped, and refusals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import FieldIO, build
from netspace_models.errors import ConfigError, InputFileError, RunFailed, UnknownArchitecture

from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime import runner as running
from netspace_cli.core.runtime.progress import Progress
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.samples import Shape
from netspace_cli.core.shapes.sources import ShapeSource, find_shapes
from netspace_cli.core.shapes.values import UNITS, mean_error, within
from netspace_cli.core.zoos import fitting
from netspace_cli.core.zoos.fit import FitErrors, data_of, fit_errors, fit_jobs, fit_zoo, fits_so_far
from netspace_cli.core.zoos.fitting import FitPlan, fit, in_parts, starts
from netspace_cli.core.zoos.zoo import Instance, Zoo, open_zoo, verify
from tests.worlds import Solids, Stopper

PLAN = FitPlan("siren-8x1", (3, 1, 1), steps=6, points=32, lr=3e-3, together=2)


def ball(name: str, radius: float, *, scale: float = 1.0, bad: bool = False, count: int = 200) -> ShapeSource:
    """Samples of the distances to a ball."""
    path = Path(f"{name}.npz")

    def read(generator: torch.Generator) -> Shape:
        points, held = (2 * torch.rand(n, 3, generator=generator) - 1 for n in (count, 50))
        values, held_values = (scale * (p.norm(dim=1, keepdim=True) - radius) for p in (points, held))
        return Shape(name, path, points, values, held, held_values)

    def check() -> None:
        if bad:
            raise InputFileError(path, "no shape.")

    return ShapeSource(name, path, "samples", 3, 1, about={"sha256": f"of {name}"}, check=check, read=read)


BALLS = [ball(f"ball{i}", 0.3 + 0.1 * i) for i in range(5)]


def make(
    path: Path,
    plan: FitPlan = PLAN,
    shapes: list[ShapeSource] = BALLS,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Zoo:
    with Runner("cpu", seed=seed, progress=progress) as runner:
        return fit_zoo(path, shapes, plan, runner)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The plan's zoo, fitted in one go."""
    return make(tmp_path_factory.mktemp("whole") / "zoo")


def test_jobs_are_drawn_from_all_shapes_and_follow_the_seed() -> None:
    shapes = [ball(f"ball{i:02d}", 0.5) for i in range(40)]
    jobs = fit_jobs(shapes, replace(PLAN, counts=(5, 3, 2)), seed=0)
    assert Counter(j.split for j in jobs) == {"train": 5, "val": 3, "test": 2}
    assert [j.id for j in jobs] == sorted({j.id for j in jobs}) and jobs[-1].id > "ball10"
    assert [j.split for j in jobs] != sorted((j.split for j in jobs), key=["train", "val", "test"].index)
    assert all(j.source is shapes[j.seed] and j.id == j.source.name for j in jobs)
    assert jobs == fit_jobs(shapes, replace(PLAN, counts=(5, 3, 2)), seed=0)
    assert [j.id for j in jobs] != [j.id for j in fit_jobs(shapes, replace(PLAN, counts=(5, 3, 2)), seed=1)]


def test_without_counts_all_shapes_are_fitted_8_1_1() -> None:
    jobs = fit_jobs([ball(f"ball{i:02d}", 0.5) for i in range(40)], replace(PLAN, counts=None), seed=3)
    assert Counter(j.split for j in jobs) == {"train": 32, "val": 4, "test": 4}
    assert sorted(j.seed for j in jobs) == list(range(3, 43))


@pytest.mark.parametrize("counts", [(4, 1, 1), (0, 0, 6), (0, 0, 0)])
def test_more_than_there_are_or_none_cannot_be_fitted(counts: tuple[int, int, int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        make(tmp_path / "zoo", replace(PLAN, counts=counts))
    assert refused.value.message == f"{sum(counts)} instances were asked for and there are 5 shapes."
    assert not (tmp_path / "zoo").exists()


def test_the_zoo_is_what_the_plan_asks_for(whole: Zoo) -> None:
    assert [i.id for i in whole.instances] == [f"ball{n}" for n in range(5)]
    assert Counter(i.split for i in whole.instances) == {"train": 3, "val": 1, "test": 1}
    assert whole.data == {
        "name": "points",
        "io": {"dimensions": 3, "values": 1},
        "values": "signed distances",
    }
    assert [word for _, word in verify(whole)] == ["ok"] * 5
    for number, instance in enumerate(whole.instances):
        settings = {k: v for k, v in instance.training.items() if k != "error"}
        fitted = {"steps": 6, "points": 32, "lr": 3e-3, "shared_init": False}
        assert settings == {**fitted, "source": f"ball{number}.npz", "sha256": f"of ball{number}"}
        assert (instance.arch, instance.licence, instance.seed) == ("siren-8x1", "CC0-1.0", number)


def test_scores_are_those_of_the_files_on_points_nothing_was_fitted_to(whole: Zoo) -> None:
    for source, instance in zip(BALLS, whole.instances, strict=True):
        shape = source.read(Runner("cpu").generator("shape", instance.id))
        network = read_network(whole.file_of(instance))
        assert (network.architecture.name, network.architecture.io) == ("siren-8x1", FieldIO(3, 1))
        found = network.architecture.run(network.weights, shape.held_points)
        assert instance.accuracy == {"test": pytest.approx(within(shape.held_values, found), abs=1e-6)}
        assert instance.training["error"] == pytest.approx(mean_error(shape.held_values, found), abs=1e-5)


def test_files_are_plain_state_dicts(whole: Zoo) -> None:
    checkpoint = read_checkpoint(whole.file_of(whole.instances[0]))
    build("siren-8x1", FieldIO(3, 1)).module.load_state_dict(checkpoint.state, strict=True)
    assert checkpoint.metadata["netspace.arch"] == "siren-8x1"


@pytest.mark.parametrize("steps", [1, 6, 7, 17])
def test_a_stopped_zoo_goes_on_to_the_same_files(
    whole: Zoo, tmp_path: Path, steps: int, stopper: type[Stopper]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "zoo", progress=stopper(steps))
    # Six steps a group of two; what was stopped at the last of them is not there yet.
    assert len(open_zoo(tmp_path / "zoo").instances) == 2 * ((steps - 1) // 6)
    assert make(tmp_path / "zoo").instances == whole.instances


def test_a_finished_zoo_is_left_alone(whole: Zoo, stopper: type[Stopper]) -> None:
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in whole.path.rglob("*") if p.is_file()}
    assert make(whole.path, progress=stopper(1)).instances == whole.instances
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in whole.path.rglob("*") if p.is_file()} == before


def test_a_file_without_its_line_is_made_again(whole: Zoo, tmp_path: Path) -> None:
    """What a kill between the two leaves, in the last group."""
    zoo = make(tmp_path / "zoo")
    manifest = tmp_path / "zoo" / "instances.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    zoo.file_of(zoo.instances[-1]).write_bytes(b"half")
    assert make(tmp_path / "zoo").instances == whole.instances


def test_a_file_that_is_gone_is_made_again_and_another_network_refused(whole: Zoo, tmp_path: Path) -> None:
    zoo = make(tmp_path / "zoo")
    one, two = zoo.instances[1], zoo.instances[3]
    zoo.file_of(one).unlink()
    jobs = fit_jobs(BALLS, PLAN, 0)
    assert [job.id for job in fits_so_far(zoo.path, BALLS, jobs, PLAN)] == [one.id]
    manifest = zoo.path / "instances.jsonl"
    before = manifest.read_bytes()
    assert make(zoo.path).instances == whole.instances
    assert manifest.read_bytes() == before and [state for _, state in verify(zoo)] == ["ok"] * 5
    manifest.write_bytes(before.replace(two.sha256.encode(), b"0" * 64))
    zoo.file_of(two).unlink()
    said = rf"{two.id} was gone .*; fitted again, it is not the network that is listed .*, not 000000"
    with pytest.raises(ConfigError, match=said):
        make(zoo.path)
    assert not zoo.file_of(two).exists()


def test_a_network_s_company_does_not_change_it(whole: Zoo, tmp_path: Path) -> None:
    assert make(tmp_path / "zoo", replace(PLAN, together=1)).instances == whole.instances


@pytest.mark.slow
def test_two_workers_fit_the_same_networks(solids: Solids, tmp_path: Path) -> None:
    plan = replace(PLAN, counts=(3, 0, 0))
    with Runner("cpu", threads=1) as runner:
        alone = fit_zoo(tmp_path / "alone", find_shapes(solids.grids), plan, runner)
        zoo = fit_zoo(tmp_path / "zoo", find_shapes(solids.grids), plan, runner, workers=2)
        assert runner.report()["counted"]["instances"] == 6
        zoo.file_of(zoo.instances[0]).unlink()
        assert fit_zoo(zoo.path, find_shapes(solids.grids), plan, runner, workers=2).instances == zoo.instances
        assert runner.report()["counted"]["instances"] == 7, "made again"
    assert zoo.instances == alone.instances
    assert [state for _, state in verify(zoo)] == ["ok"] * 3


@pytest.mark.parametrize("at_once", [32, 64, 2048])
def test_networks_beside_shapes_of_other_sample_counts_become_what_they_become_alone(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(running, "CACHED_VALUES", UNITS * at_once)  # one network at a time, two, or all
    architecture = build("siren-16x2", FieldIO(3, 1))
    sources = [ball("few", 0.4, count=70), ball("many", 0.6, count=5000), ball("some", 0.5, count=333)]
    with Runner("cpu", threads=1) as runner:
        shapes = [source.read(runner.generator(source.name)) for source in sources]
        begin = starts(fit_jobs(sources, replace(PLAN, counts=(3, 0, 0)), 0), architecture, PLAN)
        together = fit(begin, shapes, architecture, PLAN, runner)
        alone = [fit(begin[i : i + 1], shapes[i : i + 1], architecture, PLAN, runner)[0] for i in range(3)]
        two = fit(begin[1:], shapes[1:], architecture, PLAN, runner)
    assert (together - begin).abs().amax(dim=1).min() > 1e-3
    assert torch.equal(together, torch.stack(alone)) and torch.equal(together[1:], two)


def test_the_gradient_of_a_sum_taken_in_parts_is_that_of_the_sum() -> None:
    vectors = torch.arange(10.0).reshape(5, 2).requires_grad_()
    weights = torch.arange(1.0, 6.0)
    seen: list[tuple[int, int]] = []

    def loss_of(part: torch.Tensor, rows: slice) -> torch.Tensor:
        seen.append((rows.start, len(part)))
        return (weights[rows, None] * part.square()).sum()

    loss = in_parts(loss_of, vectors, 2)
    assert seen == [(0, 2), (2, 3)], "none of one row alone"
    assert loss.item() == 1 * (0 + 1) + 2 * (4 + 9) + 3 * (16 + 25) + 4 * (36 + 49) + 5 * (64 + 81)
    loss.backward()
    assert vectors.grad is not None
    assert torch.equal(vectors.grad, 2 * weights[:, None] * vectors.detach())
    for size, parts in ((1, [(i, 1) for i in range(5)]), (3, [(0, 3), (3, 2)]), (4, [(0, 5)]), (9, [(0, 5)])):
        seen.clear()
        in_parts(loss_of, vectors, size)
        assert seen == parts
    seen.clear()
    in_parts(loss_of, vectors[:1], 4)
    assert seen == [(0, 1)]


def test_weights_that_are_not_finite_in_the_end_are_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss may be finite and its gradient not: after the last step no loss tells."""
    architecture = build("siren-8x1", FieldIO(3, 1))
    monkeypatch.setattr(fitting, "minimise", lambda begin, *rest, **given: begin * torch.nan)
    with Runner("cpu") as runner, pytest.raises(RunFailed, match="the weights are not finite after step 3 of 3"):
        shape = BALLS[0].read(runner.generator("a"))
        fit(torch.zeros(1, architecture.parameter_count), [shape], architecture, replace(PLAN, steps=3), runner)


def test_nothing_is_placed_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some accelerators have none."""
    placed: list[torch.Tensor] = []

    def place(self: Runner, thing: torch.Tensor) -> torch.Tensor:
        placed.append(thing)
        return thing

    monkeypatch.setattr(Runner, "place", place)
    architecture = build("siren-8x1", FieldIO(3, 1))
    with Runner("cpu") as runner:
        shape = BALLS[0].read(runner.generator("a"))
        fit(torch.zeros(1, architecture.parameter_count), [shape], architecture, replace(PLAN, steps=2), runner)
    assert len(placed) >= 4 and torch.float64 not in {tensor.dtype for tensor in placed}


def test_half_precision_is_refused_before_a_zoo_is_begun(tmp_path: Path) -> None:
    with Runner("cpu") as runner:
        runner.precision = torch.float16  # as on an accelerator, where networks run at it
        with pytest.raises(ConfigError, match="fp16 is not for gradient steps"):
            fit_zoo(tmp_path / "zoo", BALLS, PLAN, runner)
    assert not list(tmp_path.iterdir())


def test_fitting_brings_each_network_nearer_to_its_own_shape() -> None:
    architecture = build("siren-16x1", FieldIO(3, 1))
    plan = replace(PLAN, arch="siren-16x1", steps=150, points=128, lr=5e-3)
    with Runner("cpu") as runner:
        shapes = [s.read(runner.generator(s.name)) for s in (BALLS[0], BALLS[4])]
        begin = starts(fit_jobs(BALLS[:2], replace(plan, counts=(2, 0, 0)), 0), architecture, plan)
        before = begin.clone()
        fitted = fit(begin, shapes, architecture, plan, runner)
    assert torch.equal(begin, before)

    def errors(vectors: torch.Tensor) -> list[list[float]]:
        return [[mean_error(s.values, architecture.run(v, s.points)) for s in shapes] for v in vectors]

    first, last = errors(begin), errors(fitted)
    for own in range(2):
        assert last[own][own] < first[own][own] / 2
        assert last[own][own] < 0.75 * last[own][1 - own], "it is not the other's shape"


def test_each_start_is_a_function_of_its_own_seed() -> None:
    architecture = build("siren-8x1", FieldIO(3, 1))
    jobs = fit_jobs(BALLS, PLAN, seed=7)
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    found = starts(jobs, architecture, PLAN)
    assert torch.equal(torch.rand(3), wanted), "the caller's random numbers are left alone"
    assert torch.equal(starts(jobs[3:], architecture, PLAN), found[3:])
    assert len({tuple(row) for row in found.tolist()}) == 5
    torch.manual_seed(jobs[2].seed)
    fresh = fresh_module("siren-8x1", FieldIO(3, 1))
    assert torch.equal(found[2], architecture.to_weights(fresh.state_dict()))


def test_with_a_shared_start_all_networks_begin_alike_whatever_the_seed() -> None:
    architecture = build("siren-8x1", FieldIO(3, 1))
    plan = replace(PLAN, shared_init=True)
    one, other = (starts(fit_jobs(BALLS, plan, seed), architecture, plan) for seed in (0, 50))
    assert len({tuple(row) for row in torch.cat([one, other]).tolist()}) == 1


def test_the_same_seed_gives_the_same_files_and_another_does_not(whole: Zoo, tmp_path: Path) -> None:
    assert make(tmp_path / "same").instances == whole.instances
    other = make(tmp_path / "other", seed=100)
    assert not {i.sha256 for i in other.instances} & {i.sha256 for i in whole.instances}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 7}, "steps (6, now 7)."),
        ({"points": 33}, "points (32, now 33)."),
        ({"lr": 1e-3, "points": 33}, "lr (0.003, now 0.001); points (32, now 33)."),
        ({"shared_init": True}, "shared_init (False, now True)."),
        ({"arch": "siren-8x2"}, "arch ('siren-8x1', now 'siren-8x2')."),
        ({"counts": (1, 2, 2)}, "split ('val', now 'test')."),
    ],
)
def test_what_was_fitted_otherwise_is_not_taken_for_done(whole: Zoo, change: dict[str, Any], words: str) -> None:
    before = (whole.path / "instances.jsonl").read_bytes()
    plan = replace(PLAN, **change)
    jobs = fit_jobs(BALLS, plan, seed=0)
    attempts: list[Callable[[], object]] = [
        lambda: make(whole.path, plan),
        lambda: fits_so_far(whole.path, BALLS, jobs, plan),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigError, match=r"has ball\d already, fitted otherwise: ") as refused:
            attempt()
        assert refused.value.message.endswith(f": {words}") and "choose another folder" in refused.value.hint
    assert (whole.path / "instances.jsonl").read_bytes() == before


def test_another_seed_than_before_is_refused(tmp_path: Path) -> None:
    plan = replace(PLAN, counts=(5, 0, 0))
    make(tmp_path / "zoo", plan)
    before = (tmp_path / "zoo" / "instances.jsonl").read_bytes()
    with pytest.raises(ConfigError) as refused:
        make(tmp_path / "zoo", plan, seed=100)
    assert str(refused.value) == (
        f"{tmp_path / 'zoo'} has ball0 already, fitted otherwise: seed (0, now 100). "
        "Use the settings that it was started with, or choose another folder."
    )
    assert (tmp_path / "zoo" / "instances.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": Path("elsewhere.npz")}, "source ('ball3.npz', now 'elsewhere.npz')."),
        ({"about": {"sha256": "of another file"}}, "sha256 ('of ball3', now 'of another file')."),
        (
            {"about": {"sha256": "of ball3", "repair": False, "scale": False}},
            "repair (None, now False); scale (None, now False).",
        ),
    ],
)
def test_another_source_of_the_same_name_is_refused(whole: Zoo, change: dict[str, Any], words: str) -> None:
    shapes = [*BALLS[:3], replace(BALLS[3], **change), BALLS[4]]
    with pytest.raises(ConfigError, match="has ball3 already") as refused:
        make(whole.path, shapes=shapes)
    assert refused.value.message.endswith(f"already, fitted otherwise: {words}")


def test_how_many_are_fitted_together_is_no_setting(whole: Zoo) -> None:
    assert make(whole.path, replace(PLAN, together=5)).instances == whole.instances


def test_what_is_left_is_told_before_anything_is_made(whole: Zoo, tmp_path: Path) -> None:
    jobs = fit_jobs(BALLS, PLAN, seed=0)
    assert fits_so_far(tmp_path / "zoo", BALLS, jobs, PLAN) == jobs
    assert fits_so_far(whole.path, BALLS, jobs, PLAN) == []
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "zoo").write_text("a file")
    with pytest.raises(ConfigError, match="is not a folder"):
        fits_so_far(tmp_path / "zoo", BALLS, jobs, PLAN)


def test_a_zoo_of_other_io_is_refused(whole: Zoo) -> None:
    pictures = [replace(source, dimensions=2, values=3, kind="picture") for source in BALLS]
    assert data_of(pictures).record()["values"] == "colours"
    with pytest.raises(ConfigError, match=r"They differ in: inputs or outputs, values\."):
        make(whole.path, shapes=pictures)


def test_a_shape_that_is_none_is_found_out_before_any_is_fitted(tmp_path: Path, stopper: type[Stopper]) -> None:
    shapes = [*BALLS[:4], ball("ball4", 0.5, bad=True)]
    with pytest.raises(InputFileError, match="ball4.npz: no shape"):
        fits_so_far(tmp_path / "zoo", shapes, fit_jobs(shapes, PLAN, 0), PLAN)
    assert not (tmp_path / "zoo").exists()
    with pytest.raises(InputFileError, match="ball4.npz: no shape"):
        make(tmp_path / "zoo", shapes=shapes, progress=stopper(1))


@pytest.mark.parametrize("bad", [0, 1])
def test_a_refusal_while_the_first_shapes_are_read_leaves_no_folder(tmp_path: Path, bad: int) -> None:
    def read(generator: torch.Generator) -> Shape:
        raise InputFileError(BALLS[bad].path, "no shape.", "Leave it out.")

    shapes = [replace(source, read=read) if i == bad else source for i, source in enumerate(BALLS)]
    with pytest.raises(InputFileError, match=f"ball{bad}.npz: no shape"):
        make(tmp_path / "zoo", shapes=shapes)
    assert list(tmp_path.iterdir()) == []


def test_shapes_that_are_fitted_already_are_not_looked_at_again(whole: Zoo) -> None:
    spoilt = [ball(source.name, 0.5, bad=True) for source in BALLS]
    assert make(whole.path, shapes=spoilt).instances == whole.instances


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_what_was_finished(whole: Zoo, tmp_path: Path) -> None:
    shapes = [*BALLS[:4], ball("ball4", 0.5, scale=1e30)]
    with pytest.raises(RunFailed, match="the loss is not finite at step 1 of 6"):
        make(tmp_path / "zoo", shapes=shapes)
    assert open_zoo(tmp_path / "zoo").instances == whole.instances[:4]


def test_an_architecture_for_images_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnknownArchitecture, match="lenetlike is for images, not for points of 3 coordinates, 1 value"):
        make(tmp_path / "zoo", replace(PLAN, arch="lenetlike"))
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize(
    ("name", "io"),
    [("siren", FieldIO(3, 1)), ("siren-5x1", FieldIO(2, 3)), ("siren-256x1", FieldIO(3, 1))],
)
def test_networks_of_sines_are_recognised_by_their_layers(tmp_path: Path, name: str, io: FieldIO) -> None:
    torch.manual_seed(0)
    state = fresh_module(name, io).state_dict()
    torch.save(state, tmp_path / "net.pt")
    found = read_network(tmp_path / "net.pt").architecture
    assert (found.name, found.io) == (name, io)


@pytest.mark.parametrize("name", ["siren-5x1", "siren-5x3"])
def test_a_network_of_sines_may_be_named_and_is_no_other(tmp_path: Path, name: str) -> None:
    torch.save(fresh_module(name, FieldIO(2, 3)).state_dict(), tmp_path / "net.pt")
    found = read_network(tmp_path / "net.pt", arch=name).architecture
    assert (found.name, found.io) == (name, FieldIO(2, 3))
    with pytest.raises(UnknownArchitecture) as refused:
        read_network(tmp_path / "net.pt", arch="siren-6x2")
    assert refused.value.hint == "It is not a siren-6x2; leave out `arch` to have it recognised."


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("layers.1.weight", (8, 7)),
        ("layers.2.bias", (2,)),
        ("layers.1.bias", (9,)),
        ("layers.0.weight", (8, 3, 1)),
        ("other", (3,)),
    ],
)
def test_layers_that_do_not_fit_each_other_are_no_network_of_sines(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    state = dict(fresh_module("siren-8x2", FieldIO(3, 1)).state_dict())
    state[name] = torch.zeros(shape)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(UnknownArchitecture, match=r"net\.pt"):
        read_network(tmp_path / "net.pt")


def test_a_zoo_s_record_is_plain_json(whole: Zoo) -> None:
    record = json.loads((whole.path / "zoo.json").read_text())
    assert (record["format"], record["data"], record["licence"]) == ("netspace-zoo", whole.data, "CC0-1.0")


def test_the_errors_of_a_zoo_are_those_that_so_many_do_not_exceed() -> None:
    def of(errors: list[float]) -> FitErrors:
        instances = tuple(
            Instance(str(i), "siren", "train", "", "", training={"error": e}) for i, e in enumerate(errors)
        )
        return fit_errors(Zoo(Path("zoo"), {}, instances))

    assert of([0.01 * i for i in range(20, 0, -1)]) == FitErrors(20, 0.1, 0.19, 0.2)
    assert of([0.5]) == FitErrors(1, 0.5, 0.5, 0.5)
