"""The ResNets by name (resnet32, resnet32-relu, resnet32-a, ...), and their recognition from names and shapes."""

from __future__ import annotations

import re
from collections import Counter
from math import prod

from ..errors import UnknownArchitecture
from ..network_io import ImageIO, NetworkIO
from .family import Factory, Family, Foreign, Guess, Shapes, images_for
from .resnet import ResNet, Style
from .resnet_a import ResNetA, Zeros

# By the end of the name. As published; with ReLU; with ReLU and the names that many have; with shortcuts of 3x3.
STYLES = {
    "": Style(),
    "-relu": Style(slope=0),
    "-b": Style(slope=0, shortcut="shortcut", classifier="linear"),
    "-3x3": Style(slope=0, stem=("conv", "bn"), kernel=3),
}
# Option A's shortcuts have no parameters; the zeros are around the channels, or on one side.
ZEROS: dict[str, Zeros] = {"-a": "around", "-a-behind": "behind", "-a-before": "before"}
# Those whose parameters have the same names and shapes, likeliest first.
ALIKE = (("", "-relu"), tuple(ZEROS))
# No file's word is taken for five digits.
NAME = re.compile(rf"resnet([1-9][0-9]{{0,3}})({'|'.join([*STYLES, *ZEROS][1:])})?")
DEPTHS, DEPTHS_A = (8, 20, 32, 44, 56, 110), (20, 32, 44, 56, 110)
# Everybody's ResNets name the convolutions of their blocks so; the classifier's name tells the shortcuts' kind.
BLOCK_CONVOLUTION = re.compile(r"layer([1-9][0-9]*)\.([0-9]+)\.conv([1-9])\.weight")
CLASSIFIERS = {"": "fc", "-a": "linear", "-b": "linear", "-3x3": "fc"}
# Deeper ones than any are not built to compare with, and deep ones where there are numbers for them: that could take
# far more time and memory than the file has bytes.
MOST_DEPTH, DEEP, LEAST_VALUES = 1202, 110, 1000


def factory(name: str) -> Factory | None:
    """Return the builder of a ResNet by name; see `Family`.

    Raises:
        UnknownArchitecture: a depth that is not 6n + 2, or of more than 1,202 layers.
    """
    match = NAME.fullmatch(name)
    if not match:
        return None
    depth, option = int(match.group(1)), match.group(2) or ""
    if depth > MOST_DEPTH:
        raise UnknownArchitecture(
            f"{name} is too deep; the limit is {MOST_DEPTH} layers.", f"Name a smaller one: resnet{MOST_DEPTH}{option}."
        )
    if depth >= 8 and (depth - 2) % 6 == 0:
        return lambda io: _built(images_for(name, io), depth, option)
    raise UnknownArchitecture(
        f"{name} does not exist: the depth must be 6n + 2.",
        f"Nearest: resnet{nearest_depth(depth)}{option}.",
    )


def _built(io: ImageIO, depth: int, option: str) -> ResNet | ResNetA:
    if option in ZEROS:
        return ResNetA(io, depth=depth, zeros=ZEROS[option])
    return ResNet(io, depth=depth, style=STYLES[option])


def _twins(name: str, io: NetworkIO) -> tuple[str, ...]:
    """Architectures that differ only in what parameters do not show."""
    match = NAME.fullmatch(name)
    option = match.group(2) or "" if match else ""
    alike = next((options for options in ALIKE if option in options), ())
    return tuple(f"{name.removesuffix(option)}{other}" for other in alike)


def nearest_depth(depth: int) -> int:
    """The nearest depth of the form 6n + 2."""
    return max(8, 6 * round((depth - 2) / 6) + 2)


def recognise(shapes: Shapes) -> Guess | None:
    """Recognise the depth of a ResNet's state dict; None if it has no blocks of a ResNet."""
    blocks = [match for match in map(BLOCK_CONVOLUTION.fullmatch, shapes) if match]
    if not blocks:
        return None
    return Guess(_names(shapes, blocks), foreign=_foreign(shapes, blocks))


def _names(shapes: Shapes, blocks: list[re.Match[str]]) -> tuple[str, ...]:
    convolutions = [shapes[match.string] for match in blocks if match.group(3) in "12"]
    depth = nearest_depth(len(convolutions) + 2)
    values = sum(map(prod, convolutions))
    if depth > MOST_DEPTH or (depth > DEEP and values < LEAST_VALUES * len(convolutions)):
        return ()
    options = [option for option, layer in CLASSIFIERS.items() if f"{layer}.weight" in shapes] or list(CLASSIFIERS)
    if "conv.weight" not in shapes:
        options = [option for option in options if option != "-3x3"]
    if not any(".shortcut." in name for name in shapes):
        options = [option for option in options if option != "-b"]
    # What differs in nothing that parameters show is not guessed: it is a twin of these.
    return tuple(f"resnet{depth}{option}" for option in options)


def _foreign(shapes: Shapes, blocks: list[re.Match[str]]) -> Foreign | None:
    found = []
    counted = Counter(stage for stage, _ in {(match.group(1), match.group(2)) for match in blocks})
    counts = [counted[stage] for stage in sorted(counted, key=int)]
    if len(counts) != 3 or len(set(counts)) > 1:
        shown = ", ".join([*map(str, counts[:6]), *(["…"] if len(counts) > 6 else [])])
        found.append(f"{len(counts)} stages of {shown} blocks (known: 3 of equally many)")
    if any(match.group(3) not in "12" for match in blocks):
        found.append("blocks of three convolutions (known: two)")
    stem = shapes.get("conv1.weight", shapes.get("conv.weight", ()))
    if len(stem) == 4 and (stem[0], *stem[2:]) != (16, 3, 3):
        found.append(f"a first convolution of {stem[2]}x{stem[3]} to {stem[0]} channels (known: 3x3 to 16)")
    return Foreign("ResNet", tuple(found), "torchvision.models:resnet18") if found else None


RESNETS = Family(
    (*(f"resnet{depth}" for depth in DEPTHS), *(f"resnet{depth}-a" for depth in DEPTHS_A)),
    factory,
    recognise,
    first=("conv1", "conv"),
    last=("fc", "linear"),
    more="any resnet of depth 6n + 2 (-relu: ReLU; -a: ReLU and shortcuts without parameters, -a-behind or -a-before "
    "with all zeros on one side; -b: ReLU and shortcuts called shortcut; -3x3: ReLU and shortcuts of 3x3)",
    twins=_twins,
)
