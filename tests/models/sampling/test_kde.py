"""Kernel densities: what is drawn is independent, and the published form is seen not to be."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from netspace_models.errors import ConfigError
from netspace_models.sampling import bandwidths, draw_many, fit_kernel_density, sample_with_one_seed
from scipy.stats import gaussian_kde, spearmanr
from torch import Tensor

from tests.small_networks import seeded

N, E, DRAWN, NARROW = 40, 30, 60, 1e-2


def distinct_rows() -> Tensor:
    """(N, E) rows whose values in each dimension are far apart, as the noise of a narrow kernel goes."""
    generator = seeded(3)
    return torch.stack([torch.randperm(N, generator=generator) for _ in range(E)], dim=1).float()


def dependences(samples: Tensor, rows: Tensor) -> list[str]:
    """In what way samples of narrow kernels are not independent: across their dimensions, or across samples.

    Every value tells which row it comes from, and its noise.
    """
    found = []
    sources = (samples[:, None] - rows[None]).abs().argmin(dim=1)  # (n, E)
    noise = (samples - rows[sources, torch.arange(rows.shape[1])]).double().numpy()
    chance, parts = 1 / len(rows), {"dimensions": sources.T, "samples": sources}
    for what, each in parts.items():
        pairs = list(combinations(range(len(each)), 2))
        same = float(np.mean([(each[a] == each[b]).double().mean().item() for a, b in pairs]))
        # Of so many pairs of independent draws; dependent pairs would widen it, never narrow it.
        error = (chance * (1 - chance) / (len(pairs) * each.shape[1])) ** 0.5
        if not abs(same - chance) < 6 * error + 2e-3:
            found.append(f"{what}: two of them come from one row in {same:.3f} of all cases, not {chance:.3f}")
    for what, values in {"dimensions": noise, "samples": noise.T}.items():
        ranks = spearmanr(values).statistic
        off = np.abs(ranks[np.triu_indices_from(ranks, 1)])
        # A rank correlation of independent values has a deviation of 1 / sqrt(n - 1).
        if not off.mean() < 1.2 / (len(values) - 1) ** 0.5:
            found.append(f"{what}: their noise has a mean rank correlation of {off.mean():.3f}")
    return found


def test_independent_dimensions_are_independent_across_dimensions_and_samples() -> None:
    rows = distinct_rows()
    density = fit_kernel_density(rows, NARROW)
    assert dependences(draw_many(density, [seeded(i) for i in range(DRAWN)]), rows) == []


def test_the_published_form_is_found_to_be_dependent() -> None:
    rows = distinct_rows()
    found = dependences(sample_with_one_seed(rows, DRAWN, 42, bandwidth=NARROW), rows)
    assert "dimensions: two of them come from one row in 1.000 of all cases, not 0.025" in found
    assert "dimensions: their noise has a mean rank correlation of 1.000" in found


def test_samples_that_share_a_seed_are_found_to_be_dependent() -> None:
    rows = distinct_rows()
    density = fit_kernel_density(rows, NARROW)
    found = dependences(draw_many(density, [seeded(i // 2) for i in range(DRAWN)]), rows)
    assert any(line.startswith("samples") for line in found)


def test_the_published_form_draws_stored_rows_and_one_number() -> None:
    rows = torch.randn(20, 12, generator=seeded())
    samples = sample_with_one_seed(rows, 5, 42)
    for sample in samples:
        offsets = sample - rows
        nearest = offsets[offsets.std(dim=1).argmin()]
        assert nearest.std() < 1e-6 and nearest.abs().max() < 0.01
    assert torch.equal(samples, sample_with_one_seed(rows, 5, 42))


def test_a_joint_density_draws_one_row_and_noise_of_each_dimension() -> None:
    rows = distinct_rows()
    samples = draw_many(fit_kernel_density(rows, NARROW, joint=True), [seeded(i) for i in range(DRAWN)])
    sources = (samples[:, None] - rows[None]).abs().argmin(dim=1)
    assert bool((sources == sources[:, :1]).all()) and len(sources[:, 0].unique()) > N / 2
    noise = samples - rows[sources[:, 0]]
    # The published form has one number for all dimensions: no deviation at all.
    assert noise.std(dim=1).min() > 0.5 * NARROW and abs(noise.std().item() / NARROW - 1) < 0.1


def test_a_sample_depends_on_its_generator_alone() -> None:
    density = fit_kernel_density(torch.randn(9, 5, generator=seeded()))
    together = draw_many(density, [seeded(i) for i in range(8)])
    assert torch.equal(density.draw(seeded(5)), together[5])
    assert len({tuple(row.tolist()) for row in together}) == 8


@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_rules_are_those_of_scipy_in_each_dimension(rule: str) -> None:
    rows = torch.randn(50, 3, generator=seeded(), dtype=torch.float64) * torch.tensor([1.0, 5.0, 0.1])
    wanted = [gaussian_kde(values, rule).covariance[0, 0] ** 0.5 for values in rows.T.numpy()]
    assert torch.allclose(bandwidths(rows, rule), torch.tensor(wanted, dtype=torch.float64))  # type: ignore[arg-type]


def test_samples_spread_as_the_bandwidth_says() -> None:
    rows = torch.randn(100, 40, generator=seeded())
    samples = draw_many(fit_kernel_density(rows, "scott"), [seeded(i) for i in range(300)])
    assert abs((samples.std(0) / rows.std(0)).mean().item() - (1 + 100**-0.4) ** 0.5) < 0.03


def test_no_noise_leaves_values_of_the_rows() -> None:
    rows = distinct_rows()
    sample = fit_kernel_density(rows, 0).draw(seeded())
    assert bool((sample == rows).any(dim=0).all())


@pytest.mark.parametrize(
    ("rows", "bandwidth", "text"),
    [
        (torch.zeros(1, 3), "scott", "a kernel density needs at least 2 embeddings to learn from; there is 1."),
        (torch.zeros(0, 3), "scott", "needs at least 2 embeddings to learn from; there are 0."),
        (torch.full((3, 2), torch.nan), "scott", "cannot learn from embeddings that hold NaN or infinity."),
        (torch.eye(3), "scot", "unknown bandwidth rule 'scot'. Use scott or silverman, or a number."),
        (torch.eye(3), -1.0, "invalid bandwidth -1. Give 0 or more: `bandwidth=0.01`."),
    ],
)
def test_what_makes_no_density_is_refused(rows: Tensor, bandwidth: float, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        fit_kernel_density(rows, bandwidth)
