"""A hint where adopted networks do better with images that are normalised in another way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.images import ImageData, images_or_none
from netspace_cli.core.data.normalise import WAYS, rescaled, scale_of
from netspace_cli.core.networks.network import Network
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
        hints.append(normalisation_hint(zoo.network(instance, architectures[name]), instance.file, images, runner))
    return [hint for hint in hints if hint]


def normalisation_hint(network: Network, source: str, images: ImageData, runner: Runner) -> str:
    """A sentence where a network does plainly better on images normalised otherwise, else "".

    Args:
        source: its file, for the sentence.
    """
    accuracies = {way: _accuracy(network, each, runner) for way, each in _ways(images).items()}
    now = accuracies.pop("")
    way = max(accuracies, key=accuracies.__getitem__, default="")
    if not way or accuracies[way] < now + PLAINLY:
        return ""
    return (
        f"{source} answers {accuracies[way]:.1%} of test images rightly with {setting('normalise', way)}, and "
        f"{now:.1%} as it is: what was it trained with?"
    )


def held_out_hint(data: LabelledData) -> str:
    """A sentence where validation images are a part of what may be the networks' own training images, else ""."""
    if not data.val_of_train:
        return ""
    return (
        f"{data.name} has no val of its own: {len(data.splits['val']):,} of its training {data.io.one}s are taken. "
        "Networks that were trained on these too are judged too well by them; give val of its own if you can."
    )


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


def _accuracy(network: Network, data: ImageData, runner: Runner) -> float:
    placed, weights = runner.place(data), runner.place(network.weights)
    logits = logits_of(network.architecture, weights, placed, "test", runner, most=IMAGES)
    return accuracy(logits, labels_of(data, "test")[: len(logits)])
