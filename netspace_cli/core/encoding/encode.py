"""Encode networks, and refine their embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from netspace_models.errors import ConfigError, NotFinite, WrongSpace
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import Embeddings, Origin, embeddings_of
from netspace_cli.core.spaces.space import Space

from .refine import check_refining, refine


def encode(
    networks: Sequence[Network],
    space: Space,
    runner: Runner,
    *,
    data: Data | None = None,
    refine_steps: int = 0,
) -> Embeddings:
    """Encode networks as embeddings.

    Args:
        networks: of any architectures of the space.
        space: on any device.
        data: needed for refining only.
        refine_steps: gradient steps on each embedding towards the network's own outputs; all networks of
            one architecture take them together.
    Raises:
        ConfigError: no networks.
        WrongSpace: the space does not have an architecture, or has it for other images or classes.
        DataUnavailable: refining was asked for and there are no images.
        NotFinite: a network's weights are so large that its embedding is NaN or infinite.
    """
    check_refining(space, data, refine_steps)
    _check_networks(networks, space)
    space = runner.place(space)
    rows: dict[int, Tensor] = {}
    for arch in dict.fromkeys(n.architecture.name for n in networks):
        places = [i for i, n in enumerate(networks) if n.architecture.name == arch]
        weights = runner.place(torch.stack([networks[i].weights for i in places]))
        with torch.no_grad():
            # One at a time: a network's embedding must not depend on its company, to the last bit.
            found = torch.cat([space.model.encode(arch, v[None]) for v in weights])
        _check_found([networks[i] for i in places], found)
        if refine_steps and data is not None:
            found = refine(found, weights, arch, space, runner.place(data), runner, steps=refine_steps)
        rows.update(zip(places, found, strict=True))
    how = "refined" if refine_steps else "encoded"
    origins = [Origin(n.architecture.name, n.form, n.source, n.sha256, how, refine_steps) for n in networks]
    return embeddings_of(space, torch.stack([rows[i] for i in range(len(networks))]), origins)


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
