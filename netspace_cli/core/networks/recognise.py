"""Recognise a checkpoint's architecture from names and shapes, through the families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from netspace_models.architectures import Architecture, ImageIO, NetworkIO, build
from netspace_models.architectures.architecture import difference
from netspace_models.architectures.family import Foreign, Shapes
from netspace_models.architectures.registry import channels_and_classes, guesses, shown_by_weights, twins
from netspace_models.errors import NamesDiffer, UnknownArchitecture
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.files.checkpoint import Checkpoint

from .assumptions import assume, decided
from .decide import decide
from .factories import io_of_factory, is_factory, needs_io, resolve_architecture

# Image sizes tried when a checkpoint comes without a word on its data: CIFAR-10's, those of digits,
# MNIST's, Tiny-ImageNet's.
USUAL_SIZES = (32, 16, 28, 64)
# Those tried with somebody's own architecture, which may be for larger images.
FACTORY_SIZES = (*USUAL_SIZES, 96, 128, 224)
# A file's word for its sizes is taken up to here: beyond, building the network to compare with could
# take far more time and memory than the file has bytes.
MOST_CHANNELS, MOST_CLASSES = 1024, 100_000


# Share of the names and shapes of an architecture that a file has which was saved of it, but for some that are missing.
_NEARLY = 0.5


def recognise(
    checkpoint: Checkpoint,
    *,
    candidates: Sequence[Architecture] = (),
    arch: str | None = None,
    io: NetworkIO | None = None,
) -> Architecture:
    """Find the architecture that has a checkpoint's names and shapes.

    Args:
        candidates: tried first; the built-in ones are tried after them.
        arch: a name or a factory, where recognition is not wanted.
        io: what the network takes and gives, where that is known: nothing else is recognised then. Otherwise it is
            read off the parameters.
    Returns:
        Of several with the same names and shapes the one that the file names; else the first candidate, or the
        likeliest built-in one. `settle` chooses between them.
    Raises:
        UnknownArchitecture: nothing fits; says which came nearest and what differs.
    """
    state = checkpoint.state
    shapes = shapes_of(state)
    failures: list[tuple[Architecture, NamesDiffer]] = []
    for architecture in _named(arch, candidates, shapes, io) if arch else _options(candidates, shapes, io):
        try:
            architecture.form_of(state)
        except NamesDiffer as failure:
            failures.append((architecture, failure))
        else:
            return architecture if arch else _as_named(architecture, checkpoint.metadata, candidates)
    if arch:
        raise _misfit(checkpoint, arch, _nearest(failures, shapes))
    alike = [(architecture, failure) for architecture, failure in failures if _likeness(architecture, shapes) > 0]
    raise _of_another_io(checkpoint, io) or _unknown(checkpoint, _nearest(alike, shapes))


def with_own_names(
    checkpoint: Checkpoint,
    *,
    candidates: Sequence[Architecture] = (),
    arch: str | None = None,
    io: NetworkIO | None = None,
) -> Checkpoint:
    """Put back or cut off what an architecture shows to be the network's own names, or none of them.

    A `net.` in front of all names may be a wrapper's, or the network's. Arguments as in `recognise`, which reads what
    comes back; the checkpoint itself does where no architecture fits.
    """
    readings = list(checkpoint.readings())
    if len(readings) == 1:
        return checkpoint
    for reading in readings:
        try:
            recognise(reading, candidates=candidates, arch=arch, io=io)
        except UnknownArchitecture:
            continue
        return reading
    return checkpoint


def _as_named(
    architecture: Architecture, metadata: Mapping[str, str], candidates: Sequence[Architecture]
) -> Architecture:
    """Among architectures with the same parameters, the one that the file names; without a name, the one found."""
    name = metadata.get("netspace.arch", architecture.name)
    if name == architecture.name or name not in twins(architecture.name, architecture.io):
        return architecture
    return next((a for a in candidates if a.name == name), None) or build(name, architecture.io)


def settle(checkpoint: Checkpoint, architecture: Architecture, source: str) -> tuple[Architecture, str]:
    """Choose between an architecture and those with the same parameters, where the file does not say which it is.

    Its values tell, or the images given do (`deciding_by`); else the architecture is assumed.

    Args:
        architecture: what fits; source: the file, for remarks.
    Returns:
        The choice, and a remark on it; "" where there was none to make.
    Raises:
        UnknownArchitecture: it would be assumed, and nothing is to be (`strictly`).
    """
    name, *others = twins(architecture.name, architecture.io)
    if not others or checkpoint.metadata.get("netspace.arch") in (name, *others):
        return architecture, ""
    if shown_by_weights(name, checkpoint.state):
        return architecture, ""
    decision = decide(checkpoint.state, [architecture, *(build(other, architecture.io) for other in others)])
    if decision is not None:
        chosen = decision.architecture
        ruled_out = [n for n in (name, *others) if n not in (chosen.name, *decision.rivals)]
        remark = f"{chosen.name}, not {_listed(ruled_out, 'or')}: {decision.evidence}."
        if not decision.rivals:
            return chosen, decided(source, remark, surprising=chosen is not architecture)
        remark += (
            f" It may be {_listed(decision.rivals, 'or')} too; {setting('arch', decision.rivals[0])} chooses that."
        )
        return chosen, assume(source, remark)
    have = "has" if len(others) == 1 else "have"
    none = "neither" if len(others) == 1 else "none of them"
    remark = (
        f"{name} assumed: {_listed(others)} {have} the same parameters, and the file names {none}. "
        f"{setting('arch', others[0])} chooses another."
    )
    return architecture, assume(source, remark)


def _listed(names: Sequence[str], word: str = "and") -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 2 else names)


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    """Names and shapes of a state dict."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _named(
    arch: str, candidates: Sequence[Architecture], shapes: Shapes, io: NetworkIO | None
) -> Iterable[Architecture]:
    known = [a for a in candidates if a.name == arch]
    if known and io is None:
        return known
    return (resolve_architecture(arch, s) for s in ([io] if io else _possible_ios(shapes, arch)))


