"""What is timed: each case prepares in a folder and returns one round, which returns a number to compare.

Cases use of netspace only what earlier commits have too. Networks are untrained: the time does not depend on that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from netspace_models.architectures import build
from netspace_models.architectures.registry import factory

from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.encoding.refine import refine
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import accuracies_on_test
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import TrainRecipe
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.spaces.space import load_space
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.step import take_step
from netspace_cli.core.zoos.plan import ZooPlan
from netspace_cli.core.zoos.train import train_zoo
from netspace_cli.core.zoos.zoo import Instance, Zoo, create_zoo, open_zoo, write_instance

# Earlier commits add to a manifest elsewhere.
LISTING = "netspace_cli.core.zoos.listing"
append_instance = import_module(LISTING if find_spec(LISTING) else "netspace_cli.core.zoos.zoo").append_instance

# As the command line does; earlier commits leave memory to the system.
MEMORY = "netspace_cli.core.runtime.memory"
memory = import_module(MEMORY) if find_spec(MEMORY) else None
if memory is not None:
    memory.keep_freed_memory()

SEVERAL = ("lenetlike", "vanillacnn", "resnet8", "resnet32")
ROOT = Path(__file__).resolve().parent.parent.parent
RECIPES = ROOT / "examples" / "recipes"
Round = Callable[[], float]


def images(folder: Path, counts: tuple[int, int, int] = (2000, 600, 600)) -> ImageData:
    """Noise in the shape of CIFAR-10."""
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        arrays[f"{split}_images"] = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(count) % 10
    np.savez(folder / "images.npz", allow_pickle=False, **arrays)
    return load_images(str(folder / "images.npz"))


def zoo_of(folder: Path, data: ImageData, archs: tuple[str, ...], count: int) -> Zoo:
    """A zoo of untrained networks, the last of each architecture for validation."""
    create_zoo(folder / "zoo", data.record(), {})
    for arch in archs:
        for i in range(count):
            torch.manual_seed(i)
            name = f"{arch}-{i}"
            file = write_instance(folder / "zoo", name, arch, factory(arch)(data.io).state_dict(), "")
            sha = hashlib.sha256((folder / "zoo" / file).read_bytes()).hexdigest()
            split, accuracy = "val" if i == count - 1 else "train", dict.fromkeys(("train", "val", "test"), 0.1)
            append_instance(folder / "zoo", Instance(name, arch, split, file, sha, accuracy=accuracy))
    return open_zoo(folder / "zoo")


def network(arch: str, data: ImageData) -> Network:
    """An untrained network."""
    torch.manual_seed(0)
    architecture = build(arch, data.io)
    return Network(
        architecture, architecture.to_weights(factory(arch)(data.io).state_dict()), source="untrained", sha256="0" * 64
    )


def step(
    folder: Path,
    archs: tuple[str, ...],
    count: int,
    recipe: str,
    values: dict[str, str],
    runner: Runner | None = None,
) -> Round:
    """A step of a space's training."""
    data = images(folder)
    zoo = zoo_of(folder, data, archs, count)
    settings = load_recipe(RECIPES / recipe, {"train.steps": "100000", "train.warmup": "100", **values})
    runner = runner or Runner("cpu", threads=1)
    teacher = network("resnet56-a", data) if len(archs) > 1 else None
    task = prepare(zoo, settings, data, runner, teacher=teacher)
    state = new_state(task)
    if values.get("train.image_views"):
        from netspace_cli.core.training.teacher_answers import with_answers

        task = with_answers(task, lambda: False) or task
    return lambda: take_step(task, state)["loss"]


def step_lenetlike(folder: Path) -> Round:
    """One architecture, as in examples/recipes/cifar10-lenetlike.toml."""
    return step(folder, ("lenetlike",), 20, "cifar10-lenetlike.toml", {})


def step_several(folder: Path) -> Round:
    """Several architectures, as in examples/recipes/cifar10.toml."""
    return step(folder, SEVERAL, 3, "cifar10.toml", {})


def step_several_views(folder: Path) -> Round:
    """The same where the teacher has been asked before; an earlier commit asks in each step."""
    known = "image_views" in TrainRecipe.model_fields
    return step(folder, SEVERAL, 3, "cifar10.toml", {"train.image_views": "1"} if known else {})


def step_conv(folder: Path) -> Round:
    """One architecture by the published backbone, as in examples/recipes/published-single.toml."""
    run = step(folder, ("resnet8",), 12, "published-single.toml", {})

    def kept() -> float:
        with nullcontext() if memory is None else memory.larger_blocks_kept(True):
            return run()

    return kept


