"""Which architecture a checkpoint is: from names and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netspace_models.architectures import Architecture, Signal, build
from netspace_models.architectures.architecture import difference
from netspace_models.errors import NamesDiffer, UnknownArchitecture
from torch import Tensor

from .checkpoint import Checkpoint
from .factories import is_factory, resolve_architecture, signal_of_factory

# Image sizes tried when a checkpoint comes without a word on its data: CIFAR-10's, those of digits,
# MNIST's, Tiny-ImageNet's.
USUAL_SIZES = (32, 16, 28, 64)
FIRST_WEIGHTS = ("conv1.weight", "layers.0.weight")
LAST_BIASES = ("fc3.bias", "layers.5.bias", "fc.bias")
# A file's word for its sizes is taken up to here: beyond, building the network to compare with could
# take far more time and memory than the file has bytes.
MOST_CHANNELS, MOST_CLASSES, MOST_DEPTH = 1024, 100_000, 1202


def recognise(
    checkpoint: Checkpoint,
    *,
    candidates: Sequence[Architecture] = (),
    arch: str | None = None,
    signal: Signal | None = None,
) -> Architecture:
    """The architecture whose names and shapes a checkpoint has.

    Args:
        candidates: tried first; the built-in ones are tried after them.
        arch: a name or a factory, where recognition is not wanted.
        signal: images and classes, where they are known; otherwise they are read off the parameters.
    Raises:
        UnknownArchitecture: nothing fits; says which came nearest and what differs.
    """
    state = checkpoint.state
    options = _named(arch, candidates, state, signal) if arch else [*candidates, *_built_in(state, signal)]
    failures: list[tuple[Architecture, NamesDiffer]] = []
    for architecture in options:
        try:
            architecture.form_of(state)
        except NamesDiffer as failure:
            failures.append((architecture, failure))
        else:
            return architecture
    nearest = min(failures, key=lambda f: difference(f[1]), default=None)
    raise _misfit(checkpoint, arch, nearest) if arch else _unknown(checkpoint, nearest)


def _named(
    arch: str, candidates: Sequence[Architecture], state: Mapping[str, Tensor], signal: Signal | None
) -> list[Architecture]:
    known = [a for a in candidates if a.name == arch]
    if known and signal is None:
        return known
    return [resolve_architecture(arch, s) for s in ([signal] if signal else _signals(state, arch))]


def _built_in(state: Mapping[str, Tensor], signal: Signal | None) -> list[Architecture]:
    """Every built-in architecture at every signal that the parameters allow; of the ResNets only the one
    whose depth the names tell."""
    convolutions = sum(n.startswith("layer") and n.endswith((".conv1.weight", ".conv2.weight")) for n in state)
    names = ["lenetlike", "vanillacnn", *([f"resnet{convolutions + 2}"] if 0 < convolutions < MOST_DEPTH else [])]
    found = []
    for option in [signal] if signal else _signals(state, None):
        for name in names:
            try:
                found.append(build(name, option))
            except UnknownArchitecture:
                continue  # not every architecture exists at every size, nor every depth
    return found


def _signals(state: Mapping[str, Tensor], arch: str | None) -> list[Signal]:
    """Channels and classes as the first and last layer have them, at the usual sizes."""
    first = next((state[n] for n in FIRST_WEIGHTS if n in state and state[n].dim() == 4), None)
    last = next((state[n] for n in LAST_BIASES if n in state and state[n].dim() == 1), None)
    if arch and is_factory(arch):
        channels = {t.shape[1] for t in state.values() if t.dim() == 4} or {3}
        own = signal_of_factory(arch, min(channels), USUAL_SIZES)
        if own is not None:
            return [own]
    if first is None or last is None:
        return []
    if not (0 < first.shape[1] <= MOST_CHANNELS and 0 < last.shape[0] <= MOST_CLASSES):
        return []
    return [Signal(first.shape[1], size, last.shape[0]) for size in USUAL_SIZES]


def _misfit(checkpoint: Checkpoint, arch: str, nearest: tuple[Architecture, NamesDiffer] | None) -> UnknownArchitecture:
    if nearest is None:
        return UnknownArchitecture(
            f"{checkpoint.path}: for which images and classes {arch} is to be built cannot be read off it.",
            "Use it with a space or with data (--space, --data) that say so.",
        )
    return UnknownArchitecture(
        f"{checkpoint.path}: {nearest[1].message}", f"It is no {arch}; leave out --arch to have it recognised."
    )


def _unknown(checkpoint: Checkpoint, nearest: tuple[Architecture, NamesDiffer] | None) -> UnknownArchitecture:
    tensors = len(checkpoint.state)
    hint = "If it is an architecture of your own, name its factory: --arch package.module:function."
    if nearest is None:
        return UnknownArchitecture(f"{checkpoint.path}: {tensors} tensors that fit no known architecture.", hint)
    architecture, failure = nearest
    return UnknownArchitecture(
        f"{checkpoint.path}: {tensors} tensors that fit no known architecture. Nearest is "
        f"{architecture.name} ({architecture.signal.describe()}), but {failure.message}",
        hint,
    )
