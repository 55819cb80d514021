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
from netspace_models.training.objectives import Batch
from torch import Tensor

from netspace_cli.core.runtime.runner import GIB, Runner, memory_of
from netspace_cli.core.spaces.model import build_model
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.memory import Footprint, footprint
from netspace_cli.core.training.step import _objective
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


@pytest.mark.parametrize(("several", "instances"), [(False, 1), (False, 3), (True, 1), (True, 2)])
@pytest.mark.parametrize("backbone", [None, CONV, NEURONS], ids=["tokens", "conv", "neurons"])
def test_the_step_s_bytes_are_those_that_a_step_keeps(
    tiny: Tiny, several: bool, instances: int, backbone: dict[str, Any] | None
) -> None:
    """Counted again in a step with values: the losses, which the estimate leaves out, are a small part."""
    recipe = recipe_of(tiny, backbone, instances=instances)
    zoo = tiny.zoo if several else tiny.single_zoo
    found = footprint(recipe, zoo).step_bytes
    assert found is not None
    kept: dict[int, int] = {}
    alive: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        alive.append(tensor)  # so that no address is given out twice
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with Runner("cpu") as runner:
        teacher = tiny.zoo.network(tiny.zoo.instances[0], tiny.zoo.architectures()[0]) if several else None
        task = prepare(zoo, recipe, tiny.data, runner, teacher=teacher)
        state = new_state(task)
        images, labels = tiny.data.batch("train", torch.arange(recipe.train.images))
        logits = torch.zeros(len(images), tiny.data.io.classes) if several else None
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            _objective(task, state, Batch(images, labels, logits), runner.generator())
    own = {t.untyped_storage().data_ptr() for t in (*state.model.parameters(), *state.model.buffers())}
    real = sum(size for place, size in kept.items() if place not in own)
    assert 0.8 * real < found < 1.25 * real


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
    assert few.step_bytes and many.step_bytes and 4 * few.step_bytes == many.step_bytes


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
    monkeypatch.setattr(Architecture, "run", lambda self, v, x: run(self, v, x) * float(v.sum()))
    found = footprint(tiny.recipe, tiny.single_zoo)
    assert found.step_bytes is None and found.total_bytes == found.weights_bytes
    assert "unknown for a step" in found.describe()


def test_the_machine_s_memory_is_known() -> None:
    assert 10**8 < memory_of(torch.device("cpu")) < 10**14