def score_path(folder: Path) -> Round:
    """Twenty LeNetLikes on 10,000 images, as `interp --steps 20` asks them."""
    data = images(folder, (20, 20, 10_000))
    untrained, runner = network("lenetlike", data), Runner("cpu", threads=1)
    return lambda: sum(accuracies_on_test([untrained] * 20, data, runner))


def score_resnets(folder: Path) -> Round:
    """A ResNet8 and a ResNet32 on 2,000 images."""
    data = images(folder, (20, 20, 2000))
    untrained, runner = [network(arch, data) for arch in ("resnet8", "resnet32")], Runner("cpu", threads=1)
    return lambda: sum(accuracies_on_test(untrained, data, runner))


def zoo_train(folder: Path) -> Round:
    """Ten steps of 32 LeNetLikes' own training."""
    data, runner = images(folder), Runner("cpu", threads=1)
    plan = ZooPlan(("lenetlike",), (32, 0, 0), (1, 1), batch=64, epoch_images=640)
    counter = iter(range(1000))

    def run() -> float:
        zoo = train_zoo(folder / f"zoo{next(counter)}", plan, data, runner)
        return zoo.instances[0].accuracy["val"]

    return run


def refining(folder: Path, count: int) -> Round:
    """Ten steps of refining LeNetLikes together in the built-in space cifar10."""
    data, runner, space = images(folder), Runner("cpu", threads=1), load_space("cifar10")
    architecture = space.model.architecture("lenetlike")
    weights = torch.stack([network("lenetlike", data).weights] * count)
    weights = weights + 0.01 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
    embeddings = space.model.encode(architecture.name, weights).detach()
    return lambda: float(refine(embeddings, weights, "lenetlike", space, data, runner, steps=10).square().mean())


def refine_alone(folder: Path) -> Round:
    """One network refined."""
    return refining(folder, 1)


def refine_together(folder: Path) -> Round:
    """Sixteen networks refined together."""
    return refining(folder, 16)


def open_spaces(folder: Path) -> Round:
    """Each of three built-in spaces opened ten times."""

    def run() -> float:
        spaces = [load_space(name) for name in ("digits", "cifar10", "shapes") * 10]
        return float(sum(p.double().sum() for space in spaces for p in space.model.parameters()))

    return run


def distilling(folder: Path, arch: str) -> Round:
    """Ten steps of distilling two networks into one, by 256 images."""
    from netspace_cli.core.merging.distil import Distilling
    from netspace_cli.core.merging.lessons import lessons_of
    from netspace_cli.core.merging.plan import MergePlan
    from netspace_cli.core.merging.students import weight_student

    data, runner = images(folder, (2560, 600, 600)), Runner("cpu", threads=1)
    one = network(arch, data)
    noise = torch.randn(one.weights.shape, generator=torch.Generator().manual_seed(0))
    members = [one, replace(one, weights=one.weights + 0.01 * noise)]
    lessons = lessons_of(members, data.without_labels(), MergePlan(steps=10), runner, most=2560)

    def run() -> float:
        student = Distilling("from-best", weight_student(one, data, 1e-3, runner), lessons, steps=10)
        student.go_on(1.0, lambda *_, **__: None)
        return float(student.weights().square().mean())

    return run


def distil_lenetlike(folder: Path) -> Round:
    """Into a LeNetLike."""
    return distilling(folder, "lenetlike")


def distil_resnet8(folder: Path) -> Round:
    """Into a ResNet8."""
    return distilling(folder, "resnet8")


def finetuning(folder: Path) -> Round:
    """Twenty steps of training two LeNetLikes further, one after the other."""
    from netspace_cli.core.zoos.finetune import FineTuning, finetune

    data, runner = images(folder), Runner("cpu", threads=1)
    zoo, plan = zoo_of(folder, data, ("lenetlike",), 2), FineTuning((0, 1), epoch_images=640)
    return lambda: finetune(zoo, zoo.instances, data, plan, runner, scratch=False)[0].accuracy[1]


CASES: dict[str, Callable[[Path], Round]] = {
    "step-lenetlike": step_lenetlike,
    "step-several": step_several,
    "step-several-views": step_several_views,
    "step-conv": step_conv,
    "score-path": score_path,
    "score-resnets": score_resnets,
    "zoo-train": zoo_train,
    "refine-1": refine_alone,
    "refine-16": refine_together,
    "open-spaces": open_spaces,
    "finetune": finetuning,
    "distil-lenetlike": distil_lenetlike,
    "distil-resnet8": distil_resnet8,
}
