"""Objectives that reconstruct weights, alone or beside behaviour, and contrast views.

After "Hyper-Representations as Generative Models" (NeurIPS 2022) and, for both terms together, "Structure is not
enough" (2025).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..architectures import Architecture
from ..space_model import SpaceModel
from .contrast import nt_xent
from .objectives import Batch, LossConstants, Terms, class_loss, imitation_terms

# Of a layer that never varies, so that nothing is divided by zero.
LEAST_DEVIATION = 1e-4


@dataclass(frozen=True)
class Representation:
    """Settings of a space's objective beside imitation.

    Attributes:
        structure: beta, the share of the error of weights; that of behaviour (eq. 1, 2) is 1 - beta.
        sigma: (P,) by architecture, what errors of each weight are divided by; empty for nothing.
        of_instance: whether the weights to give are those of the instance, not those of the view that the encoder
            is shown.
        contrast: gamma, the share of the contrastive term; that of all others is 1 - gamma.
        temperature: of the contrastive term.
    """

    structure: float = 1.0
    sigma: Mapping[str, Tensor] | None = None
    of_instance: bool = False
    contrast: float = 0.0
    temperature: float = 0.1


def layer_sigma(architecture: Architecture, scale: Tensor) -> Tensor:
    """(P,) standard deviation of each weight's layer, from (L,), with a floor."""
    sizes = torch.tensor([layer.stop - layer.start for layer in architecture.spec.layers], device=scale.device)
    return scale.clamp_min(LEAST_DEVIATION).repeat_interleave(sizes, output_size=architecture.spec.layers[-1].stop)


def weight_errors(predicted: Tensor, target: Tensor, sigma: Tensor | None = None) -> Tensor:
    """(B,) mean squared errors of weights (B, P).

    With `sigma` (P,), errors are divided by it (layer-wise loss normalisation).

    The published 1 / (N P) sum over layers of the squared error / sigma_l^2, before the mean over N networks.
    """
    errors = predicted - target.detach()
    return (errors if sigma is None else errors / sigma).square().mean(dim=1)


def representation_objective(
    model: SpaceModel,
    views: Sequence[Mapping[str, Tensor]],
    targets: Mapping[str, Tensor],
    batch: Batch,
    constants: LossConstants,
    wanted: Representation,
    head: Callable[[Tensor], Tensor] | None = None,
) -> Terms:
    """The loss of hyper-representations: (1 - gamma) (beta structure + (1 - beta) behaviour) + gamma contrast.

    Means over views, instances and architectures; what networks compute is that of the instance, whatever the view.

    Args:
        views: one or, to be contrasted, two; each by architecture (B_a, P_a), as the encoder sees them.
        targets: by architecture, the same networks as the zoo has them.
        head: projection (B, E) to (B, D) of the contrastive term; None without the term.
    Returns:
        {"structure", "pred" and "interp" where beta < 1, "class" where architectures are several, "contrast"}.
    """
    batch = _repeated(batch, len(views))
    embeddings: dict[str, Tensor] = {}
    found: dict[str, list[Tensor]] = {}
    for arch, instances in targets.items():
        shown = torch.cat([view[arch] for view in views])
        repeated = instances.repeat(len(views), 1)
        embeddings[arch] = model.encode(arch, shown)
        predicted = model.decode(arch, embeddings[arch])
        terms: Terms = {}
        if wanted.structure > 0:
            sigma = None if wanted.sigma is None else wanted.sigma[arch]
            errors = weight_errors(predicted, repeated if wanted.of_instance else shown, sigma)
            terms["structure"] = wanted.structure * errors.mean()
        if wanted.structure < 1:
            behaviour = imitation_terms(model, arch, embeddings[arch], predicted, repeated, batch, constants)
            terms |= {name: (1 - wanted.structure) * term for name, term in behaviour.items()}
        if len(model.architectures) > 1:
            terms["class"] = class_loss(model, embeddings[arch], model.class_id(arch)) / len(shown)
        for name, term in terms.items():
            found.setdefault(name, []).append(term)
    share = wanted.contrast if head is not None else 0.0
    whole = {name: (1 - share) * torch.stack(each).mean() for name, each in found.items()}
    if head is not None:
        one, other = (torch.cat([e.chunk(2)[i] for e in embeddings.values()]) for i in (0, 1))
        whole["contrast"] = share * nt_xent(head(one), head(other), temperature=wanted.temperature)
    return whole


def _repeated(batch: Batch, views: int) -> Batch:
    """Repeat what belongs to each network for as many views."""
    if views == 1:
        return batch
    own_points = batch.inputs.dim() == 3  # (B, N, D): images for all have four axes, points for all two
    inputs = batch.inputs.repeat(views, 1, 1) if own_points else batch.inputs
    return replace(batch, inputs=inputs, gammas=None if batch.gammas is None else batch.gammas.repeat(views))
