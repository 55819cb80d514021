"""The neurons backbone: rows of neurons, units, starting points, several architectures, and that it learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from netspace_models.architectures import ImageIO
from netspace_models.backbones import ArchitectureInit, NeuronsBackbone
from netspace_models.backbones.neurons.rows import NeuronRows
from netspace_models.backbones.neurons.settings import NeuronsSettings
from netspace_models.errors import ConfigError
from netspace_models.parameters.spec import NetworkSpec
from netspace_models.training.reconstruction import weight_errors
from torch import Tensor

from tests.small_networks import seeded

SPEC = NetworkSpec.of(
    {"a.weight": (7, 5, 3), "a.bias": (7,), "norm": (6,), "b.weight": (3, 7), "b.bias": (3,), "scale": ()}
)
OTHER = NetworkSpec.of({"c.weight": (4, 3), "c.bias": (4,)})
SCALES = torch.tensor([0.1, 3.0, 2.0, 0.5])
SIZES: dict[str, Any] = {"embedding_size": 6, "width": 16, "heads": 2, "depth": 1}


def starting_point() -> Tensor:
    return torch.randn(SPEC.size, generator=seeded(3))


def backbone(**options: Any) -> NeuronsBackbone:
    torch.manual_seed(0)
    inits = {
        "my.net:mine": ArchitectureInit(SPEC, starting_point(), SCALES),
        "other": ArchitectureInit(OTHER, None, torch.ones(1)),
    }
    return NeuronsSettings(**{**SIZES, **options}).build(inits, ImageIO(1, 8, 3))


def test_a_row_is_what_one_neuron_has() -> None:
    weights = torch.arange(SPEC.size).float()[None]
    state = SPEC.unflatten(weights[0])
    first, norm, second, scale = NeuronRows(SPEC).cut(weights)
    assert torch.equal(first[0], torch.cat([state["a.weight"].flatten(1), state["a.bias"][:, None]], dim=1))
    assert torch.equal(norm[0], state["norm"][None])
    assert torch.equal(second[0], torch.cat([state["b.weight"], state["b.bias"][:, None]], dim=1))
    assert torch.equal(scale[0], state["scale"].view(1, 1))


@given(
    st.lists(st.sampled_from([(), (4,), (1,), (4, 3), (2, 2, 3), (1, 5)]), min_size=1, max_size=6),
    st.lists(st.sampled_from("ab"), min_size=6, max_size=6),
)
def test_rows_join_to_the_same_weights(shapes: list[tuple[int, ...]], owners: list[str]) -> None:
    spec = NetworkSpec.of({f"{owner}.{i}": shape for i, (shape, owner) in enumerate(zip(shapes, owners, strict=False))})
    rows, weights = NeuronRows(spec), torch.randn(2, spec.size)
    groups = rows.cut(weights)
    assert torch.equal(rows.join(groups), weights)
    assert [group.shape[1:] for group in groups] == list(rows.shapes)
    assert rows.count == sum(group.shape[1] for group in groups)


@pytest.mark.parametrize("options", [{}, {"units": "raw"}, {"start": "none"}, {"bounded": True}, {"depth": 2}])
def test_a_network_in_a_batch_is_read_and_written_as_alone(options: dict[str, Any]) -> None:
    model = backbone(**options).eval()
    for arch, spec in (("my.net:mine", SPEC), ("other", OTHER)):
        weights = torch.randn(3, spec.size)
        embeddings = model.encode(arch, weights)
        assert embeddings.shape == (3, 6)
        assert model.decode(arch, embeddings).shape == (3, spec.size)
        assert torch.allclose(model.encode(arch, weights[1:2]), embeddings[1:2], atol=1e-5)
        assert torch.allclose(
            model.decode(arch, embeddings)[1:2], model.decode(arch, embeddings[1:2]), rtol=1e-4, atol=1e-5
        )


def sigma() -> Tensor:
    sizes = torch.tensor([layer.stop - layer.start for layer in SPEC.layers])
    return torch.repeat_interleave(SCALES[: len(sizes)], sizes)


@pytest.mark.parametrize("units", ["deviation", "raw"])
@pytest.mark.parametrize("start", ["instance", "none"])
def test_before_training_decoding_is_near_the_starting_point_in_its_units(units: str, start: str) -> None:
    decoded = backbone(units=units, start=start).decode("my.net:mine", torch.randn(4, 6))
    written = decoded - starting_point() if start == "instance" else decoded
    written = written / (sigma() if units == "deviation" else 1)
    assert 0.01 < written.square().mean().sqrt().item() < 0.2


def test_weights_are_read_in_units_of_their_layers() -> None:
    model = backbone(units="deviation", start="none")
    bigger = ArchitectureInit(SPEC, None, 10 * SCALES)
    torch.manual_seed(0)
    same = NeuronsSettings(**SIZES, start="none").build({"my.net:mine": bigger}, ImageIO(1, 8, 3))
    values = {n: t for n, t in model.state_dict().items() if "own.1" not in n and "scale" not in n}
    same.load_state_dict(values, strict=False)
    weights = torch.randn(2, SPEC.size)
    embeddings = model.encode("my.net:mine", weights)
    assert torch.allclose(same.encode("my.net:mine", 10 * weights), embeddings, atol=1e-5)
    written = model.decode("my.net:mine", embeddings)
    assert torch.allclose(same.decode("my.net:mine", embeddings), 10 * written, rtol=1e-4)


def test_bounded_embeddings_stay_within_one() -> None:
    weights = 1000 * torch.randn(5, SPEC.size)
    assert backbone(units="raw", bounded=True).encode("my.net:mine", weights).abs().max() <= 1
    wide = backbone(units="raw")
    wide.own[0].compress.weight.data.mul_(100)  # type: ignore[operator, union-attr]
    assert wide.encode("my.net:mine", weights).abs().max() > 1


def test_starts_are_the_starting_points_and_how_far_a_step_moves_them() -> None:
    ((start, pace),) = backbone().starts(["my.net:mine"])
    assert torch.allclose(start * sigma(), starting_point(), atol=1e-6)
    assert pace == pytest.approx(1 / sigma().mean().item())
    assert backbone(units="raw").starts(["other"])[0][1] == 1
    assert backbone(start="none").starts(["my.net:mine", "other"]) == []


def test_blocks_are_shared_and_all_else_is_each_architectures_own() -> None:
    model = backbone()
    model.decode("other", model.encode("other", torch.randn(2, OTHER.size))).sum().backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {name.split(".")[0] for name in moved} == {"own", "reader", "writer"}
    assert not any(name.startswith("own.0.") for name in moved)
    shared = {name for name, _ in model.named_parameters() if not name.startswith("own.")}
    assert shared < moved


def test_blocks_do_not_begin_alike() -> None:
    state = backbone(depth=2).reader.state_dict()
    assert not torch.equal(state["blocks.0.merge.weight"], state["blocks.1.merge.weight"])


def test_values_are_saved_with_units_and_starts() -> None:
    model, torch_state = backbone(), backbone().state_dict()
    torch.manual_seed(1)
    inits = {
        "my.net:mine": ArchitectureInit(SPEC, None, torch.ones(4)),
        "other": ArchitectureInit(OTHER, None, torch.ones(1)),
    }
    again = NeuronsSettings(**SIZES).build(inits, ImageIO(1, 8, 3))
    again.load_state_dict(torch_state)
    weights = torch.randn(2, SPEC.size)
    assert torch.equal(again.encode("my.net:mine", weights), model.encode("my.net:mine", weights))
    assert torch.equal(again.decode("my.net:mine", torch.ones(1, 6)), model.decode("my.net:mine", torch.ones(1, 6)))


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(ConfigError, match="width 16, depth 1, heads 3") as refused:
        backbone(heads=3)
    assert "a width that the heads divide" in refused.value.hint
    with pytest.raises(ConfigError, match="cannot be made with embedding_size 0"):
        backbone(embedding_size=0)
    dead = {"mine": ArchitectureInit(OTHER, None, torch.zeros(1))}
    with pytest.raises(
        ConfigError, match=r"the layer 'c' of mine has a standard deviation that is not above zero"
    ) as refused:
        NeuronsSettings(**SIZES).build(dead, ImageIO(1, 8, 3))
    assert "backbone.units to 'raw'" in refused.value.hint
    NeuronsSettings(**SIZES, units="raw").build(dead, ImageIO(1, 8, 3))


def test_any_embedding_size_will_do() -> None:
    assert NeuronsSettings().with_embedding_size(37) == NeuronsSettings(embedding_size=37)
    assert NeuronsSettings().granularity == NeuronsSettings(embedding_size=37).granularity


@pytest.mark.parametrize("options", [{}, {"units": "raw", "start": "none"}])
def test_four_networks_are_learnt_by_heart(options: dict[str, Any]) -> None:
    model = backbone(**options)
    weights = starting_point() + 0.3 * torch.randn(4, SPEC.size, generator=seeded(4))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        predicted = model.decode("my.net:mine", model.encode("my.net:mine", weights))
        loss = weight_errors(predicted, weights, sigma()).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10
