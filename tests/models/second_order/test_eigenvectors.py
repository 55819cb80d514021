"""Leading eigenvectors: exact of small matrices, of large ones so near that nobody could tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from netspace_models.second_order import eigenvectors
from netspace_models.second_order.eigenvectors import EXACT, leading_eigenvectors
from torch import Tensor

from tests.small_networks import seeded


def moments(size: int, rank: int, decay: float = 0.9) -> Tensor:
    """Second moments whose eigenvalues fall by a factor, as those of a network's layers do."""
    basis = torch.linalg.qr(torch.randn(size, rank, dtype=torch.float64, generator=seeded()))[0]
    return (basis * decay ** torch.arange(rank)) @ basis.T


@pytest.fixture
def iterated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices of a hundred rows are large."""
    monkeypatch.setattr(eigenvectors, "EXACT", 100)


def exact(matrix: Tensor, count: int) -> Tensor:
    return torch.linalg.eigh(matrix)[1].flip(1)[:, :count]


def test_small_matrices_are_decomposed_to_the_same_bits() -> None:
    assert EXACT >= 1024, "vanillacnn's side, on which built-in spaces are made"
    matrix = moments(60, 60)
    assert torch.equal(leading_eigenvectors(matrix.float(), 7), exact(matrix.float().double(), 7))


@pytest.mark.usefixtures("iterated")
@pytest.mark.parametrize("decay", [0.8, 0.9, 0.97])
def test_large_matrices_have_the_same_leading_subspace(decay: float) -> None:
    matrix, count = moments(200, 200, decay), 14
    found, wanted = leading_eigenvectors(matrix, count), exact(matrix, count)
    assert not torch.equal(found, wanted)
    cosines = torch.linalg.svdvals(wanted.T @ found)
    assert math.degrees(math.acos(min(1.0, cosines.min().item()))) < 2
    shares = [((v.T @ matrix @ v).trace() / matrix.trace()).item() for v in (found, wanted)]
    assert shares[0] == pytest.approx(shares[1], rel=1e-4)
    # In the same order, each one up to its sign.
    assert (found * wanted).sum(0).abs().min() > 0.98


@pytest.mark.usefixtures("iterated")
@pytest.mark.parametrize("rank", [0, 1, 5, 14])
def test_moments_of_few_inputs_still_give_orthonormal_vectors(rank: int) -> None:
    matrix = moments(200, rank)
    found = leading_eigenvectors(matrix, 14)
    torch.testing.assert_close(found.T @ found, torch.eye(14, dtype=torch.float64))
    assert ((found.T @ matrix @ found).trace() - matrix.trace()).abs() < 1e-9


@pytest.mark.usefixtures("iterated")
def test_they_are_the_same_each_time_and_leave_random_streams_alone() -> None:
    matrix = moments(200, 200)
    before, numbers = torch.random.get_rng_state(), str(np.random.get_state())
    first, again = (leading_eigenvectors(matrix, 14) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(before, torch.random.get_rng_state())
    assert numbers == str(np.random.get_state())


@pytest.mark.usefixtures("iterated")
def test_where_many_vectors_are_wanted_they_are_exact() -> None:
    matrix = moments(200, 200, 0.99)
    assert torch.equal(leading_eigenvectors(matrix, 150), exact(matrix, 150))


def test_a_matrix_that_defeats_the_exact_way_is_iterated(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(matrix: Tensor) -> Tensor:
        raise torch.linalg.LinAlgError("too many repeated eigenvalues")

    monkeypatch.setattr(torch.linalg, "eigh", fail)
    matrix = moments(40, 5)
    for count in (5, 30, 40):
        found = leading_eigenvectors(matrix, count)
        torch.testing.assert_close(found.T @ found, torch.eye(count, dtype=torch.float64))
        assert ((found.T @ matrix @ found).trace() - matrix.trace()).abs() < 1e-9
