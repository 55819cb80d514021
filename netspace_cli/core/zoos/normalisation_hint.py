"""A hint where adopted networks do better with images that are normalised in another way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.images import ImageData, images_or_none
from netspace_cli.core.data.normalise import WAYS, rescaled, scale_of
from netspace_cli.core.networks.scores import accuracy, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner

from .zoo import Instance, Zoo

# Networks that are tried, the first of as many architectures; their images; and how much better another way must be.
NETWORKS, IMAGES, PLAINLY = 3, 1000, 0.05


def normalisation_hints(
    zoo: Zoo, added: Sequence[Instance], architectures: Mapping[str, Architecture], data: LabelledData, runner: Runner
) -> list[str]:
    """A sentence for each architecture whose first network does plainly better on images normalised otherwise."""
    images = images_or_none(data)
    if images is None:
        return []
    hints = []
    firsts = {instance.arch: instance for instance in reversed(added)}
    for name, instance in sorted(firsts.items())[:NETWORKS]:
        weights = zoo.network(instance, architectures[name]).weights
        now, *others = [
            (_accuracy(architectures[name], weights, each, runner), way) for way, each in _ways(images).items()
        ]
        best, way = max(others, default=now)
        if best >= now[0] + PLAINLY:
            hints.append(
                f"{instance.file} answers {best:.1%} of test images rightly with {setting('normalise', way)}, and "
                f"{now[0]:.1%} as it is: what was it trained with?"
            )
    return hints


def _ways(data: ImageData) -> dict[str, ImageData]:
    """The images as they are, first, and in the other ways that there are for their channels."""
    ways = {"": data}
    for way in WAYS:
        try:
            other = rescaled(data, scale_of(way, data))
        except ConfigError:
            continue  # constants of three channels
        if (other.mean, other.std) != (data.mean, data.std):
            ways[way] = other
    return ways


def _accuracy(architecture: Architecture, weights: Tensor, data: ImageData, runner: Runner) -> float:
    placed = runner.place(data)
    logits = logits_of(architecture, runner.place(weights), placed, "test", runner, most=IMAGES)
    return accuracy(logits, labels_of(data, "test")[: len(logits)])
