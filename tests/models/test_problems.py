"""Problems: losses, scores, agreement, ensembles and common mistakes of classes and of numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from netspace_models.network_io import FieldIO, ImageIO, TableIO, io_from
from netspace_models.problems import CLASSIFICATION, REGRESSION, Problem
from sklearn.metrics import r2_score
from torch import Tensor

from tests.small_networks import seeded


def outputs_and_labels(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    a, b = torch.randn(2, 40, 3, generator=seeded())
    labels = (
        torch.randint(3, (40,), generator=seeded(1))
        if problem is CLASSIFICATION
        else a + torch.randn(40, 3, generator=seeded(2))
    )
    return a, b, labels


@pytest.mark.parametrize("problem", [CLASSIFICATION, REGRESSION])
def test_the_loss_is_the_mean_of_the_losses_of_each(problem: Problem) -> None:
    a, _, labels = outputs_and_labels(problem)
    assert problem.losses(a, labels).shape == (40,)
    torch.testing.assert_close(problem.losses(a, labels).mean(), problem.loss(a, labels))


@pytest.mark.parametrize("problem", [CLASSIFICATION, REGRESSION])
def test_a_network_agrees_with_itself_and_makes_its_own_mistakes(problem: Problem) -> None:
    a, b, labels = outputs_and_labels(problem)
    mistakes = torch.stack([problem.mistakes(each, labels) for each in (a, b)])
    overlaps = problem.overlaps(mistakes, mistakes)
    assert problem.agreement(a, a) == 1 > problem.agreement(a, b)
    torch.testing.assert_close(overlaps.diagonal(), torch.ones(2, dtype=torch.float64))
    assert overlaps[0, 1] < 0.9 and overlaps[0, 1] == pytest.approx(float(overlaps[1, 0]))


def test_numbers_are_scored_by_the_coefficient_of_determination() -> None:
    a, _, labels = outputs_and_labels(REGRESSION)
    assert REGRESSION.scored(a, labels) == pytest.approx(r2_score(labels, a), abs=1e-6)
    constant = torch.full((5, 1), 2.0)
    assert REGRESSION.scored(constant, constant) == 1
    assert REGRESSION.scored(constant + 1, constant) == 0
    assert REGRESSION.scored(labels, labels) == 1


def test_classes_are_scored_by_accuracy() -> None:
    logits, labels = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 1])
    assert CLASSIFICATION.scored(logits, labels) == 0.5
    assert CLASSIFICATION.mistakes(logits, labels).tolist() == [False, True]


def test_together_are_the_mean_of_probabilities_and_of_numbers() -> None:
    a, b, _ = outputs_and_labels(CLASSIFICATION)
    mean = (a.softmax(1) + b.softmax(1)) / 2
    torch.testing.assert_close(F.softmax(CLASSIFICATION.together([a, b]), 1).float(), mean)
    torch.testing.assert_close(REGRESSION.together([a, b]), (a + b) / 2)


@pytest.mark.parametrize("io", [ImageIO(1, 8, 3), FieldIO(3, 1), TableIO(10, 2)])
def test_an_io_is_rebuilt_from_its_record(io: ImageIO | FieldIO | TableIO) -> None:
    assert io_from(vars(io)) == io
    assert io.example(3, seeded()).shape == (3, *io.input_shape)


def test_a_table_is_described_in_words() -> None:
    assert TableIO(10, 1).describe() == "rows of 10 features, 1 target"
    assert TableIO(1, 2).describe_inputs() == "rows of 1 feature, 2 targets"
