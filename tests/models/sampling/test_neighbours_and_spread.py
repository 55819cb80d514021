"""The box around a map of embeddings, where umap-learn is installed; and how widely samples spread."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from netspace_models.errors import ConfigError
from netspace_models.sampling import apartness, draw_many, fit_neighbour_box, spread_of

from tests.small_networks import seeded


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_box_draws_embeddings_near_the_rows() -> None:
    pytest.importorskip("umap")
    rows = torch.randn(40, 8, generator=seeded()) * torch.tensor([3.0, 2, 1, 1, 0.1, 0.1, 0.1, 0.1])
    box = fit_neighbour_box(rows, seeded())
    samples = draw_many(box, [seeded(i) for i in range(6)])
    assert samples.shape == (6, 8) and bool(torch.isfinite(samples).all())
    assert samples.abs().max() < 2 * rows.abs().max() and samples[:, :2].std() > samples[:, 4:].std()
    assert torch.equal(box.draw(seeded(4)), samples[4])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "umap" else find(name))
    with pytest.raises(ConfigError, match=r"needs umap-learn, which is not installed. pip install 'netspace\[umap\]'"):
        fit_neighbour_box(torch.eye(9), seeded())


def test_spread_is_one_of_the_rows_themselves_and_grows_with_them() -> None:
    rows = torch.randn(200, 6, generator=seeded())
    for factor in (0.2, 1.0, 3.0):
        spread = spread_of(factor * rows, rows)
        assert spread is not None
        assert spread.deviation == pytest.approx(factor) and spread.variance == pytest.approx(factor**2)


def test_large_dimensions_have_the_most_weight_in_the_variance_alone() -> None:
    rows = torch.randn(100, 2, generator=seeded()) * torch.tensor([10.0, 1.0])
    spread = spread_of(rows * torch.tensor([1.0, 0.0]), rows)
    assert spread is not None and spread.deviation == pytest.approx(0.5) and spread.variance > 0.98


def test_dimensions_that_never_change_do_not_count() -> None:
    rows = torch.randn(20, 3, generator=seeded())
    rows[:, 1] = 4.0
    spread = spread_of(rows, rows)
    assert spread is not None and spread.deviation == pytest.approx(1)
    assert spread_of(rows[:1], rows) is None and spread_of(rows, torch.ones(5, 3)) is None


def test_copies_are_not_apart_and_rows_are_as_they_are() -> None:
    rows = torch.randn(30, 8, generator=seeded())
    assert apartness(rows[[4, 4, 9]], rows) == 0 and apartness(rows, rows, own=True) == pytest.approx(1)
    others = apartness(torch.randn(200, 8, generator=seeded(1)), rows)
    assert others is not None and 0.8 < others < 1.3
    assert apartness(rows, torch.ones(5, 8)) is None and apartness(rows, rows[:1]) is None
