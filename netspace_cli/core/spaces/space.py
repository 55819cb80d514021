"""A trained space as one safetensors file: weights, the zoo's embeddings, and a JSON record."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from netspace_models.allowance import Allowance, TooLarge
from netspace_models.architectures import Architecture, NetworkIO, io_from
from netspace_models.errors import InputFileError, NetspaceError
from netspace_models.space_model import SpaceModel
from netspace_models.unset import Unset
from torch import Tensor

from netspace_cli.core.files.checkpoint import check_finite, read_own
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.files.safetensors_file import write_safetensors
from netspace_cli.core.files.tensor_names import brief
from netspace_cli.core.kinds.kind import Kind
from netspace_cli.core.kinds.registry import kind_of
from netspace_cli.core.networks.factories import FLOOR_VALUES, VALUES_FOR_EACH, recorded_architectures

from .built_in import space_path
from .model import build_model
from .recipe import Recipe
from .recipe_reading import recipe_from
from .space_record import FORMAT, VERSION, read_record


@dataclass(frozen=True)
class Space:
    """An opened space.

    Attributes:
        model: encoder, decoder, classifier; in evaluation mode.
        record: name, architectures, io, data, recipe, zoo and provenance, as JSON.
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
        """Name of the space for people."""
        return str(self.record["name"])

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Architectures in the order of their ClassIds."""
        return self.model.architectures

    @property
    def starts(self) -> int:
        """Number of starting points of the architecture that has most."""
        return max(self.starts_of(a.name) for a in self.architectures)

    def starts_of(self, arch: str) -> int:
        """Number of starting points of one of its architectures."""
        return self.model.backbone.starts_of(arch)

    @property
    def io(self) -> NetworkIO:
        """Inputs and outputs of its networks."""
        return io_from(self.record["io"])

    @cached_property
    def kind(self) -> Kind:
        """Kind of its networks."""
        return kind_of(self.io, self.record["data"])

    @cached_property
    def recipe(self) -> Recipe:
        """Recipe that it was trained with."""
        return recipe_from(self.record["recipe"])

    def to(self, device: torch.device) -> Self:
        """The space on a device: itself if it is there, else a copy. The original does not move."""
        if self.embeddings.device == device and all(p.device == device for p in self.model.parameters()):
            return self
        return replace(self, model=deepcopy(self.model).to(device), embeddings=self.embeddings.to(device))


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


def load_space(source: str | Path) -> Space:
    """Open a space by built-in name or by path.

    Raises:
        ConfigError: no built-in space has that name and no file that path.
        InputFileError: the file is not a space, or is damaged, or has an architecture whose factory is not
            trusted or cannot be imported here.
        NotFinite: NaN or infinity among its values.
    """
    path = space_path(source)
    tensors, metadata = read_own(path, "space")
    record = read_record(path, metadata)
    check_finite(tensors, path)
    try:
        io = io_from(record["io"])
        values = sum(tensor.numel() for tensor in tensors.values())
        architectures = recorded_architectures(record["architectures"], io, path, values)
        # Beside parameters there are places of weights in tokens, and directions are drawn in double precision.
        with torch.random.fork_rng(devices=[]), Allowance(FLOOR_VALUES + VALUES_FOR_EACH * values), Unset():
            model = build_model(recipe_from(record["recipe"]), architectures)
        weights = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
        model.load_state_dict(weights, strict=True)
        embeddings = tensors["zoo.embeddings"]
        if tuple(embeddings.shape) != (len(record["zoo"]), model.embedding_size):
            raise ValueError(f"embeddings of shape {tuple(embeddings.shape)} for {len(record['zoo'])} instances")
    except InputFileError:
        raise
    except NetspaceError as failure:  # a recipe or an architecture that this machine cannot make
        reason = failure.message.removeprefix(f"{path}: ")
        hint = failure.hint or "Train the space again."
        raise InputFileError(path, f"not a complete space: {reason}", hint) from failure
    except TooLarge as failure:
        reason = f"its record asks for {failure}, the file has {values:,}."
        raise InputFileError(path, reason, "It is damaged, or made to fill memory.") from failure
    except (KeyError, TypeError, ValueError, RuntimeError) as failure:
        raise InputFileError(path, f"not a complete space ({brief(failure)}).", "Train the space again.") from failure
    model.eval().requires_grad_(False)
    return Space(model, record, embeddings, path, sha256_of(path))