def _options(candidates: Sequence[Architecture], shapes: Shapes, io: NetworkIO | None) -> Iterator[Architecture]:
    """Candidate architectures: the given ones, then built-in ones that fit names and shapes, for every possible IO.

    Each is built only after those before it have been tried.
    """
    yield from candidates
    found = guesses(shapes)
    for guess in found:
        if guess.io is not None and io in (None, guess.io):
            yield from (build(name, guess.io) for name in guess.names)
    names = [name for guess in found if guess.io is None for name in guess.names]
    for option in [io] if io else _possible_ios(shapes, None):
        for name in names:
            try:
                architecture = build(name, option)
            except UnknownArchitecture:
                continue  # not every architecture exists at every size
            yield architecture


def _possible_ios(shapes: Shapes, arch: str | None) -> list[NetworkIO]:
    """IOs that a family reads; else channels and classes of the first and last layer at the usual sizes."""
    own = [guess.io for guess in guesses(shapes) if guess.io is not None]
    if own:
        return own
    if arch and is_factory(arch):
        made_for = io_of_factory(arch, None, FACTORY_SIZES)
        if made_for is not None:
            return [made_for]
    ends = channels_and_classes(shapes)
    if ends is None or not (0 < ends[0] <= MOST_CHANNELS and 0 < ends[1] <= MOST_CLASSES):
        return []
    return [ImageIO(ends[0], size, ends[1]) for size in USUAL_SIZES]


