"""Refine embeddings: gradient steps towards the outputs of their own networks."""

from __future__ import annotations

from netspace_models.errors import DataUnavailable
from netspace_models.training.objectives import class_loss, imitation
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.runtime.minimise import minimise
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import check_method
from netspace_cli.core.spaces.space import Space

from .refine_gauss_newton import refine_by_gauss_newton

# Weights, of all networks together, that are refined at once. More gain nothing on a processor and take memory: a step
# of a LeNet-like takes half of its time where 23 take it together, that of a resnet32 as long as alone.
AT_ONCE, AT_ONCE_ON_ACCELERATORS = 2**20, 2**24
# How much keeping the ClassId weighs against imitating the network.
CLASS_WEIGHT = 1.0


def refine(
    embeddings: Tensor,
    weights: Tensor,
    arch: str,
    space: Space,
    data: Data,
    runner: Runner,
    *,
    steps: int,
) -> Tensor:
    """Move embeddings towards their networks' outputs, on unlabelled images or on points.

    Args:
        embeddings: (B, E) from the encoder.
        weights: (B, P) the networks.
        arch: their architecture.
        space, data: on the runner's device.
        steps: how many; method, images (or points) and rates are the space's own.
    Returns:
        (B, E).
    Raises:
        ConfigError: the space's method is not for networks such as these.
    """
    with runner.guard(f"refining {len(weights)} networks at once", "Encode fewer at once."):
        if space.recipe.refine.method == "adam":
            return _by_adam(embeddings, weights, arch, space, data, runner, steps)
        check_method(space.recipe, space.kind)
        return refine_by_gauss_newton(embeddings, weights, arch, space, data, runner, steps=steps)


def _by_adam(
    embeddings: Tensor,
    weights: Tensor,
    arch: str,
    space: Space,
    data: Data,
    runner: Runner,
    steps: int,
) -> Tensor:
    recipe = space.recipe
    schedule = recipe.refine.adam_schedule(steps)
    model, architecture = space.model, space.model.architecture(arch)
    sample = space.kind.sampler(architecture, weights, data, runner, near_surface_share=recipe.train.near_surface_share)

    def loss_at(current: Tensor, step: int) -> Tensor:
        inputs = sample(schedule.images, runner.generator("refine", step))
        with runner.autocast():
            predicted = model.decode(arch, current)
            losses = imitation(architecture, predicted, weights, inputs, temperature=recipe.refine_temperature)
            loss = losses.sum() + CLASS_WEIGHT * class_loss(model, current, model.class_id(arch))
        runner.count(1, "steps")
        return loss

    runner.check_gradients()
    return minimise(embeddings, loss_at, schedule, runner, description=f"refining {arch}")


def refined_at_once(space: Space, arch: str, steps: int, runner: Runner) -> int:
    """How many networks of an architecture take their steps together, at most.

    Rounding differs with that number, so it depends on nothing that a user may change without expecting another result.
    By Gauss-Newton, and without steps, networks have nothing to do with each other.
    """
    if not steps or space.recipe.refine.method != "adam":
        return 1
    most = AT_ONCE if runner.device.type == "cpu" else AT_ONCE_ON_ACCELERATORS
    return max(1, most // space.model.architecture(arch).parameter_count)


def check_refining(space: Space, data: Data | None, steps: int) -> None:
    """Refuse to refine without images.

    Raises:
        DataUnavailable: they are not available.
    """
    if steps and data is None:
        images = space.record["data"]["name"]
        raise DataUnavailable(
            f"refining needs images, and those of space {space.name!r} ({images}) are not available.",
            f"Name them with {setting('data')}, or encode without refining ({setting('refine_steps', 0)}).",
        )
