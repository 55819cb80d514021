"""Which parameters of a space Adam moves and which Muon, and that runs go on as they were."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import CheckpointError, ConfigError, Interrupted
from torch import Tensor, nn

from netspace_cli.core.data.points import field_data
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime.muon import orthogonal
from netspace_cli.core.runtime.optimisers import SGD, Together
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare, train
from netspace_cli.core.training.step import TrainState, rate_at, take_step
from tests.core.training.test_loop import Signals, assert_same_run, learn, metrics_of, recipe_of
from tests.worlds import Solids, Tiny


def after_a_step(tiny: Tiny, optimizer: str) -> tuple[TrainState, dict[str, Tensor], dict[str, Tensor]]:
    """State, and all parameters before and after the first step of a space of several architectures."""
    recipe = recipe_of(tiny, optimizer=optimizer)
    with Runner("cpu") as runner:
        task = prepare(tiny.zoo, recipe, tiny.data, runner, teacher=read_network(tiny.teacher, io=tiny.data.io))
        state = new_state(task)
        before = {name: p.detach().clone() for name, p in state.model.named_parameters()}
        take_step(task, state)
    return state, before, {name: p.detach().clone() for name, p in state.model.named_parameters()}


def test_muon_moves_the_weights_of_the_backbone_s_layers_and_adam_the_rest(tiny: Tiny) -> None:
    _, before, by_adam = after_a_step(tiny, "adam")
    state, again, by_muon = after_a_step(tiny, "muon")
    assert all(torch.equal(before[name], again[name]) for name in before)
    linear = {f"{name}.weight" for name, m in state.model.backbone.named_modules() if isinstance(m, nn.Linear)}
    matrices = {f"backbone.{name}" for name in linear}
    assert len(matrices) > 10 and matrices < by_muon.keys()
    assert "backbone.writer.positions" in by_muon.keys() - matrices
    assert any(name.startswith("head.") and name.endswith("weight") for name in by_muon.keys() - matrices)
    for name in by_muon.keys() - matrices:
        assert torch.equal(by_muon[name], by_adam[name]), name
    rate = rate_at(0, recipe_of(tiny).train)
    for name in matrices:
        gradient = state.model.get_parameter(name).grad
        assert gradient is not None
        # The first step does not know of any other, and all its singular values are alike.
        wanted = -rate * 0.2 * sqrt(max(gradient.shape)) * orthogonal(gradient)
        assert torch.allclose(by_muon[name] - before[name], wanted, atol=0.01 * rate), name
        assert not torch.equal(by_muon[name], by_adam[name])


CONV = {"kind": "conv", "embedding_size": 256, "side": 16, "height": 8, "width": 9_648}
CASES: dict[str, dict[str, Any]] = {
    "unseen": {"space": {"unseen": ["vanillacnn"]}},
    "starts": {"space": {"starts": 3, "parents": 1}, "train": {"level_loss": "labels"}},
    "contrast": {"train": {"instances": 2, "contrast": {"gamma": 0.3, "width": 8}}},
    "conv": {"backbone": CONV},
}


@pytest.mark.parametrize("case", CASES)
def test_all_that_learns_has_one_optimiser_and_the_same_pace_by_either(tiny: Tiny, case: str) -> None:
    paces = {}
    for optimizer in ("adam", "muon"):
        table = recipe_of(tiny, optimizer=optimizer).model_dump()
        for section, settings in CASES[case].items():
            table[section] = settings if section == "backbone" else {**table[section], **settings}
        teacher = None if case == "contrast" else read_network(tiny.teacher, io=tiny.data.io)
        zoo = tiny.zoo if teacher else tiny.single_zoo
        with Runner("cpu") as runner:
            state = new_state(prepare(zoo, recipe_from(table), tiny.data, runner, teacher=teacher))
        groups = state.optimizer.param_groups
        moved = [(p, group["pace"]) for group in groups for p in group["params"]]
        learning = [p for p in state.parameters if p.requires_grad]
        assert sorted(id(p) for p, _ in moved) == sorted(map(id, learning))
        found = {id(p): pace for p, pace in moved}
        paces[optimizer] = [found[id(p)] for p in learning]
    assert paces["muon"] == paces["adam"]
    assert (set(paces["muon"]) == {1.0}) == (case in ("contrast", "conv"))
    by_muon = {id(p) for p in groups[0]["params"]}
    layers = [m for m in state.model.backbone.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert by_muon == {id(m.weight) for m in layers} and (nn.Conv2d in map(type, layers)) == (case == "conv")


def test_muon_is_refused_where_no_layer_learns(solids: Solids, tmp_path: Path) -> None:
    """As in examples/recipes/shapes.toml: one embedding to begin at, and directions that are not learnt."""
    sizes = {"embedding_size": 64, "latents": 4, "chunk": 64, "width": 16, "heads": 2, "direct": {"kind": "curvature"}}
    asks = {"reader": {"kind": "constant", "probes": 16}, "feedback": {"rounds": 1, "second_order": True}}
    backbone = {**sizes, **asks, "writer": {"kind": "direct"}}
    settings: dict[str, Any] = {"steps": 1, "instances": 2, "images": 64}
    path, words = tmp_path / "s.safetensors", r'`train.optimizer = "muon"` in the recipe moves .* learns none'
    for optimizer in ("muon", "adam"):
        recipe = recipe_from({"backbone": backbone, "train": {**settings, "optimizer": optimizer}})
        refused = pytest.raises(ConfigError, match=words) if optimizer == "muon" else nullcontext()
        with Runner("cpu") as runner, refused:
            train(solids.zoo, path, recipe, field_data(solids.zoo.data), runner)
        assert path.exists() == (optimizer == "adam")


def test_a_stopped_run_by_muon_goes_on_to_the_same_bits(tiny: Tiny, tmp_path: Path) -> None:
    whole, path, recipe = tmp_path / "whole.safetensors", tmp_path / "s.safetensors", recipe_of(tiny, optimizer="muon")
    assert learn(tiny, whole, recipe=recipe).record["recipe"]["train"]["optimizer"] == "muon"
    with pytest.raises(Interrupted):
        learn(tiny, path, recipe=recipe, progress=Signals(3, signal.SIGTERM))
    learn(tiny, path, recipe=recipe, resume=True)
    assert_same_run(path, whole)
    learn(tiny, tmp_path / "adam.safetensors")
    assert metrics_of(tmp_path / "adam.safetensors")[0] == metrics_of(whole)[0]
    assert metrics_of(tmp_path / "adam.safetensors")[1] != metrics_of(whole)[1]


def test_a_checkpoint_without_muon_s_state_is_told(tiny: Tiny, tmp_path: Path) -> None:
    path, recipe = tmp_path / "s.safetensors", recipe_of(tiny, optimizer="muon")
    with pytest.raises(Interrupted):
        learn(tiny, path, recipe=recipe, progress=Signals(3, signal.SIGTERM))
    checkpoint = tmp_path / "s.run" / "checkpoint.pt"
    saved = torch.load(checkpoint, weights_only=True)
    del saved["optimizer"]["muon"]
    torch.save(saved, checkpoint)
    with pytest.raises(CheckpointError, match=r"holds no state of this run \('muon'\)"):
        learn(tiny, path, recipe=recipe, resume=True)


def test_several_optimisers_are_one() -> None:
    one, other = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimiser = Together({"slow": SGD([one], 0.1), "fast": SGD([other], 0.2)})
    assert [group["lr"] for group in optimiser.param_groups] == [0.1, 0.2]
    (one.sum() + other.sum()).backward()
    optimiser.step()
    assert torch.allclose(one, torch.full((2,), 0.9)) and torch.allclose(other, torch.full((2,), 0.8))
    optimiser.zero_grad()
    assert one.grad is None and other.grad is None
    optimiser.param_groups[0]["lr"] = 1.0
    state = optimiser.state_dict()
    fresh = Together({"slow": SGD([one], 0.1), "fast": SGD([other], 0.2)})
    fresh.load_state_dict(state)
    assert [group["lr"] for group in fresh.param_groups] == [1.0, 0.2]
