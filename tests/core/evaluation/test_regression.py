"""Ridge regression on two kinds of features: what helps on rows that were held out is used, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from netspace_cli.core.evaluation.regression import fit_ridge

HELD_OUT = [i >= 40 for i in range(60)]
RUNS = [f"run-{i // 2}" for i in range(60)]


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features that tell the values, features that do not, and the values."""
    random = np.random.default_rng(0)
    telling = random.normal(size=(60, 3))
    return telling, random.normal(size=(60, 20)), telling @ np.array([1.0, -2.0, 0.5]) + 3


@pytest.mark.parametrize("held_out", [HELD_OUT, [False] * 60])
def test_of_two_kinds_the_one_that_tells_the_values_is_used(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray], held_out: list[bool]
) -> None:
    telling, noise, values = rows
    first = fit_ridge([telling, noise], list(values), RUNS, held_out)
    second = fit_ridge([noise, telling], list(values), RUNS, held_out)
    assert first.share >= 0.9 and second.share <= 0.1
    np.testing.assert_allclose(first.predict([telling, noise]), values, atol=0.05)
    assert fit_ridge([telling], list(values), RUNS, held_out).share == 1


def test_what_tells_values_of_fitted_rows_alone_is_left_out(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    telling, noise, values = rows
    learnt = noise.copy()
    learnt[:40, 0] = 10 * values[:40]  # as embeddings of the instances that a space was trained on
    partly = telling + 0.3 * np.random.default_rng(1).normal(size=telling.shape)
    assert fit_ridge([learnt, partly], list(values), RUNS, HELD_OUT).share <= 0.1
    alone = fit_ridge([learnt[:40], partly[:40]], list(values[:40]), RUNS[:40], [False] * 40)
    assert alone.share > 0.1, "without held-out rows nobody can know"


def test_rows_of_one_run_are_left_out_together() -> None:
    """Each run has a feature of its own, which predicts its rows from each other and those of no other run."""
    random = np.random.default_rng(0)
    own = np.repeat(np.eye(30), 2, axis=0)
    weak = random.normal(size=(60, 1))
    values = np.repeat(random.normal(size=30), 2) + weak[:, 0]
    apart = fit_ridge([own, weak], list(values), [f"row-{i}" for i in range(60)], [False] * 60)
    together = fit_ridge([own, weak], list(values), RUNS, [False] * 60)
    assert apart.penalty < together.penalty
