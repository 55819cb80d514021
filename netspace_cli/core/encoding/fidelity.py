"""Compare networks with what their embeddings decode to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.kinds.images import Fidelity
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import Embeddings
from netspace_cli.core.spaces.space import Space

from .decode import classified_as, decode_row


def fidelities(
    networks: Sequence[Network], embeddings: Embeddings, space: Space, data: Data, runner: Runner
) -> list[Any]:
    """Fidelity of each network and its embedding on the test split."""
    pairs = zip(networks, embeddings.vectors, strict=True)
    return [fidelity(network, embedding, space, data, runner) for network, embedding in pairs]


@overload
def fidelity(
    network: Network, embedding: Tensor, space: Space, data: ImageData, runner: Runner, *, split: str = "test"
) -> Fidelity: ...


@overload
def fidelity(
    network: Network, embedding: Tensor, space: Space, data: Data, runner: Runner, *, split: str = "test"
) -> Any: ...


def fidelity(
    network: Network, embedding: Tensor, space: Space, data: Data, runner: Runner, *, split: str = "test"
) -> Any:
    """Compare a network with what its embedding decodes to.

    Args:
        network: the target.
        embedding: (E,).
        split: of the data, where they have splits.
    Returns:
        A data class of the space's kind: of classifiers a `Fidelity`, of fields a `FieldFidelity`.
    """
    space, data = runner.place(space), runner.place(data)
    placed = runner.place(embedding)
    predicted = decode_row(placed, space, arch=network.architecture.name)
    recognised = classified_as(placed, space).name
    return space.kind.compare(network, predicted, data, runner, split=split, recognised=recognised)
