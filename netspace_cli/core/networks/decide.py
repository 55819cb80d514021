"""Decide by images between architectures that have the same parameters.

Statistics of batch norms agree with what flows through the network that was trained, and not through another one;
without batch norms, the right function answers training images better, and its training has come to rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture
from torch import Tensor

from netspace_cli.core.data.images import ImageData, images_or_none

from .norm_evidence import Disagreement, disagreement
from .rest_evidence import DIRECTIONS, images_held, unrest

# Training images that are looked at: through networks with batch norms (more where the first do not tell), and others.
NORM_IMAGES, IMAGES = (512, 2048), 2000
# How much likelier the recorded statistics must be by one architecture than by another, as a logarithm: in all, and
# for each value that is compared. Networks that were stopped at a high rate differ from their statistics as if they
# had another function, in all channels alike; so their number alone makes nothing certain.
CLEAR_NATS, CLEAR_NATS_EACH = 12.0, 0.03
# Statistics that differ by more deviations from those of the images say nothing: they are of other images.
LIKE = 0.5
# By how many standard errors its loss must be higher, and either by what factor or by how much less often it must be
# right: functions that hardly differ, such as ReLU and LeakyReLU, differ by many standard errors, in either direction.
CLEAR_ERRORS, CLEAR_LOSS, CLEAR_ACCURACY = 4.0, 1.25, 0.02
# Images whose gradients are compared, and how much likelier it must be by them that training was at rest, as a
# logarithm: by them alone, and where the loss is clearly lower, too.
GRADIENTS, CLEAR_REST, LIKELY_REST = 512, 5.0, 1.5
# What `unrest` is at most where training has ended, for each image; with one gradient for all it is 1.
AT_REST = 0.125
# The same for networks so small that the gradients of many images are held, along more directions: there, activations
# that hardly differ do. The first images tell whether training moved them. At rest `unrest` is at most about 1 for
# each direction; a function that is smoother than the trained one may have less loss, so the loss has no say.
MANY_FIRST, MANY, MANY_DIRECTIONS, MANY_AT_REST = 1000, 4000, 32, 2.5
_BATCH = 256


@dataclass(frozen=True)
class Decision:
    """What images tell.

    Attributes:
        architecture: the likeliest.
        rivals: names of others that they do not rule out; () where they decide.
        evidence: in words.
    """

    architecture: Architecture
    rivals: tuple[str, ...]
    evidence: str


_IMAGES: ContextVar[ImageData | None] = ContextVar("images that decide between architectures", default=None)


@contextmanager
def deciding_by(data: object) -> Iterator[None]:
    """Let images decide between architectures inside the block; other data decide nothing."""
    token = _IMAGES.set(images_or_none(data))
    try:
        yield
    finally:
        _IMAGES.reset(token)


def decide(state: Mapping[str, Tensor], options: Sequence[Architecture]) -> Decision | None:
    """Decide between architectures by the images given (`deciding_by`), if they tell.

    Args:
        state: a state dict that fits all of them, on the processor.
        options: for the same images and classes, two at least.
    """
    data = _IMAGES.get()
    if data is None or any(option.io != data.io for option in options):
        return None
    data = data.to("cpu")
    normed = all(o.pairs and o.form_of(state) == "full" for o in options)
    with torch.no_grad():
        found = _by_norms(state, options, data) if normed else None
        if found is not None or not data.labelled:
            return found
        losses = _losses(state, options, data)
        found = _by_loss(options, losses, data)
        if normed or (found is not None and not found.rivals):
            return found
        left = [o.name for o in options] if found is None else [found.architecture.name, *found.rivals]
        likely = sorted((i for i, o in enumerate(options) if o.name in left), key=lambda i: losses[i].mean)
        apart = [losses[i].errors_above(losses[likely[0]]) for i in likely]
        return _by_rest(state, [options[i] for i in likely], apart, data) or found


def _by_norms(state: Mapping[str, Tensor], options: Sequence[Architecture], data: ImageData) -> Decision | None:
    for count in NORM_IMAGES:
        # Networks are trained on moved and mirrored images or on plain ones: those that agree better count.
        likely = min(
            ([disagreement(o.module, state, images) for o in options] for images, _ in _both(data, count)),
            key=lambda found: min(each.misfit for each in found),
        )
        decision = _decided_by_norms(options, likely, data.name)
        if decision is not None or count >= len(data.splits["train"]):
            return decision
    return None


def _decided_by_norms(options: Sequence[Architecture], found: Sequence[Disagreement], name: str) -> Decision | None:
    order = sorted(range(len(options)), key=lambda i: found[i].misfit)
    best = order[0]
    if not found[best].size <= LIKE:
        return None
    clear = max(CLEAR_NATS, CLEAR_NATS_EACH * found[best].values)
    rivals = [i for i in order[1:] if not found[i].misfit - found[best].misfit >= clear]
    if len(rivals) == len(options) - 1:
        return None
    second = next(i for i in order[1:] if i not in rivals)
    return Decision(
        options[best],
        tuple(options[i].name for i in rivals),
        f"the statistics that its batch norms recorded differ by {found[best].size:.3g} deviations from those of "
        f"{name}, with {options[second].name} by {found[second].size:.3g}",
    )


@dataclass(frozen=True)
class _Answers:
    """Losses (N,) on training images, and the share of them that is answered rightly."""

    loss: Tensor
    right: float

    @property
    def mean(self) -> float:
        """Mean loss."""
        return float(self.loss.mean())

    def errors_above(self, other: _Answers) -> float:
        """By how many standard errors of the difference the mean loss is higher than another's."""
        apart = self.loss - other.loss
        return float(apart.mean() / (apart.std() / len(apart) ** 0.5 + 1e-12))


