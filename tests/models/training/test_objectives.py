"""What a step minimises, checked on a backbone that writes down what it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture, FieldIO, ImageIO
from netspace_models.backbones import Backbone
from netspace_models.parameters.spec import NetworkSpec
from netspace_models.space_model import SpaceModel
from netspace_models.training.losses import blended, distillation, task_and_teacher
from netspace_models.training.objectives import BLEND_WIDTH, Batch, LossConstants, several_objective, single_objective
from torch import Tensor, nn

NAMES = ("tiny", "small", "large", "huge")
IMAGES, LABELS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 1, 0, 1])
TEACHER = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))


@dataclass(frozen=True)
class Linear:
    """An architecture of six parameters: three features in, two logits out, `turn` apart from the others."""

    name: str
    parameter_count: int
    turn: Tensor

    io = ImageIO(1, 2, 3)

    def run(self, vector: Tensor, inputs: Tensor) -> Tensor:
        return inputs @ vector.reshape(3, 2) + self.turn

    def run_several(self, vectors: Tensor, inputs: Tensor) -> Tensor:
        return inputs @ vectors.reshape(-1, 3, 2) + self.turn


class Recorder(Backbone):
    """Embeddings are the parameters doubled, decoding halves them; both are written down."""

    embedding_size = 6
    specs: Mapping[str, NetworkSpec] = {}

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []
        self.decoded: list[tuple[str, Tensor]] = []
        self.asked: list[str] = []

    def encode(self, arch: str, vectors: Tensor) -> Tensor:
        self.encoded.append(arch)
        return vectors * 2

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        self.asked.append(arch)
        self.decoded += [(arch, e) for e in embeddings]
        return embeddings / 2


def space(names: tuple[str, ...] = NAMES) -> SpaceModel:
    torch.manual_seed(0)
    # A turn alike in both logits would not show.
    made = [Linear(n, 6 + i, torch.tensor([0.0, float(i)])) for i, n in enumerate(names)]
    architectures = [cast(Architecture, a) for a in made]
    return SpaceModel(architectures, Recorder(), nn.Linear(6, len(names)) if len(names) > 1 else None)


def instances(*counts: int, names: tuple[str, ...] = NAMES) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    drawn = {n: torch.randn(c, 6, generator=generator) for n, c in zip(names, counts, strict=True)}
    return {n: v for n, v in drawn.items() if len(v)}


def kd(model: SpaceModel, arch: str, vector: Tensor, teacher: Tensor | None = TEACHER) -> Tensor:
    logits = model.architecture(arch).run(vector, IMAGES)
    return task_and_teacher(logits, teacher, LABELS, temperature=4.0, alpha=0.9)


def class_loss(model: SpaceModel, embedding: Tensor, class_id: int) -> Tensor:
    assert model.head is not None
    return F.cross_entropy(model.head(embedding[None]), torch.tensor([class_id]))


BATCH = Batch(IMAGES, LABELS, TEACHER)


def test_the_published_constants_are_the_defaults() -> None:
    assert LossConstants() == LossConstants(temperature=4.0, alpha=0.9, interpolation=1.0)


def test_one_architecture_imitates_its_own_targets_in_the_mean() -> None:
    model = space(("tiny",))
    inputs, targets = torch.randn(3, 6), torch.randn(3, 6)
    terms = single_objective(model, "tiny", inputs, targets, BATCH, LossConstants(temperature=3.0))
    logits = [(IMAGES @ p.reshape(3, 2), IMAGES @ t.reshape(3, 2)) for p, t in zip(inputs, targets, strict=True)]
    losses = [distillation(predicted, target, temperature=3.0) for predicted, target in logits]
    assert set(terms) == {"pred"}
    torch.testing.assert_close(terms["pred"], torch.stack(losses).mean())


def test_an_instance_that_decodes_to_its_target_costs_nothing() -> None:
    vectors = torch.randn(2, 6)
    terms = single_objective(space(("tiny",)), "tiny", vectors, vectors, BATCH, LossConstants())
    assert terms["pred"].item() == pytest.approx(0, abs=1e-5)


def test_targets_and_teachers_have_no_gradient() -> None:
    inputs, targets = torch.randn(2, 6, requires_grad=True), torch.randn(2, 6, requires_grad=True)
    single_objective(space(("tiny",)), "tiny", inputs, targets, BATCH, LossConstants())["pred"].backward()
    assert targets.grad is None
    assert inputs.grad is not None
    assert inputs.grad.abs().sum() > 0


@pytest.mark.parametrize("teacher", [TEACHER, None])
def test_several_architectures_sum_over_instances(teacher: Tensor | None) -> None:
    model, given = space(), instances(2, 1, 0, 3)
    terms = several_objective(model, given, given, Batch(IMAGES, LABELS, teacher), LossConstants(interpolation=0))
    assert set(terms) == {"kd", "class"}
    expected = sum(kd(model, arch, v, teacher) for arch, vectors in given.items() for v in vectors)
    torch.testing.assert_close(terms["kd"], expected)
    ids = sum(class_loss(model, 2 * v, NAMES.index(arch)) for arch, vectors in given.items() for v in vectors)
    torch.testing.assert_close(terms["class"], ids)


def test_with_a_weight_instances_of_several_architectures_imitate_themselves_too() -> None:
    model, inputs = space(), instances(2, 1, names=NAMES[:2])
    targets = {name: vectors + 1 for name, vectors in inputs.items()}
    plain = several_objective(model, inputs, targets, BATCH, LossConstants(interpolation=0))
    assert set(plain) == {"kd", "class"}
    terms = several_objective(model, inputs, targets, BATCH, LossConstants(interpolation=0, self_imitation=3.0))
    expected = [
        distillation(model.architecture(name).run(v, IMAGES), model.architecture(name).run(t, IMAGES), temperature=1.0)
        for name in inputs
        for v, t in zip(inputs[name], targets[name], strict=True)
    ]
    torch.testing.assert_close(terms.pop("own"), 3 * torch.stack(expected).sum())
    assert terms == plain
    same = several_objective(model, inputs, inputs, BATCH, LossConstants(interpolation=0, self_imitation=3.0))
    assert float(same["own"]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("count", [3, 4])
def test_interpolated_instances_stand_at_the_published_gammas(count: int) -> None:
    names = NAMES[:count]
    model = space(names)
    given = instances(*([1] * count), names=names)
    several_objective(model, given, given, BATCH, LossConstants())
    recorder = cast(Recorder, model.backbone)
    assert recorder.encoded == list(names)
    a, b = 2 * given[names[0]][0], 2 * given[names[-1]][0]
    for i, name in enumerate(names):
        own, *between = (embedding for arch, embedding in recorder.decoded if arch == name)
        assert torch.equal(own, 2 * given[name][0])
        assert len(between) == (0 < i < count - 1)
        for embedding in between:
            gamma = i / (count - 1)
            torch.testing.assert_close(embedding, (1 - gamma) * a + gamma * b)


def test_interpolation_sums_over_all_boundary_pairs_with_the_class_ids_between() -> None:
    model, given = space(), instances(2, 1, 1, 3)
    terms = several_objective(model, given, given, BATCH, LossConstants(interpolation=0.5))
    expected = torch.zeros(())
    for a in given["tiny"]:
        for b in given["huge"]:
            for class_id, arch in ((1, "small"), (2, "large")):
                between = a + class_id / 3 * (b - a)
                expected = expected + class_loss(model, 2 * between, class_id) + kd(model, arch, between)
    torch.testing.assert_close(terms["interp"], 0.5 * expected)
    recorder = cast(Recorder, model.backbone)
    assert len(recorder.decoded) == 7 + 2 * 3 * 2
    assert recorder.asked == list(NAMES)  # each architecture once, however many of its networks there are


def test_the_other_terms_do_not_depend_on_interpolation() -> None:
    model, given = space(), instances(1, 1, 1, 1)
    on, off = (several_objective(model, given, given, BATCH, LossConstants(interpolation=w)) for w in (1.0, 0.0))
    assert "interp" not in off
    assert torch.equal(on["kd"], off["kd"])
    assert torch.equal(on["class"], off["class"])


def test_two_architectures_have_nothing_between_them() -> None:
    names = NAMES[:2]
    terms = several_objective(
        space(names), instances(1, 1, names=names), instances(1, 1, names=names), BATCH, LossConstants()
    )
    assert set(terms) == {"kd", "class"}


@pytest.mark.parametrize("counts", [(0, 1, 1, 1), (1, 1, 1, 0), (0, 2, 0, 0)])
def test_without_a_boundary_pair_interpolation_is_zero(counts: tuple[int, ...]) -> None:
    model, given = space(), instances(*counts)
    terms = several_objective(model, given, given, BATCH, LossConstants())
    assert terms["interp"].item() == 0
    assert len(cast(Recorder, model.backbone).decoded) == sum(counts)
    sum(terms.values(), torch.zeros(())).backward()


def test_unseen_architectures_are_trained_by_interpolation_alone() -> None:
    """As the experiment with the middle two left out: their decoders still get a gradient."""
    model, given = space(), instances(1, 0, 0, 1)
    vectors = {arch: v.requires_grad_() for arch, v in given.items()}
    several_objective(model, vectors, vectors, BATCH, LossConstants())["interp"].backward()
    assert [arch for arch, _ in cast(Recorder, model.backbone).decoded[2:]] == ["small", "large"]
    assert all(v.grad is not None and v.grad.abs().sum() > 0 for v in vectors.values())
    assert model.head is not None
    assert all(p.grad is not None for p in model.head.parameters())


class Lines:
    """Networks of two numbers: slope and height of a line through one coordinate."""

    name, parameter_count = "line", 2
    io = FieldIO(1, 1)

    def run_each(self, vectors: Tensor, points: Tensor) -> Tensor:
        points = points.expand(len(vectors), -1, -1)
        return vectors[:, :1, None] * points + vectors[:, 1:, None]


def lines() -> SpaceModel:
    return SpaceModel([cast(Architecture, Lines())], Recorder(), None)


def test_between_two_pictures_stands_their_mean_and_between_two_distances_their_blend() -> None:
    vectors, points = torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.5, -1.0]]), torch.rand(6, 1)
    gammas = torch.tensor([0.25, 0.5, 1.0])
    for distances in (False, True):
        batch = Batch(points, gammas=gammas, distances=distances)
        terms = single_objective(lines(), "line", vectors, vectors, batch, LossConstants(interpolation=3.0))
        assert terms["pred"] == 0
        # A line's own mean is the mean of the lines, so this decoder is right where values are averaged.
        values = Lines().run_each(vectors, points)
        mean = torch.lerp(values, values.roll(-1, 0), gammas[:, None, None])
        blend = blended(values, values.roll(-1, 0), gammas[:, None, None], width=BLEND_WIDTH)
        expected = 3 * F.mse_loss(mean, blend) if distances else torch.zeros(())
        torch.testing.assert_close(terms["interp"], expected, atol=1e-6, rtol=1e-4)


def test_paths_are_looked_at_where_the_points_of_both_their_ends_lie() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    points = torch.tensor([[[0.0], [0.0]], [[5.0], [5.0]]])
    asked = []

    class Asked(Lines):
        def run_each(self, vectors: Tensor, points: Tensor) -> Tensor:
            asked.append(points)
            return super().run_each(vectors, points)

    model = SpaceModel([cast(Architecture, Asked())], Recorder(), None)
    single_objective(model, "line", vectors, vectors, Batch(points, gammas=torch.rand(2)), LossConstants())
    assert torch.equal(asked[-1], torch.tensor([[[0.0], [5.0]], [[5.0], [0.0]]]))


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_no_paths_without_gammas_or_weight(weight: float) -> None:
    vectors = torch.randn(2, 2)
    batch = Batch(torch.rand(4, 1), gammas=None if weight else torch.rand(2))
    assert set(single_objective(lines(), "line", vectors, vectors, batch, LossConstants(interpolation=weight))) == {
        "pred"
    }


def test_a_blend_is_what_it_lies_between_and_keeps_thin_parts() -> None:
    a, b = torch.tensor([-0.02, 0.3, -0.1]), torch.tensor([0.3, -0.02, -0.1])
    ends = [blended(a, b, torch.tensor(g), width=0.015) for g in (0.0, 1.0)]
    torch.testing.assert_close(ends[0], a)
    torch.testing.assert_close(ends[1], b)
    middle = blended(a, b, torch.tensor(0.5), width=0.015)
    assert (middle < 0).all() and ((a + b) / 2)[:2].min() > 0
    assert middle[2].item() == pytest.approx(-0.1)
