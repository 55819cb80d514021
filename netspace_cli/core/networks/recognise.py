"""Which architecture a checkpoint is: from names and shapes alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from netspace_models.architectures import Architecture, FieldIO, ImageIO, NetworkIO, build
from netspace_models.architectures.architecture import difference
from netspace_models.architectures.registry import nearest_depth, twins
from netspace_models.architectures.siren import LAYERS, WIDTH
from netspace_models.architectures.zoo_cnn import LAYOUTS
from netspace_models.errors import NamesDiffer, UnknownArchitecture
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.files.checkpoint import Checkpoint

from .factories import io_of_factory, is_factory, resolve_architecture

# Image sizes tried when a checkpoint comes without a word on its data: CIFAR-10's, those of digits,
# MNIST's, Tiny-ImageNet's.
USUAL_SIZES = (32, 16, 28, 64)
FIRST_WEIGHTS = ("conv1.weight", "layers.0.weight")
LAST_LAYERS = ("fc3", "layers.5", "fc", "linear", "fc2")
# Everybody's ResNets name the convolutions of their blocks so; the classifier's name tells the shortcuts' kind.
BLOCK_CONVOLUTION = re.compile(r"layer([1-9][0-9]*)\.([0-9]+)\.conv([1-9])\.weight")
CLASSIFIERS = {"": "fc.weight", "-a": "linear.weight"}
SIREN_LAYER = re.compile(r"layers\.(0|[1-9][0-9]?)\.(?:weight|bias)")
# A file's word for its sizes is taken up to here: beyond, building the network to compare with could
# take far more time and memory than the file has bytes. Deep ones are built where there are numbers for them.
MOST_CHANNELS, MOST_CLASSES, MOST_DEPTH = 1024, 100_000, 1202
DEEP, LEAST_VALUES = 110, 1000
MOST_UNITS, MOST_LAYERS = 9999, 99
# A network of sines to compare with has at most so many times the values of the file.
MOST_EXCESS = 4


def recognise(
    checkpoint: Checkpoint,
    *,
    candidates: Sequence[Architecture] = (),
    arch: str | None = None,
    io: NetworkIO | None = None,
) -> Architecture:
    """The architecture whose names and shapes a checkpoint has.

    Args:
        candidates: tried first; the built-in ones are tried after them.
        arch: a name or a factory, where recognition is not wanted.
        io: images and classes, where they are known; otherwise they are read off the parameters.
    Returns:
        Of several with the same names and shapes the one that the file names; else the first candidate, or the
        built-in one with tanh.
    Raises:
        UnknownArchitecture: nothing fits; says which came nearest and what differs.
    """
    state = checkpoint.state
    failures: list[tuple[Architecture, NamesDiffer]] = []
    for architecture in _named(arch, candidates, state, io) if arch else _options(candidates, state, io):
        try:
            architecture.form_of(state)
        except NamesDiffer as failure:
            failures.append((architecture, failure))
        else:
            return architecture if arch else _as_named(architecture, checkpoint.metadata, candidates)
    nearest = _nearest(failures, state)
    raise _misfit(checkpoint, arch, nearest) if arch else _unknown(checkpoint, nearest)


def _as_named(
    architecture: Architecture, metadata: Mapping[str, str], candidates: Sequence[Architecture]
) -> Architecture:
    """The one among those with the same parameters that the file names; where it names none, the one found."""
    name = metadata.get("netspace.arch", architecture.name)
    if name == architecture.name or name not in twins(architecture.name):
        return architecture
    return next((a for a in candidates if a.name == name), None) or build(name, architecture.io)


def ambiguity(checkpoint: Checkpoint, architecture: Architecture) -> str:
    """A sentence on what an architecture was chosen for, where its parameters fit others as well and the file does
    not say which it is; else nothing."""
    name, *others = twins(architecture.name)
    if not others or checkpoint.metadata.get("netspace.arch") in (name, *others):
        return ""
    return (
        f"{name} taken for granted: {' and '.join(others)} have the same parameters, and the file names none. "
        f"{setting('arch', others[0])} takes another."
    )


def _named(
    arch: str, candidates: Sequence[Architecture], state: Mapping[str, Tensor], io: NetworkIO | None
) -> Iterable[Architecture]:
    known = [a for a in candidates if a.name == arch]
    if known and signal is None:
        return known
    return (resolve_architecture(arch, s) for s in ([io] if signal else _signals(state, arch)))


def _options(
    candidates: Sequence[Architecture], state: Mapping[str, Tensor], io: NetworkIO | None
) -> Iterator[Architecture]:
    """The candidates, then the built-in architectures that the names tell, at every signal that the parameters
    allow; each is built only once the others before it have been tried."""
    yield from candidates
    siren = _siren(state)
    if siren is not None:
        yield siren
        return
    names = _built_in_names(state)
    for option in [io] if signal else _signals(state, None):
        for name in names:
            try:
                architecture = build(name, option)
            except UnknownArchitecture:
                continue  # not every architecture exists at every size
            yield architecture


def _siren(state: Mapping[str, Tensor]) -> Architecture | None:
    """The network of sines that a state dict is or is meant to be: nothing but numbered matrices and biases. Its first
    layer tells the width, its last one the number of layers; what is between may differ."""
    places = [SIREN_LAYER.fullmatch(name) for name in state]
    if not places or None in places:
        return None
    numbers = {int(place.group(1)) for place in places if place}
    last = max(numbers)
    if len(numbers) <= last:
        return None  # a layer of nothing, such as others' activations, has no number here
    first, end = state.get("layers.0.weight"), state.get(f"layers.{last}.weight")
    if first is None or end is None or not 1 <= last < MOST_LAYERS or first.dim() != 2 or end.dim() != 2:
        return None
    width, dimensions, outputs = first.shape[0], first.shape[1], end.shape[0]
    if min(width, dimensions, outputs) < 1 or max(width, dimensions, outputs) > MOST_UNITS:
        return None
    if (last - 1) * width**2 > MOST_EXCESS * sum(t.numel() for t in state.values()):
        return None
    name = "siren" if (width, last) == (WIDTH, LAYERS) else f"siren-{width}x{last}"
    return build(name, FieldIO(dimensions, outputs))


def _built_in_names(state: Mapping[str, Tensor]) -> list[str]:
    """The built-in architectures that a state dict may be; of the ResNets only the depth that it has."""
    matches = filter(None, map(BLOCK_CONVOLUTION.fullmatch, state))
    convolutions = [state[m.string] for m in matches if m.group(3) in "12"]
    if not convolutions:
        return ["lenetlike", "vanillacnn", *LAYOUTS]
    depth = nearest_depth(len(convolutions) + 2)
    values = sum(t.numel() for t in convolutions)
    if depth > MOST_DEPTH or (depth > DEEP and values < LEAST_VALUES * len(convolutions)):
        return []
    options = [option for option, name in CLASSIFIERS.items() if name in state] or list(CLASSIFIERS)
    return [f"resnet{depth}{option}" for option in options]


def _signals(state: Mapping[str, Tensor], arch: str | None) -> list[NetworkIO]:
    """Channels and classes as the first and last layer have them, at the usual sizes; of networks of sines the
    coordinates and values."""
    siren = _siren(state)
    if siren is not None:
        return [siren.io]
    first = next((state[n] for n in FIRST_WEIGHTS if n in state and state[n].dim() == 4), None)
    ends = [state[n] for layer in LAST_LAYERS for n in (f"{layer}.bias", f"{layer}.weight") if n in state]
    last = next((t for t in ends if t.dim() in (1, 2)), None)
    if arch and is_factory(arch):
        channels = {t.shape[1] for t in state.values() if t.dim() == 4} or {3}
        own = io_of_factory(arch, min(channels), USUAL_SIZES)
        if own is not None:
            return [own]
    if first is None or last is None:
        return []
    if not (0 < first.shape[1] <= MOST_CHANNELS and 0 < last.shape[0] <= MOST_CLASSES):
        return []
    return [ImageIO(first.shape[1], size, last.shape[0]) for size in USUAL_SIZES]


def _misfit(checkpoint: Checkpoint, arch: str, nearest: tuple[Architecture, NamesDiffer] | None) -> UnknownArchitecture:
    if nearest is None:
        return UnknownArchitecture(
            f"{checkpoint.path}: for which images and classes {arch} is to be built cannot be read off it.",
            f"Use it with a space or with data ({setting('candidates')}, {setting('signal')}) that say so.",
        )
    return UnknownArchitecture(
        f"{checkpoint.path}: {nearest[1].message}",
        f"It is no {arch}; leave out {setting('arch')} to have it recognised.",
    )


def _nearest(
    failures: Sequence[tuple[Architecture, NamesDiffer]], state: Mapping[str, Tensor]
) -> tuple[Architecture, NamesDiffer] | None:
    """The one with the fewest names in disagreement, of those for such images and classes if there are any."""
    own = {_first_and_last(s) for s in _signals(state, None)}

    def distance(failed: tuple[Architecture, NamesDiffer]) -> tuple[bool, int]:
        return _first_and_last(failed[0].io) not in own, difference(failed[1])

    return min(failures, key=distance, default=None)


def _first_and_last(io: NetworkIO) -> tuple[int, int]:
    """What the first and the last layer tell of a io: channels or coordinates, classes or values."""
    return signal.input_shape[0], signal.outputs


def _unknown(checkpoint: Checkpoint, nearest: tuple[Architecture, NamesDiffer] | None) -> UnknownArchitecture:
    message = f"{checkpoint.path}: {len(checkpoint.state)} tensors that fit no known architecture."
    hint = f"If it is an architecture of your own, name its factory: {setting('arch', 'package.module:function')}."
    oddities = _oddities(checkpoint.state)
    if oddities:
        hint += f" torchvision's own can be named so: {setting('arch', 'torchvision.models:resnet18')}."
    if nearest is not None:
        architecture, failure = nearest
        but = f"this ResNet differs in: {'; '.join(oddities)}." if oddities else failure.message
        message += f" Nearest is {architecture.name} ({architecture.io.describe()}), but {but}"
    return UnknownArchitecture(message, hint)


def _oddities(state: Mapping[str, Tensor]) -> list[str]:
    """What a ResNet has that no built-in one has, in words, with what those have; nothing where it is none."""
    places = [m.groups() for m in map(BLOCK_CONVOLUTION.fullmatch, state) if m]
    if not places:
        return []
    found = []
    blocks = Counter(stage for stage, _ in {(stage, block) for stage, block, _ in places})
    counts = [blocks[stage] for stage in sorted(blocks, key=int)]
    if len(counts) != 3 or len(set(counts)) > 1:
        shown = ", ".join([*map(str, counts[:6]), *(["…"] if len(counts) > 6 else [])])
        found.append(f"{len(counts)} stages of {shown} blocks (known: 3 of equally many)")
    if any(convolution not in "12" for _, _, convolution in places):
        found.append("blocks of three convolutions (known: two)")
    stem = state.get("conv1.weight")
    if stem is not None and stem.dim() == 4 and tuple(stem.shape[i] for i in (0, 2, 3)) != (16, 3, 3):
        size = f"{stem.shape[2]}x{stem.shape[3]}"
        found.append(f"a first convolution of {size} to {stem.shape[0]} channels (known: 3x3 to 16)")
    return found
