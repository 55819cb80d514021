"""Refresh batch-norm statistics where norms are folded into the layers before them.

A folded layer's channel is what its batch norm gave: on training images its mean and deviation are those that the
norm's shift and scale set. A drawn network's channels have others, since its weights were never trained together. Each
channel is scaled and shifted to the statistics that the same channel of the nearest training instance has, layer after
layer, each on what the layers before it give by then: as REPAIR (Jordan et al., 2023) does for interpolated networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.parameters.alignment import align_weights
from netspace_models.parameters.incoming import align_closely
from netspace_models.wording import setting
from torch import Tensor
from torch.func import functional_call

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner

from .population import Population
from .sample import Sample, Samples

IMAGES = 512
# Channels that hardly move on the images are dead: to scale them would blow up rounding.
DEAD = 1e-4


def check_norms(architecture: Architecture) -> None:
    """Refuse architectures without norms, or whose channels cannot be matched.

    Raises:
        ConfigError: says which.
    """
    if not architecture.pairs:
        raise ConfigError(
            f"{architecture.name} has no batch norms, so it has no statistics to refresh.",
            f"Leave out {setting('refresh_norms')}.",
        )
    if not architecture.hidden_groups:
        raise ConfigError(
            f"the hidden units of {architecture.name} cannot be aligned, so a sample's channels cannot be "
            "matched with a training instance's.",
            f"Leave out {setting('refresh_norms')}, or give its module a method hidden_groups().",
        )


def refresh_norms(samples: Samples, data: LabelledData, runner: Runner) -> Samples:
    """Give each sample's folded layers the channel statistics of its nearest training instance.

    Args:
        samples: whose population has weights.
        data: its training images.
    Raises:
        ConfigError: no weights, no batch norms, or hidden units that cannot be aligned.
    """
    population = samples.population
    check_norms(population.architecture)
    population.aligned_weights("refresh_norms")
    # The same images for all: without augmentation, as after training.
    inputs, _ = runner.place(data).sample("train", IMAGES, runner.generator("norms"))
    with runner.progress("refreshing batch norms", len(samples)) as tick:

        def refreshed(each: Sample) -> Sample:
            found = _refreshed(each, population, inputs, runner)
            tick(1)
            return found

        return samples.changed(refreshed)


def _refreshed(each: Sample, population: Population, inputs: Tensor, runner: Runner) -> Sample:
    architecture, known = population.architecture, population.aligned_weights("refresh_norms")
    weights = each.network.weights
    # The sample in the population's order tells which instance is nearest; that one is then aligned to the sample.
    ordered = align_weights(architecture, known[0], weights[None], runner.generator("norms", each.index))
    near = int(((known - ordered) / population.deviations).square().sum(1).argmin())
    reference = align_closely(architecture, weights, known[near][None], runner.generator("norms", each.index))[0]
    state = with_statistics_of(architecture, runner.place(weights), runner.place(reference), inputs)
    found = architecture.spec.flatten(state).cpu()
    return replace(each, network=Network(architecture, found), norms_of=population.ids[near])


def with_statistics_of(
    architecture: Architecture, weights: Tensor, reference: Tensor, inputs: Tensor
) -> dict[str, Tensor]:
    """Give the channels of a network's folded layers a reference's means and standard deviations.

    Args:
        weights, reference: (P,), their hidden units in one order.
        inputs: (N, C, S, S) that the statistics are taken on; all on one device.
    Returns:
        Its folded parameters by name.
    """
    state = {name: tensor.clone() for name, tensor in architecture.spec.unflatten(weights).items()}
    wanted_state = architecture.spec.unflatten(reference)
    layers = _order_of_use(architecture)
    wanted = _statistics(architecture, wanted_state, layers, inputs)
    for layer in layers:
        mean, deviation = _statistics(architecture, state, [layer], inputs)[layer]
        other_mean, other = wanted[layer]
        alive = (deviation > DEAD * other) & (deviation > 0)
        scale = torch.where(alive, other / deviation.where(alive, torch.ones_like(deviation)), 1.0)
        weight = state[f"{layer}.weight"]
        state[f"{layer}.weight"] = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
        state[f"{layer}.bias"] = (state[f"{layer}.bias"] - mean) * scale + other_mean
    return state


def _order_of_use(architecture: Architecture) -> list[str]:
    """Folded layers, each after those that it depends on."""
    folded = {pair.layer for pair in architecture.pairs}
    return [layer.name for layer in architecture.spec.layers if layer.name in folded]


def _statistics(
    architecture: Architecture, state: Mapping[str, Tensor], layers: list[str], inputs: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation of each output channel of some layers, over images and places."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    module = architecture.fused

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def see(used: object, given: object, output: Tensor) -> None:
            values = output.movedim(1, 0).flatten(1)
            found[name] = (values.mean(1), values.std(1))

        return module.get_submodule(name).register_forward_hook(see)

    handles = [watch(name) for name in layers]
    buffers = {name: buffer.to(inputs.device) for name, buffer in module.named_buffers()}
    try:
        with torch.no_grad():
            functional_call(module, {**buffers, **state}, (inputs,), strict=True)
    finally:
        for handle in handles:
            handle.remove()
    return found
