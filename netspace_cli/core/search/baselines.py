"""Baselines for a learnt space: subspaces of the same size around one network, and all weights."""

from __future__ import annotations

import torch
from netspace_models.architectures import Architecture
from netspace_models.backbones.tokens.directions import LowRankDirections
from netspace_models.backbones.tokens.sketch import sketch_plan
from netspace_models.second_order.curvature import curvature_moments
from torch import Tensor

from netspace_cli.core.networks.network import Network

from .search import Parametrisation


def random_subspace(network: Network, size: int) -> Parametrisation:
    """A random subspace of `size` dimensions around one network, in units of its layers' standard deviations.

    Weight i is start i + sigma_layer · sign(i) · z[hash(i)]: the count sketch of the tokens backbone, and
    nothing learnt.

    Args:
        network: on the device of the work.
        size: D.
    """
    architecture, device = network.architecture, network.weights.device
    places, signs = sketch_plan(f"subspace/{architecture.name}", architecture.parameter_count, size)
    step = (layer_root_mean_squares(architecture, network.weights) * signs.to(device))[None]
    places = places.to(device)
    return Parametrisation(
        architecture,
        torch.zeros(1, size, device=device),
        lambda z: (network.weights + step * z[:, places])[0],
    )


def curvature_subspace(network: Network, size: int, images: Tensor, generator: torch.Generator) -> Parametrisation:
    """A subspace of at most `size` dimensions around one network, along its directions of curvature.

    These are the directions of the tokens backbone, in units of the layers' standard deviations; nothing is learnt.

    Args:
        network: on the device of the work.
        size: D at most.
        images: (B, C, S, S) that the curvature is taken on, without labels.
        generator: on the processor.
    """
    architecture, device = network.architecture, network.weights.device
    state = architecture.spec.unflatten(network.weights)
    moments = curvature_moments(architecture.fused, state, images, generator=generator)
    directions = LowRankDirections(architecture.spec, size, moments, generator).to(device)
    step = layer_root_mean_squares(architecture, network.weights)
    return Parametrisation(
        architecture,
        torch.zeros(1, size, device=device),
        lambda z: network.weights + step * directions(z)[0],
    )


def all_weights(network: Network) -> Parametrisation:
    """All weights of the architecture: fine-tuning from `network` (on the device of the work)."""
    return Parametrisation(network.architecture, network.weights[None].clone(), lambda v: v[0])


def layer_root_mean_squares(architecture: Architecture, weights: Tensor) -> Tensor:
    """(P,) root mean square of each weight's layer; 1 where a layer is all zero."""
    deviations = torch.ones_like(weights)
    for layer in architecture.spec.layers:
        size = weights[layer.start : layer.stop].square().mean().sqrt()
        if size > 0:
            deviations[layer.start : layer.stop] = size
    return deviations
