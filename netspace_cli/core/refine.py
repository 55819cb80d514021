"""Refining: steps on embeddings alone towards their networks' own outputs."""

from __future__ import annotations

from netspace_models.errors import ConfigError
from netspace_models.objectives import class_loss, imitation
from torch import Tensor

from .fields.data import Data, FieldData
from .fields.gauss_newton import approach
from .fields.near import near_surfaces, with_near
from .optimise import descend
from .progress import Progress, Silent
from .recipe import Recipe, TokensRecipe
from .runner import Runner
from .space import Space

# How much keeping the ClassId weighs against imitating the network.
CLASS_WEIGHT = 1.0


def refine(
    embeddings: Tensor,
    vectors: Tensor,
    arch: str,
    space: Space,
    data: Data,
    runner: Runner,
    *,
    steps: int,
    progress: Progress | None = None,
) -> Tensor:
    """Steps on embeddings alone towards their networks' own outputs, on unlabelled images or on points.

    Args:
        embeddings: (B, E) from the encoder.
        vectors: (B, P) the networks.
        arch: their architecture.
        space, data: on the runner's device.
        steps: how many; method, images (or points) and rates are the space's own.
    Returns:
        (B, E).
    Raises:
        ConfigError: the space's method is not for networks such as these.
    """
    progress = progress or Silent()
    with runner.guard(f"refining {len(vectors)} networks at once", "Encode fewer at once."):
        if space.recipe.refine.method == "adam":
            return _by_adam(embeddings, vectors, arch, space, data, runner, steps, progress)
        check_method(space.recipe, data)
        assert isinstance(data, FieldData)
        return approach(embeddings, vectors, arch, space, data, runner, steps=steps, progress=progress)


def check_method(recipe: Recipe, data: Data) -> None:
    """Refuse a method of refining that is not for such data.

    Raises:
        ConfigError: Gauss-Newton for classifiers, or for a decoder without directions.
    """
    if recipe.refine.method == "gauss-newton":
        check_solvable(recipe, data, "refine.method = 'gauss-newton'")


def check_solvable(recipe: Recipe, data: Data, asked: str) -> None:
    """Refuse Gauss-Newton where it is not for the networks or the decoder.

    Args:
        asked: what asks for it, for the message.
    Raises:
        ConfigError: classifiers, or a decoder without directions.
    """
    if not isinstance(data, FieldData):
        raise ConfigError(
            f"{asked} is for networks that are signals, and these are classifiers.", "Leave it at 'adam'."
        )
    backbone = recipe.backbone
    if not isinstance(backbone, TokensRecipe) or backbone.path == "sketch" or not backbone.gain:
        told = f", path {backbone.path!r}, gain {backbone.gain:g}" if isinstance(backbone, TokensRecipe) else ""
        raise ConfigError(
            f"{asked} needs a decoder that writes along directions; this one is of the {backbone.kind} backbone{told}.",
            "Set backbone.path to 'learnt' or 'curvature' and leave backbone.gain at 1, or leave the method at 'adam'.",
        )


def _by_adam(
    embeddings: Tensor,
    vectors: Tensor,
    arch: str,
    space: Space,
    data: Data,
    runner: Runner,
    steps: int,
    progress: Progress,
) -> Tensor:
    recipe = space.recipe
    descent = recipe.refine.descent(steps)
    model, architecture = space.model, space.model.architecture(arch)
    share, near = recipe.train.near, None
    if isinstance(data, FieldData):
        near = near_surfaces(architecture, vectors, data, runner, share=share)

    def loss_at(current: Tensor, step: int) -> Tensor:
        generator = runner.generator("refine", step)
        inputs, _ = data.draw("train", descent.images, generator)
        inputs = with_near(inputs, near, share, generator)
        with runner.autocast():
            predicted = model.decode(arch, current)
            losses = imitation(architecture, predicted, vectors, inputs, temperature=recipe.refine_temperature)
            loss = losses.sum() + CLASS_WEIGHT * class_loss(model, current, model.class_id(arch))
        runner.count(1, "steps")
        return loss

    runner.check_gradients()
    return descend(embeddings, loss_at, descent, progress, description=f"refining {arch}")
