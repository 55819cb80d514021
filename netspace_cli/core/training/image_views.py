"""Fixed views of training images, so that a teacher has to answer each only once.

Every pass through the training images takes them in another order and shows the next view of each, so which view of
which image a step has depends only on the seed and the step's number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from netspace_models.errors import ConfigError
from netspace_models.sending import sent
from netspace_models.wording import Call, setting
from torch import Tensor

from netspace_cli.core.data.data import Data, LabelledData
from netspace_cli.core.data.images import ImageData, Moves, images_or_none, joined
from netspace_cli.core.kinds.labelled import require_labelled
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import TrainRecipe


@dataclass(frozen=True, eq=False)
class ImageViews:
    """Views of N training images, V of each; view v of image i has the place v N + i.

    Attributes:
        data: on the runner's device.
        count: V.
        images: of a step.
        runner: its seed draws orders.
        moves: (V N,) how images are shifted and mirrored; None where each has one view, as it is.
        answers: (V N, K) the teacher's logits by place, on the runner's device; zero where no step looks. None while
            the teacher has not been asked.
    """

    data: LabelledData
    count: int
    images: int
    runner: Runner
    moves: Moves | None
    answers: Tensor | None = None
    _orders: dict[int, Tensor] = field(default_factory=dict)

    def places(self, step: int) -> Tensor:
        """(images,) places that a step shows."""
        return torch.cat(list(self._passes(step * self.images, (step + 1) * self.images)))

    def asked(self, steps: int) -> int:
        """Number of places that `steps` steps show."""
        return min(steps * self.images, self.count * len(self.data.splits["train"]))

    def shown(self, steps: int) -> Iterator[Tensor]:
        """Yield these places, each once, by the step that is first to show them."""
        total = self.asked(steps)
        for first in range(0, total, self.images):
            yield torch.cat(list(self._passes(first, min(first + self.images, total))))

    def batch(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (B, …) at places (B,), and their labels."""
        index = places % len(self.data.splits["train"])
        images = images_or_none(self.data)
        if images is None or self.moves is None:
            return self.data.batch("train", index)
        return images.moved("train", index, self.moves.of(places))

    def answers_to(self, places: Tensor) -> Tensor | None:
        """(B, K) the teacher's logits at places (B,); None while it has not been asked."""
        return None if self.answers is None else self.answers[sent(places, self.answers.device)]

    def _passes(self, first: int, last: int) -> Iterator[Tensor]:
        """Places from the first to before the last of all that are ever shown, by passes through the images."""
        size = len(self.data.splits["train"])
        while first < last:
            number, begin = divmod(first, size)
            part = self._order(number)[begin : begin + last - first]
            yield number % self.count * size + part
            first += len(part)

    def _order(self, number: int) -> Tensor:
        if number not in self._orders:
            self._orders.clear()  # steps go from one pass to the next
            generator = self.runner.generator("image views", "order", number)
            self._orders[number] = torch.randperm(len(self.data.splits["train"]), generator=generator)
        return self._orders[number]


def image_views(data: Data, teacher: Network | None, recipe: TrainRecipe, runner: Runner) -> ImageViews | None:
    """Draw the views of a recipe; None where images are drawn anew in each step.

    Args:
        data: on the runner's device.
    Raises:
        ConfigError: views without a teacher to ask about them, or several of inputs that are not augmented.
    """
    count = recipe.image_views
    if not count:
        return None
    if teacher is None:
        raise ConfigError(
            f"train.image_views = {count} keeps what a teacher says of images, and there is no teacher.",
            f"Leave it at {setting('train.image_views', 0)}, or give a teacher for several architectures: "
            f"{setting('teacher', Call('read_network', 'FILE'))}.",
        )
    images, labelled = images_or_none(data), require_labelled(data)
    moves = None
    if count > 1:
        if images is None or not (images.padding or images.flip):
            raise ConfigError(
                f"train.image_views = {count}: inputs of {data.name} are neither shifted nor mirrored, so that all "
                f"{count} views would be the same.",
                f"One is enough: {setting('train.image_views', 1)}.",
            )
        moves = _moves(images, count, runner)
    return ImageViews(labelled, count, recipe.images, runner, moves)


def _moves(images: ImageData, count: int, runner: Runner) -> Moves:
    size = len(images.splits["train"])
    further = [images.moves(size, runner.generator("image views", view)) for view in range(1, count)]
    return joined([images.moves(size, None), *further])
