"""A trained network: architecture and flat parameters, read from and written to checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_models.architectures import Architecture, NetworkIO
from netspace_models.architectures.architecture import Form
from netspace_models.errors import CheckpointError, ConfigError
from torch import Tensor

from netspace_cli.core.files.checkpoint import Checkpoint, check_finite, read_checkpoint, write_checkpoint
from netspace_cli.core.files.tensor_names import shown

from .recognise import recognise, settle, with_own_names


@dataclass(frozen=True)
class Network:
    """One trained network.

    Attributes:
        architecture: recognised or named.
        weights: flat folded parameters (P,), float32.
        form: the layout of its checkpoint.
        source: where it came from.
        sha256: of that file.
        notes: what was done to read it.
        run: the run that its file says it is one of several instances of; "" where it says nothing.
        accuracy: what its file records as its accuracy, a fraction; None where it records none.
    """

    architecture: Architecture
    weights: Tensor
    form: Form = "full"
    source: str = ""
    sha256: str = ""
    notes: tuple[str, ...] = ()
    run: str = ""
    accuracy: float | None = None

    def brief(self) -> dict[str, Any]:
        """What it is, without its weights."""
        size = self.architecture.parameter_count
        return {"arch": self.architecture.name, "parameters": size, "source": self.source, "sha256": self.sha256}


def read_network(
    path: Path | str,
    *,
    candidates: Sequence[Architecture] = (),
    arch: str | None = None,
    io: NetworkIO | None = None,
    key: str | None = None,
) -> Network:
    """Read a checkpoint of any origin and recognise its architecture.

    Args:
        path: the checkpoint.
        candidates, arch, io: see `recognise`.
        key: where in a nested checkpoint the state dict lies.
    Raises:
        CheckpointError: the file cannot be read, or has whole numbers for weights.
        UnknownArchitecture: nothing fits; the message has the nearest and the differences.
        NotFinite: NaN or infinity among the values.
    """
    return recognise_network(read_checkpoint(Path(path), key=key), path, candidates=candidates, arch=arch, io=io)


def recognise_network(
    checkpoint: Checkpoint,
    source: Path | str,
    *,
    candidates: Sequence[Architecture] = (),
    arch: str | None = None,
    io: NetworkIO | None = None,
) -> Network:
    """Recognise the network in a checkpoint; arguments and errors as in `read_network`, `source` for the record."""
    check_finite(checkpoint.state, checkpoint.path)
    checkpoint = with_own_names(checkpoint, candidates=candidates, arch=arch, io=io)
    architecture = recognise(checkpoint, candidates=candidates, arch=arch, io=io)
    _check_fractions(checkpoint, architecture)
    architecture, remark = (architecture, "") if arch else settle(checkpoint, architecture, str(source))
    return Network(
        architecture,
        architecture.to_weights(checkpoint.state),
        architecture.form_of(checkpoint.state),
        str(source),
        checkpoint.sha256,
        (*checkpoint.notes, *([remark] if remark else [])),
        checkpoint.metadata.get("netspace.run", ""),
        checkpoint.accuracy,
    )


def _check_fractions(checkpoint: Checkpoint, architecture: Architecture) -> None:
    """Refuse whole numbers, such as a quantised network's, whose weights are these times a scale."""
    fused = architecture.form_of(checkpoint.state) == "fused"
    own = (architecture.fused if fused else architecture.module).state_dict()
    for name, tensor in checkpoint.state.items():
        if name in own and own[name].is_floating_point() and not tensor.is_floating_point():
            dtype = str(tensor.dtype).removeprefix("torch.")
            reason = f"{shown(name)} is {dtype}, and weights of {architecture.name} are fractions: a quantised network?"
            raise CheckpointError(checkpoint.path, reason, "Save it dequantised, as float32 tensors.")


def check_teacher(teacher: Network, io: NetworkIO, role: str = "teacher") -> None:
    """Refuse a teacher that cannot be run on certain images.

    Their size does not matter: a ResNet takes any.

    Args:
        role: what the message calls the network.
    Raises:
        ConfigError: it takes other channels or gives other classes; says both.
    """
    own = teacher.architecture.io
    if _asked(own) != _asked(io):
        raise ConfigError(
            f"the {role} {teacher.source or teacher.architecture.name} is for {own.describe()}; "
            f"these {io.one}s are {io.describe()}.",
            f"Give a {role} trained on these images.",
        )


def _asked(io: NetworkIO) -> tuple[int, ...]:
    """The parts of the IO that a teacher and its pupils must share."""
    return (*io.input_shape[:1], io.outputs, len(io.input_shape))


def write_network(
    path: Path | str, network: Network, *, metadata: Mapping[str, str] | None = None, force: bool = False
) -> None:
    """Write a network in its form's layout, so that its own module loads it strictly.

    Args:
        metadata: text to be kept with it, by name; None for the name of its architecture.
    Raises:
        OutputExists: the path is taken and `force` is not given.
    """
    path = Path(path)
    state = network.architecture.to_state(network.weights.detach().cpu(), network.form)
    versions = network.architecture.versions(network.form)
    metadata = {"format": "pt", "netspace.arch": network.architecture.name} if metadata is None else metadata
    write_checkpoint(path, state, metadata=metadata, versions=versions, force=force)
