"""Networks that learn to draw embeddings: a planted mixture comes back, and the condition is followed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from netspace_models.errors import ConfigError
from netspace_models.sampling import Flow, FlowSettings, GanSettings, draw_many, fit_flow, fit_gan, spread_of
from netspace_models.sampling.whitening import fit_whitening
from torch import Tensor

from tests.small_networks import seeded

CENTRES = torch.tensor([[-3.0, 0.0], [3.0, 1.0]])


def planted(count: int = 400) -> tuple[Tensor, Tensor]:
    """Rows (N, 2) of two clusters, and the accuracies (N,) that go with them: .2 and .8, about."""
    generator = seeded(7)
    cluster = torch.arange(count) % 2
    rows = CENTRES[cluster] + 0.4 * torch.randn(count, 2, generator=generator)
    return rows, 0.2 + 0.6 * cluster + 0.02 * torch.randn(count, generator=generator)


@pytest.fixture(scope="module")
def flow() -> Flow:
    rows, accuracies = planted()
    return fit_flow(
        rows, seeded(), accuracies=accuracies, settings=FlowSettings(steps=600, lr=2e-3, batch=128, stages=12)
    )


def test_a_flow_recovers_a_planted_mixture(flow: Flow) -> None:
    rows, _ = planted()
    samples = draw_many(flow, [seeded(i) for i in range(150)])
    spread = spread_of(samples, rows)
    assert spread is not None and 0.8 < spread.deviation < 1.2 and 0.6 < spread.variance < 1.4
    near = (samples[:, None] - CENTRES).norm(dim=2)
    assert (near.min(dim=1).values < 1.5).double().mean() > 0.9, "between the clusters is next to nothing"
    assert 0.35 < (near.argmin(1) == 0).double().mean() < 0.65, "each has its share"


@pytest.mark.parametrize(("wanted", "cluster"), [(0.2, 0), (0.8, 1)])
def test_the_mean_of_a_flow_follows_its_condition(flow: Flow, wanted: float, cluster: int) -> None:
    samples = draw_many(replace(flow, wanted=wanted), [seeded(i) for i in range(40)])
    assert (samples.mean(0) - CENTRES[cluster]).norm() < 0.6
    assert 0.1 < samples.std(0).mean() < 1.0


def test_a_flow_of_many_dimensions_spreads_as_its_rows_do() -> None:
    rows = torch.randn(100, 128, generator=seeded(1)) * torch.linspace(0.1, 3, 128)
    flow = fit_flow(rows, seeded(), accuracies=torch.rand(100, generator=seeded(2)))
    assert flow.stopped < FlowSettings().steps, "held-out codes end the training"
    spread = spread_of(draw_many(flow, [seeded(i) for i in range(60)]), rows)
    assert spread is not None and 0.8 < spread.deviation < 1.2


def test_the_same_generators_draw_the_same() -> None:
    rows, _ = planted(100)
    quick = FlowSettings(steps=100, batch=64)
    one, other = (fit_flow(rows, seeded(3), settings=quick).draw(seeded(5)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, fit_flow(rows, seeded(4), settings=quick).draw(seeded(5)))
    state = torch.random.get_rng_state()
    made = [fit_gan(rows, seeded(3), GanSettings(steps=20)).draw(seeded(5)) for _ in range(2)]
    assert torch.equal(made[0], made[1])
    assert torch.equal(state, torch.random.get_rng_state()), "the process's own stream is left alone"


def test_a_gan_draws_finite_embeddings_that_differ() -> None:
    rows = torch.randn(100, 128, generator=seeded())
    samples = draw_many(fit_gan(rows, seeded(), GanSettings(steps=300)), [seeded(i) for i in range(50)])
    assert samples.shape == (50, 128) and bool(torch.isfinite(samples).all())
    spread = spread_of(samples, rows)
    assert spread is not None and 0.05 < spread.deviation < 3


def test_whitened_rows_come_back() -> None:
    rows = torch.randn(6, 10, generator=seeded()).double() * 5 + 3
    whitening = fit_whitening(rows)
    codes = whitening.forward(rows)
    assert codes.shape == (6, 5), "one direction less than rows"
    assert torch.allclose(codes.std(dim=0), torch.ones(5).double()) and torch.allclose(whitening.back(codes), rows)


def test_what_cannot_be_learnt_from_is_refused() -> None:
    with pytest.raises(ConfigError, match="a flow needs at least 3 embeddings to learn from; there are 2"):
        fit_flow(torch.eye(2), seeded())
    with pytest.raises(ConfigError, match="this flow was learnt without accuracies, so it cannot draw for 0.9"):
        fit_flow(torch.eye(4), seeded(), wanted=0.9)
    with pytest.raises(ConfigError, match="the 4 embeddings are alike: a flow cannot learn from them"):
        fit_flow(torch.ones(4, 3), seeded())
    with pytest.raises(ConfigError, match="the 4 embeddings are alike: a GAN cannot learn from them"):
        fit_gan(torch.ones(4, 3), seeded())
