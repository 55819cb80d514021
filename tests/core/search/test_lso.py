"""Latent space optimisation: only the embedding moves, validation chooses, the test split waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.errors import ConfigError, RunFailed, WrongSpace
from torch import Tensor

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.networks.scores import accuracy, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search import image_objective as goal_module
from netspace_cli.core.search.lso import Optimised, Optimiser, decoded_network, optimise, optimiser_for
from netspace_cli.core.spaces.space import Space
from tests.worlds import Solids, Tiny


def search(tiny: Tiny, *, single: bool = False, seed: int = 0, row: int = 0, **options: Any) -> Optimised:
    space = tiny.single_space if single else tiny.space
    start, wanted = options.pop("start", space.embeddings[row]), {n: options.pop(n, None) for n in ("arch", "teacher")}
    with Runner("cpu", seed=seed) as runner:
        return optimise(start, space, tiny.data, runner, **wanted, optimiser=adam(space, **options))


def adam(space: Space, **options: Any) -> Optimiser:
    return optimiser_for(space, **{"steps": 10, "lr": 0.05, "images": 16, **options})


def teacher_of(tiny: Tiny) -> Network:
    return read_network(tiny.teacher, io=tiny.data.io)


def accuracy_of(
    tiny: Tiny, vector: Tensor, split: str, space: Space | None = None, *, arch: str | None = None
) -> float:
    with Runner("cpu") as runner:
        built = decode_row(vector, space or tiny.space, arch=arch)
        return accuracy(
            logits_of(built.architecture, built.weights, tiny.data, split, runner), labels_of(tiny.data, split)
        )


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("guided", [False, True])
def test_only_the_embedding_moves(tiny: Tiny, single: bool, guided: bool) -> None:
    space = tiny.single_space if single else tiny.space
    before = {n: t.clone() for n, t in space.model.state_dict().items()}
    start = space.embeddings[0].clone()
    found = search(tiny, single=single, start=start, teacher=teacher_of(tiny) if guided else None, validate_every=1)
    assert all(torch.equal(t, before[n]) for n, t in space.model.state_dict().items())
    assert torch.equal(start, space.embeddings[0])
    assert all(p.grad is None for p in space.model.parameters())
    assert found.embedding.shape == start.shape
    assert not found.embedding.requires_grad
    assert [line["step"] for line in found.history] == list(range(1, 11))


@pytest.mark.parametrize("row", range(3))
@pytest.mark.parametrize("lr", [0.05, 50.0])
def test_the_best_by_validation_is_kept_and_is_never_worse_than_the_start(tiny: Tiny, row: int, lr: float) -> None:
    found = search(tiny, single=True, row=row, lr=lr, validate_every=2)
    start = tiny.single_space.embeddings[row]
    looks = {line["step"]: line["val_accuracy"] for line in found.history if "val_accuracy" in line}
    assert sorted(looks) == [2, 4, 6, 8, 10]
    before = accuracy_of(tiny, start, "val", tiny.single_space)
    after = accuracy_of(tiny, found.embedding, "val", tiny.single_space)
    assert after == max([before, *looks.values()])
    if found.step == 0:
        assert torch.equal(found.embedding, start)
    else:
        assert looks[found.step] == after


def test_it_gets_better_where_there_is_something_to_gain(tiny: Tiny) -> None:
    found = search(tiny, single=True, steps=40)
    losses = [line["loss"] for line in found.history]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert found.optimised.loss < found.initial.loss


def test_initial_and_optimised_are_scores_on_the_test_split(tiny: Tiny) -> None:
    found = search(tiny)
    assert found.initial.accuracy == pytest.approx(accuracy_of(tiny, tiny.space.embeddings[0], "test"))
    assert found.optimised.accuracy == pytest.approx(accuracy_of(tiny, found.embedding, "test"))


def test_the_test_split_is_looked_at_after_all_is_decided(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    batch, augmented = ImageData.batch, ImageData.augmented

    def spy_batch(self: ImageData, split: str, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        asked.append(split)
        return batch(self, split, index)

    def spy_augmented(self: ImageData, split: str, index: Tensor | slice, **options: Any) -> tuple[Tensor, Tensor]:
        asked.append(f"{split}, augmented")
        return augmented(self, split, index, **options)

    monkeypatch.setattr(ImageData, "batch", spy_batch)
    monkeypatch.setattr(ImageData, "augmented", spy_augmented)
    search(tiny, validate_every=2)
    first = asked.index("test")
    assert set(asked[:first]) == {"val", "train, augmented"}
    assert set(asked[first:]) == {"test"}
    assert asked.count("train, augmented") == 10


def test_test_images_choose_nothing(tiny: Tiny) -> None:
    from dataclasses import replace

    test = tiny.data.splits["test"]
    other = replace(test, images=255 - test.images, labels=test.labels.flip(0))
    data = replace(tiny.data, splits={**tiny.data.splits, "test": other})
    with Runner("cpu") as runner:
        found = optimise(tiny.space.embeddings[0], tiny.space, data, runner, optimiser=adam(tiny.space))
    wanted = search(tiny)
    assert torch.equal(found.embedding, wanted.embedding)
    assert (found.step, found.history) == (wanted.step, wanted.history)


def test_the_same_seed_gives_the_same_search_and_another_does_not(tiny: Tiny) -> None:
    first = search(tiny)
    torch.manual_seed(9)
    again = search(tiny)
    assert torch.equal(again.embedding, first.embedding)
    assert again.history == first.history
    assert search(tiny, seed=1).history != first.history


def test_another_architecture_than_the_one_recognised_can_be_asked_for(tiny: Tiny) -> None:
    """What is kept stands for the architecture wanted, and what is told is of the instance it decodes to."""
    start = tiny.space.embeddings[0]
    own = tiny.space.model.recognise(start[None])[0].name
    for wanted in {a.name for a in tiny.space.architectures} - {own}:
        found = search(tiny, arch=wanted, steps=60, lr=0.1, validate_every=5)
        assert found.initial.arch == own
        assert found.initial.accuracy == pytest.approx(accuracy_of(tiny, start, "test", arch=wanted))
        assert found.optimised.arch == wanted == tiny.space.model.recognise(found.embedding[None])[0].name
        assert found.optimised.accuracy == pytest.approx(accuracy_of(tiny, found.embedding, "test"))
        with Runner("cpu") as runner:
            network = decoded_network(found, tiny.space, runner)
        assert network.architecture.name == wanted
        assert torch.equal(network.weights, decode_row(found.embedding, tiny.space).weights)


def test_an_architecture_that_the_space_lacks_is_refused(tiny: Tiny) -> None:
    with pytest.raises(WrongSpace, match="no resnet14"):
        search(tiny, arch="resnet14")


@pytest.mark.parametrize("steps", [0, -1])
def test_fewer_than_one_step_is_refused(tiny: Tiny, steps: int) -> None:
    with pytest.raises(ConfigError, match=f"cannot optimise in {steps} steps"):
        search(tiny, steps=steps)


def test_steps_beside_an_optimiser_are_refused(tiny: Tiny) -> None:
    start = tiny.space.embeddings[0]
    with (
        Runner("cpu") as runner,
        pytest.raises(ConfigError, match=r"`steps=3` and an optimiser of 10 steps") as refused,
    ):
        optimise(start, tiny.space, tiny.data, runner, steps=3, optimiser=adam(tiny.space))
    assert refused.value.hint == "Leave out `steps`."


def test_steps_alone_leave_the_rest_as_the_space_records_it(tiny: Tiny) -> None:
    space, start = recorded(tiny.space, "lso", images=16, lr=0.05), tiny.space.embeddings[0]
    with Runner("cpu", seed=0) as runner:
        assert optimise(start, space, tiny.data, runner, steps=10).history == search(tiny).history


def test_a_single_step_is_enough(tiny: Tiny) -> None:
    assert [set(line) for line in search(tiny, steps=1).history] == [{"step", "loss", "val_accuracy", "val_loss"}]


def test_a_teacher_for_other_classes_is_refused(tiny: Tiny) -> None:
    other = build("resnet8", ImageIO(1, 8, 7))
    with pytest.raises(ConfigError, match="7 classes; these images are 1x8x8, 3 classes"):
        search(tiny, teacher=Network(other, torch.zeros(other.parameter_count)))


def test_a_loss_that_is_not_finite_ends_the_search(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = goal_module.ImageObjective.loss
    steps: list[int] = []

    def failing(self: goal_module.ImageObjective, *rest: Any) -> Tensor:
        steps.append(1)
        return loss(self, *rest) * (float("nan") if len(steps) == 4 else 1.0)

    monkeypatch.setattr(goal_module.ImageObjective, "loss", failing)
    with pytest.raises(RunFailed, match="the loss is not finite at step 4 of 10"):
        search(tiny)


def test_the_loss_told_is_that_of_eq_5_and_6_by_hand(tiny: Tiny) -> None:
    """With the teacher, with the labels alone, and for one architecture eq. 1."""
    teacher = read_network(tiny.teacher, io=tiny.data.io)
    images, labels = tiny.data.batch("test", slice(0, 30))
    with torch.no_grad(), Runner("cpu") as runner:
        guide = teacher.architecture.run(teacher.weights, images)
        for space in (tiny.space, tiny.single_space):
            embedding = space.embeddings[0]
            architecture = space.model.recognise(embedding[None])[0]
            logits = architecture.run(space.model.decode(architecture.name, embedding[None])[0], images)
            divergence = torch.nn.functional.kl_div(
                (logits / 4).log_softmax(1), (guide / 4).log_softmax(1), log_target=True, reduction="batchmean"
            )
            task = torch.nn.functional.cross_entropy(logits, labels)
            several = len(space.architectures) > 1
            wanted = torch.tensor([space.model.class_id(architecture.name)])
            known = torch.nn.functional.cross_entropy(space.model.classify(embedding[None]), wanted) if several else 0.0
            taught = 0.9 * 16 * divergence + 0.1 * task + known if several else 16 * divergence
            for given, expected in ((teacher, taught), (None, task + known)):
                with torch.enable_grad():
                    found = optimise(embedding, space, tiny.data, runner, teacher=given, steps=1)
                assert found.initial.loss == pytest.approx(float(expected), rel=1e-3)


def recorded(space: Space, section: str, **values: Any) -> Space:
    """A space whose record says otherwise."""
    recipe = space.record["recipe"]
    changed = {**recipe, section: {**recipe[section], **values}}
    return replace(space, record={**space.record, "recipe": changed})


def test_what_is_left_open_is_as_the_space_records_it(tiny: Tiny, solids: Solids) -> None:
    solved = recorded(solids.space, "refine", method="gauss-newton", steps=7, images=99)
    assert optimiser_for(tiny.space) == Optimiser("adam", 200, 128)
    assert optimiser_for(tiny.space, steps=3, images=5, lr=0.2) == Optimiser("adam", 3, 5, 0.2)
    assert optimiser_for(recorded(tiny.space, "lso", steps=4, images=6)) == Optimiser("adam", 4, 6)
    assert optimiser_for(solids.space) == Optimiser("adam", 200, 128)
    assert optimiser_for(solved) == Optimiser("gauss-newton", 7, 99)
    assert optimiser_for(solved, steps=2, images=9) == Optimiser("gauss-newton", 2, 9)
    assert optimiser_for(solved, method="adam", lr=0.1) == Optimiser("adam", 200, 128, 0.1)


def test_each_architecture_is_optimised_at_its_own_rate(tiny: Tiny) -> None:
    space = recorded(tiny.space, "lso", lr=0.02, rates={"vanillacnn": 0.5})
    found = {}
    with Runner("cpu", seed=0) as runner:
        for arch in ("lenetlike", "vanillacnn"):
            start = torch.zeros(space.model.embedding_size)
            found[arch] = optimise(start, space, tiny.data, runner, arch=arch, steps=1)
            same = optimiser_for(space, steps=1, lr=found[arch].lr)
            given = optimise(start, space, tiny.data, runner, arch=arch, optimiser=same)
            assert given.history == found[arch].history
    assert {arch: each.lr for arch, each in found.items()} == {"lenetlike": 0.02, "vanillacnn": 0.5}
    assert Optimiser("adam", 1, 1, 0.3).rate(space, "vanillacnn") == 0.3
    assert Optimiser("gauss-newton", 1, 1).rate(space, "vanillacnn") is None
