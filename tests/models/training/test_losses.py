"""Distillation, the task and the match of outputs, against the formulas written out."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from netspace_models.training.losses import distillation, ensemble_logits, output_matching, task_and_teacher
from torch import Tensor


def logits(seed: int, *, images: int = 3, classes: int = 4) -> Tensor:
    return 5 * torch.randn(images, classes, generator=torch.Generator().manual_seed(seed))


def softmax(row: list[float], temperature: float) -> list[float]:
    powers = [exp(x / temperature) for x in row]
    return [p / sum(powers) for p in powers]


def by_hand(predicted: Tensor, target: Tensor, temperature: float) -> float:
    """T² · the mean over images of the sum over classes of q (log q − log p), q of the target."""
    images = []
    for p_row, t_row in zip(predicted.double().tolist(), target.double().tolist(), strict=True):
        p, q = softmax(p_row, temperature), softmax(t_row, temperature)
        images.append(sum(b * (log(b) - log(a)) for a, b in zip(p, q, strict=True)))
    return temperature**2 * sum(images) / len(images)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_distillation_is_the_formula(temperature: float) -> None:
    predicted, target = logits(0), logits(1)
    found = distillation(predicted, target, temperature=temperature).item()
    assert found == pytest.approx(by_hand(predicted, target, temperature), rel=1e-4)
    # From the target to the prediction, not the other way round.
    assert found != pytest.approx(by_hand(target, predicted, temperature), rel=1e-2)


def test_distillation_is_torchs_divergence_times_the_temperature_squared() -> None:
    predicted, target = logits(2), logits(3)
    plain = F.kl_div((predicted / 4).log_softmax(1), (target / 4).softmax(1), reduction="batchmean")
    torch.testing.assert_close(distillation(predicted, target, temperature=4), 16 * plain)


def test_several_networks_have_a_loss_each() -> None:
    predicted, target = torch.stack([logits(2), logits(3)]), torch.stack([logits(4), logits(5)])
    alone = [distillation(p, t, temperature=3) for p, t in zip(predicted, target, strict=True)]
    torch.testing.assert_close(distillation(predicted, target, temperature=3), torch.stack(alone))


def test_equal_logits_cost_nothing_nor_do_shifted_ones() -> None:
    target = logits(4)
    assert distillation(target.clone(), target, temperature=4).item() == pytest.approx(0, abs=1e-6)
    shifted = target + torch.tensor([[1.0], [-7.0], [30.0]])
    assert distillation(shifted, target, temperature=4).item() == pytest.approx(0, abs=1e-4)
    assert distillation(target + torch.eye(3, 4), target, temperature=4).item() > 1e-2


def test_the_gradient_keeps_its_size_at_high_temperatures() -> None:
    """Towards infinity it is that of half the squared difference of centred logits, over the classes."""
    predicted, target = logits(5).requires_grad_(), logits(6)
    distillation(predicted, target, temperature=1e3).backward()
    off = (predicted - target).detach()
    expected = (off - off.mean(1, keepdim=True)) / off.numel()
    assert predicted.grad is not None
    torch.testing.assert_close(predicted.grad, expected, rtol=0.02, atol=1e-2)


def test_extreme_logits_stay_finite() -> None:
    predicted = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = distillation(predicted, -predicted.detach(), temperature=1)
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


def test_no_gradient_reaches_targets_or_teachers() -> None:
    predicted, target = logits(7).requires_grad_(), logits(8).requires_grad_()
    labels = torch.tensor([0, 1, 2])
    distillation(predicted, target, temperature=4).backward()
    task_and_teacher(predicted, target, labels, temperature=4, alpha=0.9).backward()
    output_matching(predicted, target).backward()
    assert target.grad is None
    assert predicted.grad is not None


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9, 1.0])
def test_task_and_teacher_are_mixed_by_alpha(alpha: float) -> None:
    predicted, teacher, labels = logits(9), logits(10), torch.tensor([3, 0, 1])
    found = task_and_teacher(predicted, teacher, labels, temperature=4, alpha=alpha).item()
    task = sum(-log(softmax(row, 1)[y]) for row, y in zip(predicted.tolist(), labels.tolist(), strict=True)) / 3
    assert found == pytest.approx(alpha * by_hand(predicted, teacher, 4) + (1 - alpha) * task, rel=1e-4)


def test_without_a_teacher_the_labels_count_whole() -> None:
    predicted, labels = logits(11), torch.tensor([3, 0, 1])
    found = task_and_teacher(predicted, None, labels, temperature=4, alpha=0.9)
    assert torch.equal(found, F.cross_entropy(predicted, labels))


def test_outputs_are_matched_by_their_mean_squared_error() -> None:
    predicted, target = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [4.0]])
    assert output_matching(predicted, target).item() == 2.5


def test_networks_together_say_the_mean_of_their_probabilities() -> None:
    each = [logits(seed) for seed in range(3)]
    mean = torch.stack([one.softmax(1) for one in each]).mean(0)
    assert torch.allclose(ensemble_logits(iter(each)).exp(), mean, atol=1e-6)
    assert torch.allclose(ensemble_logits(each[:1]).softmax(1), each[0].softmax(1), atol=1e-6)
    with pytest.raises(ValueError, match="no networks"):
        ensemble_logits([])
