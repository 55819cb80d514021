"""Compare networks with what their embeddings decode to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.kinds.images import Fidelity
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, in_order, spread
from netspace_cli.core.spaces.embeddings import Embeddings
from netspace_cli.core.spaces.space import Space

from .decode import classified_as, decode_row
from .inputs import Inputs


def fidelities(
    networks: Sequence[Network],
    embeddings: Embeddings,
    space: Space,
    data: Data,
    runner: Runner,
    *,
    workers: Workers[Inputs] | None = None,
) -> list[Any]:
    """Fidelity of each network and its embedding on the test split.

    Args:
        workers: as in `encode`.
    """
    tasks = [
        _Pair(n.architecture.name, n.weights.detach().cpu().numpy(), embedding.cpu().numpy())
        for n, embedding in zip(networks, embeddings.vectors, strict=True)
    ]
    inputs = Inputs(runner.place(space), runner.place(data))
    with (
        runner.progress("comparing", len(networks)) as tick,
        closing(spread(_compared, tasks, inputs, runner, workers)) as outcomes,
    ):
        found = []
        for each in in_order(outcomes):
            found.append(each)
            tick(1)
    return found


@dataclass(frozen=True)
class _Pair:
    """A network (P,) of an architecture, and its embedding (E,)."""

    arch: str
    weights: np.ndarray
    embedding: np.ndarray


def _compared(pair: _Pair, inputs: Inputs, runner: Runner) -> Any:
    assert inputs.data is not None
    network = Network(inputs.space.model.architecture(pair.arch), torch.from_numpy(pair.weights))
    return fidelity(network, torch.from_numpy(pair.embedding), inputs.space, inputs.data, runner)


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