def _misfit(checkpoint: Checkpoint, arch: str, nearest: tuple[Architecture, NamesDiffer] | None) -> UnknownArchitecture:
    if nearest is None and is_factory(arch) and not needs_io(arch):
        sizes = ", ".join(map(str, sorted(FACTORY_SIZES)))
        return UnknownArchitecture(
            f"{checkpoint.path}: {arch} runs neither on square images of {sizes} pixels nor on points of 1 to 4 "
            "coordinates, or gives no (B, K) outputs for them.",
            f"Give a space or data that tell its inputs ({setting('candidates')}, {setting('io')}).",
        )
    if nearest is None:
        return UnknownArchitecture(
            f"{checkpoint.path}: it does not say for which images and classes to build {arch}.",
            f"Give a space or data that say so ({setting('candidates')}, {setting('io')}).",
        )
    return UnknownArchitecture(
        f"{checkpoint.path}: {nearest[1].message}",
        f"It is not a {arch}; leave out {setting('arch')} to have it recognised.",
    )


def _nearest(
    failures: Sequence[tuple[Architecture, NamesDiffer]], shapes: Shapes
) -> tuple[Architecture, NamesDiffer] | None:
    """The architecture that shares the most names and shapes, for its size, among those for such images and classes
    if any."""
    own = {_first_and_last(s) for s in _possible_ios(shapes, None)}

    def distance(failed: tuple[Architecture, NamesDiffer]) -> tuple[bool, float, int]:
        return _first_and_last(failed[0].io) not in own, -_likeness(failed[0], shapes), difference(failed[1])

    return min(failures, key=distance, default=None)


def _likeness(architecture: Architecture, shapes: Shapes) -> float:
    """Names of which both have the same shape over all names of either, in the form in which there are more."""
    found = set(shapes.items())
    forms = [{(p.name, p.shape) for p in architecture.layout(form).parameters} for form in ("full", "fused")]
    return max(len(found & form) / len(found.union(form)) for form in forms)


def _first_and_last(io: NetworkIO) -> tuple[int, int]:
    """Read what the first and last layer show of an IO: channels or coordinates, classes or values."""
    return io.input_shape[0], io.outputs


def _of_another_io(checkpoint: Checkpoint, io: NetworkIO | None) -> UnknownArchitecture | None:
    """The refusal of a network that is known, but takes something else than `io`, by what its family reads of it."""
    if io is None:
        return None
    own = [guess.io for guess in guesses(shapes_of(checkpoint.state)) if guess.io is not None and guess.io != io]
    for other in own:
        try:
            found = recognise(checkpoint, io=other)
        except UnknownArchitecture:
            continue
        return UnknownArchitecture(
            f"{checkpoint.path}: it is a {found.name} for {found.io.describe_inputs()}, not for "
            f"{io.describe_inputs()}.",
            "Give data of its own kind.",
        )
    return None


def _unknown(checkpoint: Checkpoint, nearest: tuple[Architecture, NamesDiffer] | None) -> UnknownArchitecture:
    message = f"{checkpoint.path}: {len(checkpoint.state)} tensors that fit no known architecture."
    hint = f"If it is an architecture of your own, name its factory: {setting('arch', 'package.module:function')}."
    foreign = _foreign(shapes_of(checkpoint.state))
    if foreign is not None:
        package = foreign.example.partition(".")[0]
        hint += f" Name {package}'s own architecture: {setting('arch', foreign.example)}."
    if nearest is not None:
        architecture, failure = nearest
        but = failure.message
        if foreign is not None:
            but = f"this {foreign.kind} differs in: {'; '.join(foreign.differences)}."
        message += f" Nearest is {architecture.name} ({architecture.io.describe()}), but {but}"
        near = _likeness(architecture, shapes_of(checkpoint.state)) > _NEARLY
        if near and foreign is None and is_factory(architecture.name):
            own = architecture.name
            hint = f"Save all parameters and buffers of {own}, or name another factory: {setting('arch')}."
    return UnknownArchitecture(message, hint)


def _foreign(shapes: Shapes) -> Foreign | None:
    """A family's description of a network that is not one of its architectures."""
    return next((guess.foreign for guess in guesses(shapes) if guess.foreign is not None), None)