def _losses(state: Mapping[str, Tensor], options: Sequence[Architecture], data: ImageData) -> list[_Answers]:
    count = min(IMAGES, len(data.splits["train"]))
    found = []
    for option in options:
        weights = option.to_weights(state)
        parts = [data.batch("train", slice(i, min(i + _BATCH, count))) for i in range(0, count, _BATCH)]
        logits = torch.cat([option.run(weights, images) for images, _ in parts])
        labels = torch.cat([each for _, each in parts])
        loss = F.cross_entropy(logits, labels, reduction="none").double()
        found.append(_Answers(loss, float((logits.argmax(1) == labels).double().mean())))
    return found


def _by_loss(options: Sequence[Architecture], found: Sequence[_Answers], data: ImageData) -> Decision | None:
    order = sorted(range(len(options)), key=lambda i: found[i].mean)
    best, rivals = found[order[0]], []
    for other in order[1:]:
        clear = found[other].errors_above(best) >= CLEAR_ERRORS
        far = found[other].mean >= CLEAR_LOSS * best.mean or best.right - found[other].right >= CLEAR_ACCURACY
        if not (clear and far):
            rivals.append(options[other].name)
    if len(rivals) == len(options) - 1:
        return None
    second = max((i for i in order[1:] if options[i].name not in rivals), key=lambda i: found[i].right)
    return Decision(
        options[order[0]],
        tuple(rivals),
        f"it answers {best.right:.1%} of {len(best.loss)} training images of {data.name} rightly, "
        f"{options[second].name} {found[second].right:.1%}",
    )


def _by_rest(
    state: Mapping[str, Tensor], options: Sequence[Architecture], apart: Sequence[float], data: ImageData
) -> Decision | None:
    """Decide by where training ended.

    Args:
        options: the one with the least loss first; apart: by how many standard errors the loss of each is higher.
    """
    held = min(len(data.splits["train"]), images_held(options[0]))
    if images_held(options[0]) >= MANY:
        return _by_rest_of_many(state, options, data, min(held, MANY))
    count = min(GRADIENTS, held)
    if count < 8 * DIRECTIONS:
        return None
    weights = options[0].to_weights(state)
    # Of plain and moved images, those whose gradients are nearer to rest are those of its training.
    found = min(([unrest(o, weights, *batch) for o in options] for batch in _both(data, count)), key=min)
    # Loss and gradients are to name the same function, and training to have ended with it: else nothing is told.
    if min(found) < found[0] or not found[0] <= AT_REST * count:
        return None
    likelier = [DIRECTIONS / 2 * log((1 + each) / (1 + found[0])) for each in found]
    rivals = [
        i
        for i in range(1, len(options))
        if not (likelier[i] >= CLEAR_REST or (likelier[i] >= LIKELY_REST and apart[i] >= CLEAR_ERRORS))
    ]
    if len(rivals) == len(options) - 1:
        return None
    return _rest_decision(options, 0, rivals, found, f"{count} training images of {data.name}")


def _by_rest_of_many(
    state: Mapping[str, Tensor], options: Sequence[Architecture], data: ImageData, count: int
) -> Decision | None:
    """Decide by where training ended, of a small network."""
    if count < 8 * MANY_DIRECTIONS:
        return None
    weights = options[0].to_weights(state)
    first = min(MANY_FIRST, count)

    def found_on(images: Tensor, labels: Tensor) -> list[float]:
        return [unrest(option, weights, images, labels, MANY_DIRECTIONS) for option in options]

    batches = list(_both(data, count))
    images, labels = min(batches, key=lambda batch: min(found_on(batch[0][:first], batch[1][:first])))
    found = found_on(images, labels)
    best = min(range(len(options)), key=found.__getitem__)
    if not found[best] <= MANY_AT_REST * MANY_DIRECTIONS:
        return None
    rivals = [
        i
        for i in range(len(options))
        if i != best and not MANY_DIRECTIONS / 2 * log((1 + found[i]) / (1 + found[best])) >= CLEAR_REST
    ]
    if len(rivals) == len(options) - 1:
        return None
    return _rest_decision(options, best, rivals, found, f"{count} training images of {data.name}")


def _rest_decision(
    options: Sequence[Architecture], best: int, rivals: Sequence[int], found: Sequence[float], what: str
) -> Decision:
    second = next(i for i in range(len(options)) if i != best and i not in rivals)
    return Decision(
        options[best],
        tuple(options[i].name for i in rivals),
        f"the gradients of {what} add up to {found[best] ** 0.5:.3g} times one of them, with {options[second].name} to "
        f"{found[second] ** 0.5:.3g} times",
    )


def _both(data: ImageData, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Training images drawn at random with their labels: plain, and moved and mirrored as in training."""
    index = torch.randperm(len(data.splits["train"]), generator=torch.Generator().manual_seed(0))[:count]
    yield data.batch("train", index)
    if data.padding or data.flip:
        yield data.augmented("train", index, generator=torch.Generator().manual_seed(0))
