"""Encode networks, and refine their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from netspace_models.errors import ConfigError, NotFinite, WrongSpace
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, spread
from netspace_cli.core.spaces.embeddings import Embeddings, Origin, embeddings_of
from netspace_cli.core.spaces.space import Space

from .inputs import Inputs
from .refine import check_refining, refine, refined_at_once

T = TypeVar("T")


@dataclass(frozen=True)
class _Part:
    """Networks of one architecture that are encoded together.

    Attributes:
        places: of the networks among all.
        weights: (P,) of each; sources: what they are called.
    """

    arch: str
    places: tuple[int, ...]
    weights: tuple[np.ndarray, ...]
    sources: tuple[str, ...]


def encode(
    networks: Sequence[Network],
    space: Space,
    runner: Runner,
    *,
    data: Data | None = None,
    refine_steps: int = 0,
    workers: Workers[Inputs] | None = None,
) -> Embeddings:
    """Encode networks as embeddings.

    Args:
        networks: of any architectures of the space.
        space: on any device.
        data: needed for refining only.
        refine_steps: gradient steps on each embedding towards the network's own outputs; networks of one architecture
            take them together, as many as `refined_at_once` says.
        workers: processes that open this space and these data; None for this process alone.
    Raises:
        ConfigError: no networks.
        WrongSpace: the space does not have an architecture, or has it for other images or classes.
        DataUnavailable: refining was asked for and there are no images.
        NotFinite: a network's weights are so large that its embedding is NaN or infinite.
    """
    check_refining(space, data, refine_steps)
    _check_networks(networks, space)
    parts = _parts(networks, space, refine_steps, runner)
    inputs = Inputs(runner.place(space), None if data is None else runner.place(data))
    rows: dict[int, Tensor] = {}
    with (
        runner.progress("encoding", len(networks)) as tick,
        closing(spread(partial(_encoded, steps=refine_steps), parts, inputs, runner, workers)) as outcomes,
    ):
        for place, found in outcomes:
            rows.update(zip(parts[place].places, torch.from_numpy(found), strict=True))
            tick(len(found))
    how = "refined" if refine_steps else "encoded"
    origins = [Origin(n.architecture.name, n.form, n.source, n.sha256, how, refine_steps) for n in networks]
    return embeddings_of(space, torch.stack([rows[i] for i in range(len(networks))]), origins)


def count_parts(networks: Sequence[Network], space: Space, refine_steps: int, runner: Runner) -> int:
    """Into how many parts the work of `encode` can be divided."""
    return len(_parts(networks, space, refine_steps, runner))


def _parts(networks: Sequence[Network], space: Space, steps: int, runner: Runner) -> list[_Part]:
    parts = []
    for arch in dict.fromkeys(n.architecture.name for n in networks):
        own = [i for i, n in enumerate(networks) if n.architecture.name == arch]
        for places in divided(own, refined_at_once(space, arch, steps, runner)):
            chosen = [networks[i] for i in places]
            weights = tuple(n.weights.detach().cpu().numpy() for n in chosen)
            parts.append(_Part(arch, tuple(places), weights, tuple(n.source for n in chosen)))
    return parts


def divided(items: Sequence[T], most: int) -> list[Sequence[T]]:
    """Divide items into as few parts of at most this many as there can be, all about as large as each other."""
    count = -(-len(items) // most)
    ends = [len(items) * i // count for i in range(count + 1)] if count else [0]
    return [items[start:end] for start, end in pairwise(ends)]


def _encoded(part: _Part, inputs: Inputs, runner: Runner, *, steps: int) -> np.ndarray:
    """(B, E) embeddings of a part's networks."""
    architecture = inputs.space.model.architecture(part.arch)
    pairs = zip(part.weights, part.sources, strict=True)
    networks = [Network(architecture, torch.from_numpy(each), source=source) for each, source in pairs]
    return encode_together(networks, inputs, runner, refine_steps=steps).cpu().numpy()


def encode_together(networks: Sequence[Network], inputs: Inputs, runner: Runner, *, refine_steps: int) -> Tensor:
    """Encode networks of one architecture, all in the same steps of refining.

    Args:
        networks: at most `refined_at_once` of them.
        inputs: the space, and the data where there are steps; refine_steps: as in `encode`.
    Returns:
        (B, E), on the runner's device.
    Raises:
        WrongSpace, NotFinite: as `encode`.
    """
    _check_networks(networks, inputs.space)
    space, arch = runner.place(inputs.space), networks[0].architecture.name
    weights = runner.place(torch.stack([each.weights for each in networks]))
    with torch.no_grad():
        # One at a time: a network's embedding must not depend on its company, to the last bit.
        found = torch.cat([space.model.encode(arch, each[None]) for each in weights])
    _check_found(networks, found)
    if refine_steps and inputs.data is not None:
        found = refine(found, weights, arch, space, runner.place(inputs.data), runner, steps=refine_steps)
    return found


def _check_networks(networks: Sequence[Network], space: Space) -> None:
    if not networks:
        raise ConfigError("no networks were given to encode.", "Give at least one.")
    for network in networks:
        own, known = network.architecture, space.model.architecture(network.architecture.name)
        if (own.io, own.spec) != (known.io, known.spec):
            raise WrongSpace(
                f"{network.source or 'a network'}: a {own.name} for {own.io.describe()} with {own.parameter_count:,} "
                f"parameters; that of space {space.name!r} is for {known.io.describe()} and has "
                f"{known.parameter_count:,}.",
                f"Use a space that has it ({setting('space')}), or train one with `netspace train`.",
            )


def _check_found(networks: Sequence[Network], found: Tensor) -> None:
    for network, embedding in zip(networks, found, strict=True):
        if not bool(torch.isfinite(embedding).all()):
            raise NotFinite(
                f"{network.source or 'a network'}: its embedding is NaN or infinite; its largest weight is "
                f"{float(network.weights.abs().max()):.3g}.",
                "Give a network whose weights are like those of the space's instances.",
            )


def default_refine_steps(space: Space, data: Data | None) -> int:
    """Number of refining steps that a space records; 0 if its data are not available."""
    return space.recipe.refine.steps if data is not None else 0
