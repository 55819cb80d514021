"""Paths: their ends are the networks themselves, a step that fails keeps its place, baselines are fair."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError
from netspace_models.space_model import SpaceModel
from torch import Tensor

from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.networks import path_step as walking
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.networks.scores import accuracy, cross_entropy, labels_of
from netspace_cli.core.paths.path import aligned, gammas, interpolate, interpolate_weights, weight_paths
from netspace_cli.core.paths.walks import network_at
from netspace_cli.core.requests.inputs import Input
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import Origin
from tests.worlds import Tiny


def ends(tiny: Tiny) -> tuple[Tensor, Tensor]:
    """Embeddings that stand for two architectures, if the space tells any two apart."""
    rows = tiny.space.embeddings
    return rows[0], rows[-1]


def walk(tiny: Tiny, start: Tensor, end: Tensor, **options: Any) -> list[Step]:
    with Runner("cpu") as runner:
        return interpolate(start, end, tiny.space, runner, **{"steps": 4, **options})


def two_lenets(tiny: Tiny) -> list[Network]:
    chosen = tiny.single_zoo.select(arch="lenetlike")[:2]
    return [read_network(tiny.single_zoo.file_of(i), candidates=tiny.space.architectures) for i in chosen]


def test_gammas_run_from_nought_to_one_exactly() -> None:
    for steps in (1, 3, 7, 10, 49):
        found = gammas(steps)
        assert len(found) == steps + 1
        assert (found[0], found[-1]) == (0.0, 1.0)
        assert found == sorted(set(found))
    with pytest.raises(ConfigError, match="a path cannot have 0 steps"):
        gammas(0)


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_the_ends_are_the_decoded_ends_bit_for_bit(tiny: Tiny, steps: int) -> None:
    start, end = ends(tiny)
    path = walk(tiny, start, end, steps=steps)
    assert [s.step for s in path] == list(range(steps + 1))
    for step, vector in ((path[0], start), (path[-1], end)):
        wanted = decode_row(vector, tiny.space)
        assert step.network.architecture is wanted.architecture
        assert torch.equal(step.network.weights, wanted.weights)


def test_the_ends_are_of_the_architectures_they_are_said_to_be(tiny: Tiny) -> None:
    start, end = ends(tiny)
    names = [a.name for a in tiny.space.architectures]
    for first, last in zip(names, reversed(names), strict=True):
        path = walk(tiny, start, end, ends=(first, last))
        free = walk(tiny, start, end)
        assert (path[0].network.architecture.name, path[-1].network.architecture.name) == (first, last)
        assert torch.equal(path[0].network.weights, decode_row(start, tiny.space, arch=first).weights)
        assert [s.row() for s in path[1:-1]] == [s.row() for s in free[1:-1]]


def test_backwards_is_the_same_path(tiny: Tiny) -> None:
    start, end = ends(tiny)
    forth, back = walk(tiny, start, end), walk(tiny, end, start)
    for a, b in zip(forth, back[::-1], strict=True):
        assert a.network.architecture is b.network.architecture
        assert torch.allclose(a.network.weights, b.network.weights, atol=1e-5)


def test_scores_are_those_of_the_network_at_the_step(tiny: Tiny) -> None:
    path = walk(tiny, *ends(tiny), data=tiny.data)
    images, labels = tiny.data.batch("test", slice(None))
    for step in path:
        logits = step.network.architecture.run(step.network.weights, images)
        assert step.accuracy == pytest.approx(accuracy(logits, labels))
        assert step.loss == pytest.approx(cross_entropy(logits, labels), rel=1e-4)
    on_val = walk(tiny, *ends(tiny), data=tiny.data, split="val")
    assert [s.loss for s in on_val] != [s.loss for s in path]


def test_without_images_the_path_is_decoded_only(tiny: Tiny) -> None:
    path = walk(tiny, *ends(tiny))
    assert all((s.accuracy, s.loss, s.error) == (None, None, "") for s in path)
    assert set(path[0].row()) == {"step", "gamma", "arch", "parameters"}


def test_a_step_that_fails_keeps_its_place(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    start, end = ends(tiny)
    good = walk(tiny, start, end, data=tiny.data)
    decode = type(tiny.space.model).decode
    middle = 0.5 * start + 0.5 * end

    def failing(self: SpaceModel, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        found = decode(self, arch, embeddings, start)
        return found * float("nan") if torch.equal(embeddings[0], middle) else found

    monkeypatch.setattr(type(tiny.space.model), "decode", failing)
    path = walk(tiny, start, end, data=tiny.data)
    assert [s.error for s in path] == ["", "", "weights are not finite", "", ""]
    assert (path[2].step, path[2].gamma, path[2].accuracy, path[2].loss) == (2, 0.5, None, None)
    assert path[2].row()["error"] == "weights are not finite"
    assert [s.row() for s in (*path[:2], *path[3:])] == [s.row() for s in (*good[:2], *good[3:])]


def test_outputs_that_are_not_finite_are_a_failed_step_too(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    logits_of_each = walking.logits_of_each
    monkeypatch.setattr(walking, "logits_of_each", lambda *a: (each * float("inf") for each in logits_of_each(*a)))
    path = walk(tiny, *ends(tiny), data=tiny.data)
    assert [s.error for s in path] == ["outputs are not finite"] * 5


def test_weights_of_two_architectures_are_refused(tiny: Tiny) -> None:
    a, b = (read_network(tiny.networks[n], candidates=tiny.space.architectures) for n in ("lenetlike", "resnet8"))
    with pytest.raises(ConfigError, match=r"weights of a lenetlike \(.*\) and a resnet8 \(.*\)") as refused:
        interpolate_weights(a, b, Runner("cpu"), steps=2)
    assert "Leave out `interpolate_weights`" in refused.value.hint


def test_weights_for_two_kinds_of_images_are_refused() -> None:
    from netspace_models.architectures import ImageIO, build

    one, other = (build("lenetlike", s) for s in (ImageIO(1, 8, 3), ImageIO(3, 32, 10)))
    a, b = (Network(x, torch.zeros(x.parameter_count)) for x in (one, other))
    with pytest.raises(ConfigError, match="1x8x8, 3 classes.*3x32x32, 10 classes"):
        interpolate_weights(a, b, Runner("cpu"), steps=2)


def test_a_path_between_weights_is_a_straight_line(tiny: Tiny) -> None:
    a, b = two_lenets(tiny)
    path = interpolate_weights(a, b, Runner("cpu"), steps=4)
    assert torch.equal(path[0].network.weights, a.weights)
    assert torch.equal(path[-1].network.weights, b.weights)
    assert torch.allclose(path[1].network.weights, 0.75 * a.weights + 0.25 * b.weights)


def test_aligning_keeps_the_function_and_comes_nearer(tiny: Tiny) -> None:
    a, b = two_lenets(tiny)
    moved = aligned(a, b, Runner("cpu"))
    images, _ = tiny.data.batch("test", slice(None))
    assert torch.allclose(
        moved.architecture.run(moved.weights, images), b.architecture.run(b.weights, images), atol=1e-4
    )
    assert (moved.weights - a.weights).norm() < (b.weights - a.weights).norm()
    shuffled = Network(a.architecture, a.architecture.shuffle(a.weights, torch.Generator().manual_seed(1)))
    assert torch.equal(aligned(a, shuffled, Runner("cpu")).weights, a.weights)


def test_baselines_begin_and_end_with_the_networks_functions(tiny: Tiny) -> None:
    a, b = two_lenets(tiny)
    inputs = [Input(tiny.npz, torch.zeros(64), Origin("lenetlike"), n) for n in (a, b)]
    with Runner("cpu") as runner:
        one, other = (network_at(i.end, tiny.space, runner) for i in inputs)
        paths = weight_paths(one, other, runner, steps=2, data=tiny.data)
    assert set(paths) == {"weights", "aligned weights"}
    images, _ = tiny.data.batch("test", slice(None))
    labels = labels_of(tiny.data, "test")
    for path in paths.values():
        for step, network in ((path[0], a), (path[-1], b)):
            wanted = network.architecture.run(network.weights, images)
            found = step.network.architecture.run(step.network.weights, images)
            assert torch.allclose(found, wanted, atol=1e-4)
            assert step.accuracy == pytest.approx(accuracy(wanted, labels))


def test_inputs_that_were_embeddings_take_part_as_what_they_decode_to(tiny: Tiny) -> None:
    vector = tiny.single_space.embeddings[0]
    inputs = [Input(tiny.npz, vector, Origin("lenetlike"), n) for n in (None, two_lenets(tiny)[0])]
    with Runner("cpu") as runner:
        one, other = (network_at(i.end, tiny.single_space, runner) for i in inputs)
        paths = weight_paths(one, other, runner, steps=1)
    assert torch.equal(paths["weights"][0].network.weights, decode_row(vector, tiny.single_space).weights)
