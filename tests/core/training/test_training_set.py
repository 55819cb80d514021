"""The zoo as tensors, and what each decoder starts from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.errors import ConfigError, InputFileError, UnknownArchitecture

from netspace_cli.core.files.checkpoint import read_checkpoint, write_checkpoint
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training.training_set import (
    FRESH,
    TrainingSet,
    fresh_weights,
    initial_values,
    layer_scale,
    load_training_set,
    without_instance,
)
from netspace_cli.core.zoos.zoo import Zoo, open_zoo
from tests.worlds import Tiny

# Training images, for those that look at some.
INPUTS = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def load(zoo: Zoo, recipe: Recipe) -> TrainingSet:
    with Runner("cpu") as runner:
        return load_training_set(zoo, recipe, runner)


def only(zoo: Zoo, *splits: str) -> Zoo:
    return replace(zoo, instances=tuple(i for i in zoo.instances if i.split in splits))


def unseen(tiny: Tiny, *names: str) -> Recipe:
    return recipe_from({**tiny.recipe.model_dump(), "space": {"unseen": names}})


def test_rows_are_the_instances_of_their_split(tiny: Tiny) -> None:
    training = load(tiny.zoo, tiny.recipe)
    assert [a.name for a in training.architectures] == ["lenetlike", "vanillacnn", "resnet8"]
    assert set(training.weights) == {(s, a.name) for s in ("train", "val") for a in training.architectures}
    for (split, arch), rows in training.weights.items():
        instances = training.instances[split, arch]
        assert {(i.split, i.arch) for i in instances} == {(split, arch)}
        assert len(rows) == len(instances) == {"train": 2, "val": 1}[split]
        for row, instance in zip(rows, instances, strict=True):
            assert torch.equal(row, read_network(tiny.zoo.file_of(instance), io=tiny.data.io).weights)


def test_the_start_is_the_best_training_instance_by_validation_images(tiny: Tiny) -> None:
    training = load(tiny.zoo, tiny.recipe)
    inits = initial_values(training, tiny.recipe, Runner("cpu"), INPUTS)
    for a in training.architectures:
        instances = training.instances["train", a.name]
        best = max(instances, key=lambda i: i.accuracy["val"])
        start = inits[a.name].start
        assert start is not None
        assert torch.equal(start, training.weights["train", a.name][instances.index(best)])


def test_accuracy_on_test_images_does_not_choose_the_start(tiny: Tiny) -> None:
    lines = [replace(i, accuracy={**i.accuracy, "test": 1 - i.accuracy["test"]}) for i in tiny.zoo.instances]
    zoo = replace(tiny.zoo, instances=tuple(lines))
    one = initial_values(load(tiny.zoo, tiny.recipe), tiny.recipe, Runner("cpu"), INPUTS)
    other = initial_values(load(zoo, tiny.recipe), tiny.recipe, Runner("cpu"), INPUTS)
    for name, init in one.items():
        start = other[name].start
        assert init.start is not None and start is not None
        assert torch.equal(init.start, start)


def test_a_random_start_takes_no_instance(tiny: Tiny) -> None:
    recipe = recipe_from({**tiny.recipe.model_dump(), "space": {"start": "random"}})
    training = load(tiny.zoo, recipe)
    inits = initial_values(training, recipe, Runner("cpu"), INPUTS)
    for arch, init in inits.items():
        vectors = torch.cat([training.weights[split, arch] for split in ("train", "val")])
        assert init.start is not None and (vectors - init.start).abs().amax(dim=1).min() > 0.01
        assert bool((init.scale > 0).all())
    assert without_instance(training, recipe) == ("lenetlike", "vanillacnn", "resnet8")


def test_an_unseen_architecture_starts_from_fresh_modules_alone(tiny: Tiny) -> None:
    recipe = unseen(tiny, "vanillacnn", "vanillacnn")
    training = load(tiny.zoo, recipe)
    assert [a.name for a in training.architectures] == ["lenetlike", "vanillacnn", "resnet8"]
    assert [a.name for a in training.seen()] == ["lenetlike", "resnet8"]
    assert without_instance(training, recipe) == ("vanillacnn",)
    init = initial_values(training, recipe, Runner("cpu"), INPUTS)["vanillacnn"]
    without = replace(tiny.zoo, instances=tuple(i for i in tiny.zoo.instances if i.arch != "vanillacnn"))
    other = initial_values(load(without, recipe), recipe, Runner("cpu"), INPUTS)["vanillacnn"]
    assert init.start is not None and other.start is not None
    assert torch.equal(init.start, other.start) and torch.equal(init.scale, other.scale)
    assert without_instance(load(tiny.zoo, tiny.recipe), tiny.recipe) == ()


def test_what_passes_through_a_fresh_network_is_as_wide_as_its_batch_norms_make_it() -> None:
    architecture = build("resnet8", ImageIO(1, 12, 4))
    inputs = 5 + 3 * torch.randn(64, 1, 12, 12)
    found = fresh_weights(architecture, Runner("cpu"), inputs)
    assert found.shape == (FRESH, architecture.parameter_count) and not torch.equal(found[0], found[1])
    assert torch.equal(found, fresh_weights(architecture, Runner("cpu"), inputs))
    widths = []
    state = architecture.spec.unflatten(found[0])
    hooks = [
        m.register_forward_hook(lambda m, x, out: widths.append(out.std().item()))
        for m in architecture.fused.modules()
        if isinstance(m, torch.nn.Conv2d)
    ]
    torch.func.functional_call(architecture.fused, state, (inputs,))
    for hook in hooks:
        hook.remove()
    assert len(widths) >= 7 and min(widths) > 0.9 and max(widths) < 1.1


def test_unseen_architectures_must_exist_and_lie_between_seen_ones(tiny: Tiny) -> None:
    with pytest.raises(UnknownArchitecture, match="unknown architecture 'resnt8'"):
        load(tiny.zoo, unseen(tiny, "resnt8"))
    with pytest.raises(ConfigError, match="resnet20 .* is unseen and not between two"):
        load(tiny.zoo, unseen(tiny, "resnet20"))


def test_missing_splits_are_named(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="has no validation instances"):
        load(only(tiny.zoo, "train", "test"), tiny.recipe)
    with pytest.raises(ConfigError, match="has no training instances of lenetlike") as refused:
        load(only(tiny.zoo, "val", "test"), tiny.recipe)
    assert "space.unseen" in refused.value.hint


def test_a_rate_for_an_architecture_that_is_not_there_is_named(tiny: Tiny) -> None:
    rates = tiny.recipe.lso.model_copy(update={"rates": {"lenetlike": 0.1, "lenet": 0.2}})
    with pytest.raises(
        ConfigError, match="lso.rates has lenet, which the space will not have; it will have lenetlike, "
    ):
        load(tiny.zoo, tiny.recipe.model_copy(update={"lso": rates}))


def test_an_instance_that_was_changed_is_named(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    zoo = open_zoo(tmp_path / "zoo")
    instance = zoo.select(split="train")[0]
    path = zoo.file_of(instance)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=f"{instance.id}.safetensors: its SHA-256 is .*, the manifest says"):
        load(zoo, tiny.recipe)


def test_dead_layers_and_dead_networks_have_a_scale(tiny: Tiny, tmp_path: Path) -> None:
    """Instances of nothing but zeros: the deviations are zero, what the decoder divides by is not."""
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    manifest, lines = tmp_path / "zoo" / "instances.jsonl", []
    for instance in tiny.single_zoo.instances:
        path = tmp_path / "zoo" / instance.file
        state = {n: torch.zeros_like(t) for n, t in read_checkpoint(path).state.items()}
        write_checkpoint(path, state, force=True)
        lines.append(json.dumps({**instance.__dict__, "sha256": sha256_of(path)}))
    manifest.write_text("\n".join(lines) + "\n")
    training = load(open_zoo(tmp_path / "zoo"), tiny.recipe)
    init = initial_values(training, tiny.recipe, Runner("cpu"), INPUTS)["lenetlike"]
    assert bool((init.scale > 0).all())


def test_a_layer_of_a_single_value_has_a_scale() -> None:
    class OneValue(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.last = torch.nn.Linear(4, 2, bias=False), torch.nn.Conv1d(1, 1, 1, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.fc(x.flatten(1))[:, None])[:, 0]

    from netspace_models.architectures.architecture import describe

    architecture = describe("one", OneValue(), ImageIO(1, 2, 2))
    scale = layer_scale(architecture, torch.randn(1, architecture.parameter_count))
    assert bool(torch.isfinite(scale).all())
    assert bool((scale > 0).all())


def test_scales_are_deviations_over_all_instances() -> None:
    architecture = build("lenetlike", ImageIO(1, 8, 3))
    vectors = torch.randn(3, architecture.parameter_count, generator=torch.Generator().manual_seed(0))
    layer = architecture.spec.layers[1]
    scale = layer_scale(architecture, vectors)
    assert scale[1] == pytest.approx(float(vectors[:, layer.start : layer.stop].std()), rel=1e-6)
