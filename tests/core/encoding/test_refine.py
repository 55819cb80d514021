"""Refining, at its own temperature; by Gauss-Newton nearer in few steps, and refused where it is not for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError, RunFailed
from torch import Tensor

from netspace_cli.core.data.points import field_data
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.encoding.fidelity import fidelity
from netspace_cli.core.encoding.refine import refine
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes import fragments
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.training.loop import prepare
from tests.imagined import META, watched_device
from tests.worlds import Solids, Tiny


def refining(space: Space, **options: Any) -> Space:
    """The same space, refining otherwise."""
    recipe = {**space.record["recipe"], "refine": {**space.record["recipe"]["refine"], **options}}
    return replace(space, record={**space.record, "recipe": recipe})


@pytest.mark.slow
@pytest.mark.usefixtures("few_voxels")
def test_gauss_newton_comes_nearer_than_as_many_steps_of_adam(solids: Solids, linear: Space) -> None:
    data, (architecture,) = field_data(solids.zoo.data), solids.zoo.architectures()
    networks = [solids.zoo.network(i, architecture) for i in solids.zoo.select(split="test")]
    vectors = torch.stack([network.weights for network in networks])
    # Not from what the space encodes them to, which is solved for and leaves little to gain.
    start = torch.zeros(len(vectors), linear.model.embedding_size)
    errors: dict[str, float] = {}
    for method, steps in (("start", 0), ("adam", 4), ("gauss-newton", 4)):
        space = refining(linear, method="adam" if method == "start" else method, images=1024)
        with Runner("cpu", seed=0) as runner:
            found = refine(start, vectors, architecture.name, space, data, runner, steps=steps)
            pairs = zip(networks, found, strict=True)
            errors[method] = sum(fidelity(n, v, space, data, runner).error for n, v in pairs)
    assert errors["gauss-newton"] < 0.95 * errors["adam"] < 0.9 * errors["start"]


@pytest.mark.slow
@pytest.mark.usefixtures("few_voxels")
def test_a_network_is_refined_the_same_alone_and_in_company(solids: Solids, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "STEPS", 1)
    data, (architecture,) = field_data(solids.zoo.data), solids.zoo.architectures()
    space = refining(solids.space, method="gauss-newton")
    vectors = torch.stack(solids.zoo.weights(solids.zoo.select(split="test"), architecture))
    start = torch.zeros(len(vectors), space.model.embedding_size)

    def refined(rows: Tensor) -> Tensor:
        with Runner("cpu", seed=0) as runner:
            return refine(start[: len(rows)], rows, architecture.name, space, data, runner, steps=1)

    together = refined(vectors)
    assert torch.equal(together, torch.cat([refined(v[None]) for v in vectors]))
    assert not torch.equal(together, start)


def test_values_that_are_not_finite_stop_it(solids: Solids) -> None:
    (architecture,) = solids.zoo.architectures()
    space = refining(solids.space, method="gauss-newton")
    start = torch.full((1, space.model.embedding_size), torch.nan)
    vectors = torch.stack(solids.zoo.weights(solids.zoo.select(split="test")[:1], architecture))
    with Runner("cpu") as runner, pytest.raises(RunFailed, match="led to values that are not finite") as raised:
        refine(start, vectors, architecture.name, space, field_data(solids.zoo.data), runner, steps=2)
    assert raised.value.hint == "Raise refine.damping."


def test_classifiers_and_decoders_without_directions_are_refused_before_training(tiny: Tiny, solids: Solids) -> None:
    table = solids.recipe.model_dump()
    table["refine"]["method"] = "gauss-newton"
    with Runner("cpu") as runner:
        assert (
            prepare(solids.zoo, recipe_from(table), field_data(solids.zoo.data), runner).recipe.refine.damping == 1e-4
        )
        with pytest.raises(ConfigError, match="is for neural fields, and these are classifiers"):
            prepare(tiny.zoo, recipe_from(table), tiny.data, runner)
        for backbone, words in (
            ({"direct": {"kind": "sketch"}}, "of the tokens backbone, direct.kind 'sketch', gain 1."),
            ({"direct": {"kind": "learnt", "gain": 0}}, "of the tokens backbone, direct.kind 'learnt', gain 0."),
            ({"kind": "conv"}, "of the conv backbone."),
        ):
            with pytest.raises(ConfigError, match=f"needs a decoder that writes along directions; this one is {words}"):
                prepare(solids.zoo, recipe_from({**table, "backbone": backbone}), field_data(solids.zoo.data), runner)


def test_a_temperature_of_its_own_is_used_for_refining(tiny: Tiny) -> None:
    networks = [read_network(tiny.networks["lenetlike"], candidates=tiny.space.architectures)]
    trained_at = tiny.space.recipe.train.temperature

    def refined(own: float | None, **train: float) -> Tensor:
        space = refining(tiny.space, temperature=own)
        table = {**space.record["recipe"], "train": {**space.record["recipe"]["train"], **train}}
        space = replace(space, record={**space.record, "recipe": table})
        with Runner("cpu", seed=0) as runner:
            return encode(networks, space, runner, data=tiny.data, refine_steps=3).vectors

    torch.testing.assert_close(refined(None), refined(trained_at))
    torch.testing.assert_close(refined(0.5, temperature=3.0), refined(0.5, temperature=9.0))
    assert not torch.allclose(refined(0.5), refined(None))


def test_a_step_of_refining_waits_for_an_accelerator_once(tiny: Tiny) -> None:
    runner, asked = Runner("cpu"), []
    runner.device = META
    space, data = runner.place(tiny.single_space), runner.place(tiny.data)
    architecture = space.model.architecture("lenetlike")
    weights = torch.zeros(3, architecture.parameter_count, device=META)
    embeddings = torch.zeros(3, space.model.embedding_size, device=META)
    with watched_device():  # the first step also sends what others need
        refine(embeddings, weights, "lenetlike", space, data, runner, steps=1)
    for steps in (2, 5):
        with watched_device() as seen:
            refine(embeddings, weights, "lenetlike", space, data, runner, steps=steps)
        asked.append((len(seen.waits), len(seen.sent)))
    (fewer_waits, fewer_sent), (waits, sent) = asked
    assert waits - fewer_waits == 3  # a step's loss
    assert sent - fewer_sent == 2 * 3  # which images, and how they are shifted
