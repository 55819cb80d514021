"""One step of training is the published loss, at the rate and on the inputs that the recipe says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from netspace_models.backbones import TokensBackbone
from netspace_models.errors import ConfigError, RunFailed
from netspace_models.training.augmentations import augmented_view, deviation
from netspace_models.training.objectives import Terms
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

import netspace_cli.core.training.step as step_module
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.data.points import field_data
from netspace_cli.core.kinds.images import ImageKind
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import TrainRecipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.step import Task, _batch, rate_at, take_step, validate
from tests.imagined import imagined, watched_device
from tests.worlds import Solids, Tiny


def task_of(tiny: Tiny, runner: Runner, **train: Any) -> Task:
    table = tiny.recipe.model_dump()
    table["train"] |= {"shuffle": False, "interpolation": 0.0, **train}
    teacher = read_network(tiny.teacher, io=tiny.data.io)
    return prepare(tiny.zoo, recipe_from(table), tiny.data, runner, teacher=teacher)


def test_a_step_of_several_architectures_is_eq_5_and_6_by_hand(tiny: Tiny) -> None:
    with Runner("cpu") as runner:
        # All training instances at once, so that which are drawn does not matter.
        task = task_of(tiny, runner, instances=2)
        state = new_state(task)
        batch = _batch(task, 0, runner.generator("step", 0))
        assert task.teacher is not None and batch.labels is not None
        with torch.no_grad():
            teacher = task.teacher.architecture.run(task.teacher.weights, batch.inputs)
            kd = class_loss = 0.0
            for class_id, a in enumerate(task.training.architectures):
                embeddings = state.model.encode(a.name, task.training.weights["train", a.name])
                wanted = torch.full((len(embeddings),), class_id)
                class_loss += F.cross_entropy(state.model.classify(embeddings), wanted, reduction="sum").item()
                for vector in state.model.decode(a.name, embeddings):
                    logits = a.run(vector, batch.inputs)
                    t, p = (teacher / 4).softmax(1), (logits / 4).log_softmax(1)
                    divergence = (t * (t.log() - p)).sum(1).mean()
                    kd += (0.9 * 16 * divergence + 0.1 * F.cross_entropy(logits, batch.labels)).item()
        terms = take_step(task, state)
    assert terms["kd"] == pytest.approx(kd, rel=1e-4)
    assert terms["class"] == pytest.approx(class_loss, rel=1e-4)
    assert terms["loss"] == pytest.approx(kd + class_loss, rel=1e-4)


def test_the_rate_rises_then_falls_as_a_cosine_or_stays() -> None:
    recipe = TrainRecipe(steps=110, warmup=10, lr=0.5)
    assert [rate_at(s, recipe) for s in (0, 4, 9, 10)] == pytest.approx([0.05, 0.25, 0.5, 0.5])
    assert rate_at(60, recipe) == pytest.approx(0.25)
    assert rate_at(35, recipe) == pytest.approx(0.25 * (1 + math.cos(math.pi / 4)))
    assert rate_at(109, recipe) < 1e-3
    assert rate_at(109, TrainRecipe(steps=110, warmup=10, lr=0.5, schedule="constant")) == 0.5


def test_noise_is_a_share_of_each_layers_deviation_and_leaves_the_targets_alone(tiny: Tiny) -> None:
    architecture = tiny.space.model.architecture("resnet8")
    vectors = torch.stack(tiny.zoo.weights(tiny.zoo.select(arch="resnet8"), architecture))
    before = vectors.clone()
    recipe = TrainRecipe(shuffle=False, noise=0.5)
    seen = augmented_view(architecture, vectors, recipe.augmentations, torch.Generator().manual_seed(0))
    assert torch.equal(vectors, before)
    for layer in architecture.spec.layers:
        part, moved = vectors[:, layer.start : layer.stop], (seen - vectors)[:, layer.start : layer.stop]
        if part.shape[1] > 200:
            assert moved.std().item() == pytest.approx(0.5 * part.std().item(), rel=0.15)
    quiet = augmented_view(architecture, vectors, TrainRecipe(shuffle=False).augmentations, torch.Generator())
    assert torch.equal(quiet, vectors)


def test_shuffled_inputs_are_the_same_function_in_another_order(tiny: Tiny) -> None:
    architecture = tiny.space.model.architecture("lenetlike")
    (vector, *_) = tiny.zoo.weights(tiny.zoo.select(arch="lenetlike"), architecture)
    seen = augmented_view(architecture, vector[None], TrainRecipe().augmentations, torch.Generator().manual_seed(0))[0]
    images, _ = tiny.data.batch("test", slice(0, 8))
    assert not torch.equal(seen, vector)
    assert torch.allclose(architecture.run(seen, images), architecture.run(vector, images), atol=1e-4)


def test_a_single_value_has_no_deviation() -> None:
    assert deviation(torch.ones(3, 1), dim=1).tolist() == [[0.0], [0.0], [0.0]]
    assert deviation(torch.tensor([[0.0, 2.0]]), dim=1).item() == pytest.approx(math.sqrt(2))


def test_validation_images_are_of_all_classes_even_if_files_lie_in_order(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.Tensor] = []
    with Runner("cpu") as runner:
        task = task_of(tiny, runner)
        kind = ImageKind(tiny.data.io, validation_inputs=12)
        val = tiny.data.splits["val"]
        order = val.labels.argsort()
        ordered = replace(val, images=val.images[order], labels=val.labels[order])
        data = replace(tiny.data, splits={**tiny.data.splits, "val": ordered})
        real = ImageData.batch

        def watched(self: ImageData, split: str, index: torch.Tensor | slice) -> tuple[torch.Tensor, torch.Tensor]:
            found = real(self, split, index)
            asked.append(found[1])
            return found

        monkeypatch.setattr(ImageData, "batch", watched)
        state = new_state(task)
        asked.clear()
        validate(replace(task, data=data, kind=kind), state)
    assert len(asked[0]) == 12
    assert set(asked[0].tolist()) == {0, 1, 2}


def test_one_architecture_takes_no_teacher(tiny: Tiny) -> None:
    teacher = read_network(tiny.teacher, io=tiny.data.io)
    with Runner("cpu") as runner, pytest.raises(ConfigError, match=r"lenetlike\) learns from its own.*Leave out"):
        prepare(tiny.single_zoo, tiny.recipe, tiny.data, runner, teacher=teacher)


def test_stretching_shows_other_shapes_at_every_step_and_never_to_validation(solids: Solids) -> None:
    recipe, data = solids.recipe, field_data(solids.zoo.data)
    losses, validations = [], []
    with Runner("cpu") as runner:
        for stretch in (1.0, 2.0):
            sections = recipe.model_copy(update={"train": recipe.train.model_copy(update={"stretch": stretch})})
            task = prepare(solids.zoo, sections, data, runner)
            state = new_state(task)
            validations.append(validate(task, state))
            losses.append(take_step(task, state)["loss"])
    assert losses[0] != losses[1]
    assert validations[0] == validations[1]


def test_a_start_that_nothing_trained_moves_as_a_networks_weights_do_and_others_hardly(tiny: Tiny) -> None:
    table = tiny.recipe.model_dump()
    table["space"]["unseen"], table["train"]["untrained_lr_factor"] = ["vanillacnn"], 3
    recipe = recipe_from(table)
    with Runner("cpu") as runner:
        task = prepare(tiny.zoo, recipe, tiny.data, runner, teacher=read_network(tiny.teacher, io=tiny.data.io))
        state = new_state(task)
        backbone = state.model.backbone
        assert isinstance(backbone, TokensBackbone)
        heads = {arch: backbone.head(arch) for arch in ("lenetlike", "vanillacnn")}
        before = {arch: (h.bias * h.sigma()).detach().clone() for arch, h in heads.items()}
        take_step(task, state)
    rate = recipe.train.untrained_lr_factor * rate_at(0, recipe.train)
    moved = {arch: (h.bias * h.sigma() - before[arch]).abs().mean().item() for arch, h in heads.items()}
    # Of kernels at the rim of such small pictures many weights meet nothing but padding, and stay.
    assert 0.4 * rate < moved["vanillacnn"] < 1.2 * rate
    assert moved["lenetlike"] < 0.05 * rate


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_step_waits_once_for_what_it_was_given(tiny: Tiny, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[str] = []
    real = torch.Tensor.tolist

    def watched(self: torch.Tensor) -> list[float]:
        waits.append("tolist")
        found: list[float] = real(self)
        return found

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> object:
            if func.name() in ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal"):
                waits.append(func.name())
            return func(*args, **(kwargs or {}))

    with Runner("cpu") as runner:
        task = task_of(tiny, runner, optimizer=optimizer)
        state = new_state(task)
        monkeypatch.setattr(torch.Tensor, "tolist", watched)
        with Watch():
            terms = take_step(task, state)
    assert set(terms) == {"loss", "kd", "class"}
    assert waits == ["tolist"]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("instances", [1, 2])
def test_a_step_sends_an_accelerator_as_much_for_many_networks_as_for_one(
    tiny: Tiny, instances: int, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sending takes its time; so a step sends what it draws together, and before it computes."""
    sent_before: list[int] = []
    real = step_module._terms

    def watched(*given: Any) -> Terms:
        sent_before.append(len(seen.sent))
        return real(*given)

    changes = {"shuffle": True, "interpolation": 0.5, "noise": 0.1, "instances": instances}
    table = tiny.recipe.model_dump()
    table["train"] |= changes
    teacher = read_network(tiny.teacher, io=tiny.data.io) if several else None
    with Runner("cpu") as runner:
        zoo = tiny.zoo if several else tiny.single_zoo
        task = prepare(zoo, recipe_from(table), tiny.data, runner, teacher=teacher)
        task, state = imagined(task, new_state(task))
        with watched_device():
            take_step(task, state)  # the first one also sends what all the others need
        monkeypatch.setattr(step_module, "_terms", watched)
        with watched_device() as seen:
            take_step(task, state)
    # Which images; of each architecture which networks, their hidden units' orders, noise.
    architectures = 3 if several else 1
    assert len(seen.sent) == 2 + 3 * architectures
    assert sent_before == [len(seen.sent)]
    assert seen.waits == ["aten::_to_copy"]
    assert seen.launched > 100


def test_a_gradient_that_is_not_finite_leaves_the_model_as_it_was(tiny: Tiny) -> None:
    with Runner("cpu") as runner:
        task = task_of(tiny, runner)
        state = new_state(task)
        before = {name: value.clone() for name, value in state.model.state_dict().items()}
        first = state.parameters[0]
        first.register_hook(lambda gradient: gradient * math.inf)
        with pytest.raises(RunFailed, match="the gradient is not finite at step 1"):
            take_step(task, state)
    assert state.step == 0
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
