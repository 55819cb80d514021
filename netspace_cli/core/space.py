"""A trained space as one safetensors file: weights, the zoo's embeddings, and a JSON record of the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from netspace_models.architectures import Architecture, FieldSignal, ImageSignal, Signal, signal_from
from netspace_models.backbones import ArchitectureInit, Backbone, ConvBackbone, TokensBackbone
from netspace_models.codec import published_height
from netspace_models.errors import ConfigError, InputFileError, NetspaceError
from netspace_models.heads import ConvHead, MLPHead
from netspace_models.space_model import SpaceModel
from torch import Tensor

from .checkpoint import check_finite, read_own, read_safetensors, write_safetensors
from .factories import recorded_architecture
from .files import sha256_of
from .recipe import ConvRecipe, Recipe, recipe_from

FORMAT, VERSION = "netspace-space", 1
BUILT_IN = Path(__file__).parent.parent / "spaces"


@dataclass(frozen=True)
class Space:
    """An opened space.

    Attributes:
        model: encoder, decoder, classifier; in evaluation mode.
        record: name, architectures, signal, data, recipe, zoo and provenance, as JSON.
        embeddings: (N, E) of the zoo's instances, in the order of `record["zoo"]`.
        path: of the file, None for a space not written yet.
        sha256: of the file.
    """

    model: SpaceModel
    record: dict[str, Any]
    embeddings: Tensor
    path: Path | None = None
    sha256: str = ""

    @property
    def name(self) -> str:
        """How people call it."""
        return str(self.record["name"])

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """In the order of their ClassIds."""
        return self.model.architectures

    @property
    def signal(self) -> Signal:
        """What its networks take and give."""
        return signal_from(self.record["signal"])

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe it was trained with."""
        return recipe_from(self.record["recipe"])

    def to(self, device: torch.device) -> Self:
        """The space with its embeddings on a device; its model is moved there, not copied."""
        return replace(self, model=self.model.to(device), embeddings=self.embeddings.to(device))


def build_model(
    recipe: Recipe, architectures: Sequence[Architecture], inits: Mapping[str, ArchitectureInit] | None = None
) -> SpaceModel:
    """A fresh model of a recipe; values are drawn from torch's current stream.

    Args:
        recipe: sizes.
        architectures: in the order of their ClassIds.
        inits: what training instances tell of each; None where all values are loaded afterwards.
    Raises:
        ConfigError: sizes that do not go together.
        DoesNotFit: an architecture is too large for the conv backbone's PRep.
    """
    if inits is None:
        inits = {
            a.name: ArchitectureInit(a.spec, None, torch.ones(len(a.spec.layers)), a.run, architecture=a)
            for a in architectures
        }
    signal = architectures[0].signal
    several = len(architectures) > 1
    backbone: Backbone
    options = recipe.backbone
    if isinstance(options, ConvRecipe):
        size = signal.size if isinstance(signal, ImageSignal) else 0
        height = options.height or published_height(architectures=len(architectures), size=size)
        sizes = options.model_dump(exclude={"kind", "height"})
        backbone = ConvBackbone(inits, height=height, **sizes)
        head = ConvHead(options.embedding_size, len(architectures)) if several else None
        return SpaceModel(architectures, backbone, head)
    backbone = TokensBackbone(
        inits,
        probe_shape=signal.input_shape,
        outputs=signal.outputs,
        values=isinstance(signal, FieldSignal),
        **options.model_dump(exclude={"kind"}),
    )
    return SpaceModel(architectures, backbone, MLPHead(options.embedding_size, len(architectures)) if several else None)


def save_space(path: Path, space: Space, *, force: bool = False) -> Space:
    """Write a space; returns it with its path and SHA-256.

    Raises:
        OutputExists: the path is taken and `force` is not given.
    """
    tensors = {f"model.{n}": t.detach().cpu() for n, t in space.model.state_dict().items()}
    tensors["zoo.embeddings"] = space.embeddings.detach().cpu()
    record = {"format": FORMAT, "version": VERSION, **space.record}
    metadata = {"format": "pt", "netspace.space": json.dumps(record, sort_keys=True)}
    write_safetensors(path, tensors, metadata, force=force)
    return replace(space, path=path, sha256=sha256_of(path))


