"""Reconstruction: layer-wise normalisation by hand, shares of the terms, and whose weights are learnt."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from netspace_models.architectures import Architecture, ImageIO, build
from netspace_models.parameters.spec import NetworkSpec
from netspace_models.space_model import SpaceModel
from netspace_models.training.contrast import ProjectionHead, nt_xent
from netspace_models.training.objectives import Batch, LossConstants, Terms, class_loss, single_objective
from netspace_models.training.reconstruction import (
    LEAST_DEVIATION,
    Representation,
    layer_sigma,
    representation_objective,
    weight_errors,
)
from torch import Tensor

from tests.models.training.test_objectives import IMAGES, LABELS, Recorder, instances, space
from tests.small_networks import seeded

BATCH, ONE = Batch(IMAGES, LABELS), ("tiny",)
EVERY = Representation(structure=0.3, contrast=0.2, temperature=0.5)


class Halving(Recorder):
    """What comes back is half of what went in."""

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        return super().decode(arch, embeddings, start) / 2


def halving(names: tuple[str, ...] = ONE) -> SpaceModel:
    model = space(names)
    model.backbone = Halving()
    return model


def terms_of(
    views: list[dict[str, Tensor]],
    targets: dict[str, Tensor],
    wanted: Representation,
    head: ProjectionHead | None = None,
) -> Terms:
    model = halving(tuple(targets))
    return representation_objective(model, views, targets, BATCH, LossConstants(), wanted, head)


def test_layer_wise_normalisation_is_each_layers_error_over_its_variance_over_all_weights() -> None:
    architecture = build("lenetlike", ImageIO(1, 8, 3))
    scale = torch.rand(len(architecture.spec.layers), generator=seeded()) + 0.1
    scale[1] = 0.0  # never varied
    generator = seeded(1)
    predicted, target = (torch.randn(3, architecture.parameter_count, generator=generator) for _ in range(2))
    by_hand = torch.zeros(3)
    for layer, deviation in zip(architecture.spec.layers, scale, strict=True):
        squared = (predicted - target)[:, layer.start : layer.stop].square().sum(dim=1)
        by_hand += squared / max(deviation.item(), LEAST_DEVIATION) ** 2
    found = weight_errors(predicted, target, layer_sigma(architecture, scale))
    assert torch.allclose(found, by_hand / architecture.parameter_count, rtol=1e-4)
    plain = (predicted - target).square().mean(dim=1)
    assert torch.allclose(weight_errors(predicted, target), plain)


def test_a_layers_scale_does_not_matter_with_it() -> None:
    spec = NetworkSpec.of({"a.weight": (2, 3), "b.weight": (4,)})
    architecture = cast(Architecture, type("Two", (), {"spec": spec}))
    factors = torch.tensor([100.0, 0.01])
    stretch = layer_sigma(architecture, factors)
    predicted, target, scale = torch.randn(2, 10), torch.randn(2, 10), torch.tensor([0.5, 2.0])
    same = weight_errors(predicted * stretch, target * stretch, layer_sigma(architecture, scale * factors))
    assert torch.allclose(same, weight_errors(predicted, target, layer_sigma(architecture, scale)), rtol=1e-4)


def test_no_gradient_flows_into_what_is_to_be_given() -> None:
    predicted, target = (torch.randn(2, 3, requires_grad=True) for _ in range(2))
    weight_errors(predicted, target).sum().backward()
    assert target.grad is None and predicted.grad is not None


def test_reconstructing_alone_runs_no_network() -> None:
    given = instances(3, names=ONE)
    terms = terms_of([given], given, Representation())
    assert set(terms) == {"structure"}
    assert terms["structure"].item() == pytest.approx((given["tiny"] / 2).square().mean().item(), rel=1e-5)


@pytest.mark.parametrize("of_instance", [False, True])
def test_the_weights_to_give_are_the_views_or_the_instances(of_instance: bool) -> None:
    targets = instances(3, names=ONE)
    view = {"tiny": targets["tiny"].flip(1)}
    terms = terms_of([view], targets, Representation(of_instance=of_instance, sigma={"tiny": torch.full((6,), 2.0)}))
    wanted = targets["tiny"] if of_instance else view["tiny"]
    assert terms["structure"].item() == pytest.approx(((view["tiny"] / 2 - wanted) / 2).square().mean().item())


def test_both_is_a_share_of_structure_and_the_rest_of_imitation() -> None:
    targets = instances(3, names=ONE)
    view = {"tiny": 1.5 * targets["tiny"]}
    terms = terms_of([view], targets, Representation(structure=0.3))
    imitated = single_objective(halving(), "tiny", view["tiny"], targets["tiny"], BATCH, LossConstants())
    assert terms["pred"].item() == pytest.approx(0.7 * imitated["pred"].item(), rel=1e-5)
    assert terms["structure"].item() == pytest.approx(0.3 * (view["tiny"] / 2).square().mean().item(), rel=1e-5)
    alone = terms_of([view], targets, Representation(structure=0.0))
    assert set(alone) == {"pred"} and alone["pred"].item() == pytest.approx(imitated["pred"].item(), rel=1e-5)


def test_the_contrast_is_of_the_two_views_behind_the_head_and_takes_its_share_from_all_else() -> None:
    targets = instances(4, names=ONE)
    views = [{"tiny": targets["tiny"] + 0.1 * torch.randn(4, 6, generator=seeded(i))} for i in (5, 6)]
    head = ProjectionHead(6, 3)
    terms = terms_of(views, targets, EVERY, head=head)
    one, other = (head(2 * view["tiny"]) for view in views)
    assert terms["contrast"].item() == pytest.approx(0.2 * nt_xent(one, other, temperature=0.5).item(), rel=1e-4)
    both = torch.cat([view["tiny"] for view in views])
    assert terms["structure"].item() == pytest.approx(0.8 * 0.3 * (both / 2).square().mean().item(), rel=1e-4)
    without = [terms_of([view], targets, EVERY)["pred"].item() for view in views]
    assert terms["pred"].item() == pytest.approx(0.8 * sum(without) / 2, rel=1e-4)


def test_several_architectures_count_alike_and_are_told_apart() -> None:
    targets = instances(1, 4, names=("tiny", "small"))
    model = halving(("tiny", "small"))
    terms = representation_objective(model, [targets], targets, BATCH, LossConstants(), Representation())
    errors = [(own / 2).square().mean() for own in targets.values()]
    assert terms["structure"].item() == pytest.approx(sum(errors).item() / 2, rel=1e-5)  # type: ignore[union-attr]
    told = [class_loss(model, 2 * own, i) / len(own) for i, own in enumerate(targets.values())]
    assert terms["class"].item() == pytest.approx(sum(told).item() / 2, rel=1e-5)  # type: ignore[union-attr]
    head = ProjectionHead(6, 3)
    terms = representation_objective(
        model, [targets, targets], targets, BATCH, LossConstants(), Representation(contrast=0.5), head
    )
    every = head(torch.cat([2 * own for own in targets.values()]))
    assert terms["contrast"].item() == pytest.approx(0.5 * nt_xent(every, every, temperature=0.1).item(), rel=1e-4)
