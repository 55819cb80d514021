"""Decide by images between architectures that have the same parameters.

Statistics of batch norms agree with what flows through the network that was trained, and not through another one;
without batch norms, the right function answers training images better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture
from netspace_models.parameters.folding import NORMS
from torch import Tensor, nn
from torch.func import functional_call

from netspace_cli.core.data.images import ImageData, images_or_none

# Training images that are looked at: through networks with batch norms, and through others.
NORM_IMAGES, IMAGES = 256, 1000
# How much worse the next architecture must agree with the batch norms' statistics, as a factor.
CLEAR_FACTOR = 1.2
# By how many standard errors its loss must be higher, and either by what factor or by how much less often it must be
# right: functions that hardly differ, such as ReLU and LeakyReLU, differ by many standard errors, in either direction.
CLEAR_ERRORS, CLEAR_LOSS, CLEAR_ACCURACY = 4.0, 1.25, 0.02
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
    with torch.no_grad():
        return _by_norms(state, options, data) or (_by_loss(state, options, data) if data.labelled else None)


def _by_norms(state: Mapping[str, Tensor], options: Sequence[Architecture], data: ImageData) -> Decision | None:
    if any(not o.pairs or o.form_of(state) != "full" for o in options):
        return None
    # Networks are trained on moved and mirrored images or on plain ones: the nearer of the two counts.
    index = torch.randperm(len(data.splits["train"]), generator=torch.Generator().manual_seed(0))[:NORM_IMAGES]
    moved, _ = data.augmented("train", index, generator=torch.Generator().manual_seed(0))
    plain, _ = data.batch("train", index)
    off = [min(_disagreement(o.module, state, images) for images in (moved, plain)) for o in options]
    order = sorted(range(len(options)), key=off.__getitem__)
    best, second = off[order[0]], off[order[1]]
    if not second >= CLEAR_FACTOR * best:
        return None
    return Decision(
        options[order[0]],
        (),
        f"the variances that its batch norms recorded differ by {best:.1%} from those of {data.name}, "
        f"with {options[order[1]].name} by {second:.1%}",
    )


def _disagreement(module: nn.Module, state: Mapping[str, Tensor], images: Tensor) -> float:
    """Mean absolute difference of the logarithms of recorded and actual variances, over channels and batch norms."""
    sums: dict[str, list[Tensor]] = {}

    def hook(name: str, inputs: tuple[Tensor, ...]) -> None:
        axes = [i for i in range(inputs[0].dim()) if i != 1]
        sums.setdefault(name, []).append(torch.stack([inputs[0].mean(axes), inputs[0].square().mean(axes)]))

    norms = {name: m for name, m in module.named_modules() if isinstance(m, NORMS)}
    handles = [m.register_forward_pre_hook(lambda _, x, n=name: hook(n, x)) for name, m in norms.items()]
    try:
        batches = images.split(_BATCH)
        for batch in batches:
            functional_call(module, dict(state), (batch,))
    finally:
        for handle in handles:
            handle.remove()
    off = []
    for name, parts in sums.items():
        mean, square = torch.stack(parts).mean(0)
        recorded, eps = state[f"{name}.running_var"], norms[name].eps
        off.append(((square - mean**2 + eps) / (recorded + eps)).log().abs().mean())
    return float(torch.stack(off).mean())


def _by_loss(state: Mapping[str, Tensor], options: Sequence[Architecture], data: ImageData) -> Decision | None:
    count = min(IMAGES, len(data.splits["train"]))
    losses, right = [], []
    for option in options:
        weights = option.to_weights(state)
        parts = [data.batch("train", slice(i, min(i + _BATCH, count))) for i in range(0, count, _BATCH)]
        logits = torch.cat([option.run(weights, images) for images, _ in parts])
        labels = torch.cat([found for _, found in parts])
        losses.append(F.cross_entropy(logits, labels, reduction="none").double())
        right.append(float((logits.argmax(1) == labels).double().mean()))
    order = sorted(range(len(options)), key=lambda i: float(losses[i].mean()))
    best, rivals = order[0], []
    for other in order[1:]:
        apart = losses[other] - losses[best]
        clear = apart.mean() >= CLEAR_ERRORS * apart.std() / count**0.5
        far = losses[other].mean() >= CLEAR_LOSS * losses[best].mean() or right[best] - right[other] >= CLEAR_ACCURACY
        if not (clear and far):
            rivals.append(options[other].name)
    if len(rivals) == len(options) - 1:
        return None
    second = max((i for i in order[1:] if options[i].name not in rivals), key=right.__getitem__)
    return Decision(
        options[best],
        tuple(rivals),
        f"it answers {right[best]:.1%} of {count} training images of {data.name} rightly, {options[second].name} "
        f"{right[second]:.1%}",
    )