def read_record(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The JSON record in a space file's metadata.

    Raises:
        InputFileError: the file is no space, or of a version this netspace does not read.
    """
    if "netspace.space" not in metadata:
        raise InputFileError(
            path,
            "a safetensors file, but no space.",
            "`netspace inspect` says what it is; `netspace train` makes a space.",
        )
    try:
        record = dict(json.loads(metadata["netspace.space"]))
        version = (record["format"], record["version"])
    except (ValueError, KeyError, TypeError) as failure:
        raise InputFileError(path, f"its record cannot be read ({failure}).", "Train the space again.") from failure
    if version != (FORMAT, VERSION):
        raise InputFileError(
            path,
            f"format {version[0]!r} version {version[1]}; this netspace reads {FORMAT!r} version {VERSION}.",
            "Use the netspace that wrote it, or train the space again.",
        )
    try:
        _check_record(record)
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise InputFileError(
            path, f"its record is not whole ({type(failure).__name__}: {failure}).", "Train the space again."
        ) from failure
    return record


def _check_record(record: Mapping[str, Any]) -> None:
    """Raises ValueError, KeyError, TypeError or AttributeError where something is missing or no such thing."""
    signal = signal_from(record["signal"])
    texts = [record["name"], record["data"]["name"], record["netspace_version"], *record["architectures"]]
    numbers = [*asdict(signal).values(), record["recipe"]["backbone"]["embedding_size"]]
    rows = [(row["id"], row["arch"], row["split"]) for row in record["zoo"]]
    if not record["architectures"] or not isinstance(record["architectures"], list):
        raise ValueError("no architectures")
    for text in (*texts, record["recipe"]["backbone"]["kind"], *(t for row in rows for t in row)):
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is no text")
    for number in (*numbers, record["recipe"]["refine"]["steps"] + 1):
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"{number!r} is no number above zero")


def load_space(source: str | Path) -> Space:
    """Open a space by built-in name or by path.

    Raises:
        ConfigError: no built-in space has that name and no file that path.
        InputFileError: the file is no space, or is damaged, or has an architecture whose factory is not
            trusted or cannot be imported here.
        NotFinite: NaN or infinity among its values.
    """
    path = space_path(source)
    tensors, metadata = read_own(path, "space")
    record = read_record(path, metadata)
    check_finite(tensors, path)
    try:
        signal = signal_from(record["signal"])
        architectures = [recorded_architecture(name, signal, path) for name in record["architectures"]]
        with torch.random.fork_rng(devices=[]):
            model = build_model(recipe_from(record["recipe"]), architectures)
        weights = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
        model.load_state_dict(weights, strict=True)
        embeddings = tensors["zoo.embeddings"]
        if tuple(embeddings.shape) != (len(record["zoo"]), model.embedding_size):
            raise ValueError(f"embeddings of shape {tuple(embeddings.shape)} for {len(record['zoo'])} instances")
    except InputFileError:
        raise
    except NetspaceError as failure:  # a recipe or an architecture that this machine cannot make
        raise InputFileError(path, f"not a whole space: {failure.message}", failure.hint) from failure
    except (KeyError, TypeError, ValueError, RuntimeError) as failure:
        raise InputFileError(path, f"not a whole space ({failure}).", "Train the space again.") from failure
    model.eval().requires_grad_(False)
    return Space(model, record, embeddings, path, sha256_of(path))


def space_path(source: str | Path) -> Path:
    """The file behind a name or a path.

    Raises:
        ConfigError: neither; the message lists the built-in names.
    """
    built_in = built_in_spaces()
    if str(source) in built_in:
        return built_in[str(source)]
    path = Path(source)
    if path.is_file():
        return path
    raise ConfigError(
        f"no space is called {str(source)!r}, and no such file exists.",
        f"Built-in spaces: {', '.join(built_in) or 'none'}.",
    )


def built_in_spaces() -> dict[str, Path]:
    """The spaces that come with netspace: file by name."""
    return {p.stem: p for p in sorted(BUILT_IN.glob("*.safetensors"))}


def space_card(name: str) -> str:
    """The card of a built-in space, in Markdown: how it was made, on what, and what it keeps, in numbers.

    Raises:
        ConfigError: no built-in space is called so, or it came without a card.
    """
    built_in = built_in_spaces()
    if name not in built_in:
        raise ConfigError(
            f"no built-in space is called {name!r}.", f"Built-in spaces: {', '.join(built_in) or 'none'}."
        )
    card = built_in[name].with_suffix(".md")
    if not card.is_file():
        raise ConfigError(f"space {name!r} has no card.", f"netspace inspect {name} says what its file holds.")
    return card.read_text(encoding="utf-8")


def architectures_of(path: Path) -> tuple[Architecture, ...]:
    """The architectures of a space file, in the order of their ClassIds, from its record alone.

    Raises:
        InputFileError: no space, or an architecture whose factory is not trusted or cannot be imported here.
    """
    _, metadata = read_safetensors(path)
    record = read_record(path, metadata)
    signal = signal_from(record["signal"])
    return tuple(recorded_architecture(name, signal, path) for name in record["architectures"])


def built_in_architectures() -> tuple[Architecture, ...]:
    """All architectures of the built-in spaces: the first to try where a checkpoint comes without a space."""
    return tuple(a for path in built_in_spaces().values() for a in architectures_of(path))
