"""What training would take: counted exactly, without taking it."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError, DoesNotFit
from netspace_models.second_order.curvature import curvature_moments
from netspace_models.training.objectives import Batch

from netspace_cli.core.runtime.runner import GIB, Runner, bytes_in_use, memory_of, peak_bytes
from netspace_cli.core.spaces.model import build_model
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training import memory
from netspace_cli.core.training.first_model import CURVATURE_INPUTS, new_state
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.memory import Footprint, footprint
from netspace_cli.core.training.step import _objective
from netspace_cli.core.training.step_memory import Alive
from netspace_cli.core.zoos.zoo import Instance, Zoo
from tests.worlds import Tiny

CONV = {"kind": "conv", "embedding_size": 256, "side": 16, "height": 12, "width": 10_000}
NEURONS = {"kind": "neurons", "embedding_size": 16, "width": 16}


def zoo_of(*archs: str, count: int = 16) -> Zoo:
    """A zoo of CIFAR-10 that is nowhere."""
    instances = tuple(Instance(f"{arch}-{i}", arch, "train", "file", "sha") for arch in archs for i in range(count))
    return Zoo(Path("zoo"), {"name": "cifar10", "io": {"channels": 3, "size": 32, "classes": 10}}, instances)


def recipe_of(tiny: Tiny, backbone: dict[str, Any] | None, **train: Any) -> Recipe:
    table = tiny.recipe.model_dump()
    if backbone is not None:
        table["backbone"] = backbone
    table["train"] |= train
    return recipe_from(table)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("backbone", [None, CONV, NEURONS], ids=["tokens", "conv", "neurons"])
def test_the_parameters_are_those_of_the_model(tiny: Tiny, several: bool, backbone: dict[str, Any] | None) -> None:
    zoo, recipe = tiny.zoo if several else tiny.single_zoo, recipe_of(tiny, backbone)
    found = footprint(recipe, zoo)
    sizes = {n: p.numel() for n, p in build_model(recipe, zoo.architectures()).named_parameters()}
    assert (found.parameters, found.largest) == (sum(sizes.values()), max(sizes.values()))
    assert sizes[found.largest_name] == found.largest
    assert found.weights_bytes == 16 * found.parameters


def test_memory_is_counted_while_it_is_alive() -> None:
    with Alive() as alive:
        x = torch.zeros(100, requires_grad=True)
        y = x.exp().sin()  # the exponentials stay, for the backward pass
        assert (alive.now, alive.most) == (1200, 1200)
        part = y.detach()[:50]  # no memory of its own
        del y  # and with it the graph
        assert alive.now == 800
        del part
        assert (alive.now, alive.most) == (400, 1200)


@pytest.mark.parametrize(
    ("several", "instances", "backbone"),
    [(several, count, b) for several, count in ((False, 1), (False, 3)) for b in (None, CONV, NEURONS)]
    + [(True, 2, None)],  # four boundary pairs
)
def test_the_step_s_bytes_are_those_that_a_step_has_in_use(
    tiny: Tiny, several: bool, instances: int, backbone: dict[str, Any] | None
) -> None:
    recipe = recipe_of(tiny, backbone, instances=instances, images=32)
    zoo = tiny.zoo if several else tiny.single_zoo
    found = footprint(recipe, zoo).step_bytes
    assert found is not None
    with Runner("cpu") as runner:
        teacher = tiny.zoo.network(tiny.zoo.instances[0], tiny.zoo.architectures()[0]) if several else None
        task = prepare(zoo, recipe, tiny.data, runner, teacher=teacher)
        state = new_state(task)
        images, labels = tiny.data.batch("train", torch.arange(recipe.train.images))
        logits = torch.zeros(len(images), tiny.data.io.classes) if several else None
        with Alive() as alive:
            terms = _objective(task, state, Batch(images, labels, logits), runner.generator())
            torch.stack(list(terms.values())).sum().backward()
    real = alive.most - sum(p.grad.nbytes for p in state.model.parameters() if p.grad is not None)
    assert 0.8 * real < found < 1.25 * real


def test_starts_that_learn_with_norms_are_counted_as_modules(tiny: Tiny) -> None:
    zoo = replace(tiny.zoo, instances=tuple(i for i in tiny.zoo.instances if i.arch == "resnet8"))
    table = recipe_of(tiny, None, instances=2, images=32).model_dump()
    table["space"] |= {"starts": 3, "parents": 1}
    recipe = recipe_from(table)
    found = footprint(recipe, zoo).step_bytes
    assert found is not None
    with Runner("cpu") as runner:
        task = prepare(zoo, recipe, tiny.data, runner)
        state = new_state(task)
        images, labels = tiny.data.batch("train", torch.arange(recipe.train.images))
        batch = Batch(images, labels, starts={"resnet8": [1, 2]}, unfolded=state.unfolded)
        with Alive() as alive:
            terms = _objective(task, state, batch, runner.generator())
            torch.stack(list(terms.values())).sum().backward()
    real = alive.most - sum(p.grad.nbytes for p in state.parameters if p.grad is not None)
    assert 0.8 * real < found < 1.25 * real


def test_moments_are_counted_as_they_are_taken(tiny: Tiny) -> None:
    curvature = {**tiny.recipe.model_dump()["backbone"], "direct": {"kind": "curvature"}}
    zoo = tiny.single_zoo
    without, found = (footprint(recipe_of(tiny, backbone), zoo) for backbone in (None, curvature))
    (architecture,) = zoo.architectures()
    state = architecture.spec.unflatten(torch.zeros(architecture.parameter_count))
    images = torch.zeros(CURVATURE_INPUTS, *architecture.io.input_shape)
    with Alive() as alive:
        curvature_moments(architecture.fused, state, images, generator=torch.Generator())
    assert without.start_bytes < 0.5 * alive.most < found.start_bytes < 1.25 * alive.most


def test_the_program_counts_on_a_processor_alone() -> None:
    found = Footprint(10, 10, "bias", 50, lasting_bytes=7, start_bytes=100, program_bytes=1000)
    assert found.total_bytes == 1000 + 7 + 160 + 50
    assert found.on(torch.device("cuda")).total_bytes == 217
    assert found.on(torch.device("cpu")) == found
    large = replace(found, zoo_bytes=10**14)
    assert large.total_bytes == found.total_bytes + 10**14 and large.on(torch.device("cpu")) == found
    assert replace(found, start_bytes=300).total_bytes == 1307
    assert 10**7 < bytes_in_use() <= 1.01 * peak_bytes()


def test_a_model_far_beyond_this_machine_takes_nothing_to_count() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = footprint(recipe_from({"backbone": {"kind": "conv", "embedding_size": 65536}}), zoo_of("lenetlike"))
    assert found.largest == 1_610_612_736 and found.weights_bytes > 25 * GIB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "kilobytes"


def test_the_published_conv_backbone_for_several_architectures_is_warned_of() -> None:
    recipe = recipe_from({"backbone": {"kind": "conv"}})
    found = footprint(recipe, zoo_of("lenetlike", "resnet8"))
    assert found.parameters == 11_489_128
    said = found.warning(recipe, 16 * GIB)
    assert said is not None and said.startswith("11,489,128 parameters; training takes about ")
    assert "more than half of the 16.0 GiB there are" in said
    assert said.endswith("Lower train.instances (8) or backbone.embedding_size (4096).")
    assert found.warning(recipe, 200 * GIB) is None
    alone = recipe_from({"backbone": {"kind": "conv"}, "train": {"instances": 1}})
    assert "Lower backbone.embedding_size (4096) or backbone.height." in str(found.warning(alone, GIB))


def test_one_weight_of_thousands_of_millions_is_warned_of_whatever_the_memory() -> None:
    found = Footprint(1_700_000_000, 1_610_612_736, "backbone.encoder.conv4.weight", 10)
    conv, tokens = recipe_from({"backbone": {"kind": "conv"}}), recipe_from({})
    said = str(found.warning(conv, 10**15))
    assert "one weight of this space alone (encoder.conv4.weight) has 1,610,612,736 values" in said
    assert "Lower backbone.embedding_size (4096) or backbone.height." in said
    assert "Lower backbone.width (128) or backbone.chunk (256)." in str(found.warning(tokens, 10**15))
    assert replace(found, largest=1_000_000_000).warning(conv, 10**15) is None


def test_fewer_instances_than_asked_for_are_counted_as_they_are() -> None:
    recipe = recipe_from({"train": {"instances": 8}})
    few, many = (footprint(recipe, zoo_of("lenetlike", count=count)) for count in (2, 8))
    assert few.step_bytes and many.step_bytes and 3 * few.step_bytes < many.step_bytes < 5 * few.step_bytes


def test_sizes_that_do_not_go_together_are_refused(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="width of 15 into 2 heads"):
        footprint(recipe_of(tiny, {**tiny.recipe.model_dump()["backbone"], "width": 15}), tiny.single_zoo)
    with pytest.raises(DoesNotFit, match=r"20,791 parameters.*`backbone.height = 24` in the recipe"):
        footprint(recipe_of(tiny, {**CONV, "height": 8, "width": 1000}), tiny.single_zoo)


def test_a_zoo_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="zoo has no instances to train on"):
        footprint(recipe_from({}), zoo_of())


def test_counting_leaves_the_process_own_stream_alone(tiny: Tiny) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    footprint(tiny.recipe, tiny.single_zoo)
    assert torch.equal(torch.rand(2), wanted)


def test_an_architecture_that_computes_with_values_leaves_the_step_open(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Architecture.run
    monkeypatch.setattr(memory, "_COUNTED", {})
    monkeypatch.setattr(Architecture, "run", lambda self, v, x: run(self, v, x) * float(v.sum()))
    found = footprint(tiny.recipe, tiny.single_zoo)
    assert found.step_bytes is None and found.total_bytes >= found.weights_bytes
    assert "unknown for a step" in found.describe()


def test_the_machine_s_memory_is_known() -> None:
    assert 10**8 < memory_of(torch.device("cpu")) < 10**14
