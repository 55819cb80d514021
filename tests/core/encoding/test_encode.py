"""Encoding and refining: an embedding does not depend on company, and refining moves nothing but embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.errors import ConfigError, DataUnavailable, NotFinite, WrongSpace
from netspace_models.training.losses import distillation
from torch import Tensor

from netspace_cli.core.encoding.decode import decode, decode_row
from netspace_cli.core.encoding.encode import default_refine_steps, divided, encode
from netspace_cli.core.encoding.fidelity import fidelity
from netspace_cli.core.encoding.refine import AT_ONCE, refined_at_once
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import Embeddings
from netspace_cli.core.spaces.space import Space
from tests.worlds import Tiny


@pytest.fixture(scope="module")
def networks(tiny: Tiny) -> list[Network]:
    """Two architectures in turn, five networks."""
    chosen = [*tiny.zoo.select(arch="lenetlike")[:3], *tiny.zoo.select(arch="resnet8")[:2]]
    found = [read_network(tiny.zoo.file_of(i), candidates=tiny.space.architectures) for i in chosen]
    return [found[i] for i in (0, 3, 1, 4, 2)]


def run(
    networks: Sequence[Network], tiny: Tiny, *, seed: int = 0, space: Space | None = None, **options: Any
) -> Embeddings:
    with Runner("cpu", seed=seed) as runner:
        return encode(networks, space or tiny.space, runner, **options)


def distance(tiny: Tiny, network: Network, embedding: Tensor) -> float:
    """What refining minimises, on all training images."""
    images, _ = tiny.data.batch("train", slice(None))
    built = tiny.space.model.decode(network.architecture.name, embedding[None])[0]
    with torch.no_grad():
        wanted = network.architecture.run(network.weights, images)
        return distillation(network.architecture.run(built, images), wanted, temperature=4.0).item()


def test_a_network_alone_and_in_company_has_the_same_bits(tiny: Tiny, networks: list[Network]) -> None:
    together = run(networks, tiny)
    for i, network in enumerate(networks):
        assert torch.equal(run([network], tiny).vectors[0], together.vectors[i])
    backwards = run(networks[::-1], tiny)
    assert torch.equal(backwards.vectors.flip(0), together.vectors)


def test_company_plays_no_part_where_batches_change_the_bits(
    tiny: Tiny, networks: list[Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Larger models round otherwise in larger batches; the tiny one is made to."""
    plain = type(tiny.space.model).encode
    monkeypatch.setattr(
        type(tiny.space.model), "encode", lambda self, arch, v: plain(self, arch, v) * (1 + 1e-3 * len(v))
    )
    together = run(networks, tiny)
    assert all(torch.equal(run([n], tiny).vectors[0], together.vectors[i]) for i, n in enumerate(networks))


def test_origins_say_where_each_row_comes_from(tiny: Tiny, networks: list[Network]) -> None:
    found = run(networks, tiny)
    assert [o.source for o in found.origins] == [n.source for n in networks]
    assert [o.sha256 for o in found.origins] == [n.sha256 for n in networks]
    assert [o.arch for o in found.origins] == ["lenetlike", "resnet8", "lenetlike", "resnet8", "lenetlike"]
    assert {(o.how, o.steps) for o in found.origins} == {("encoded", 0)}
    assert (found.space, found.space_sha256) == (tiny.space.name, tiny.space.sha256)
    refined = run(networks[:1], tiny, data=tiny.data, refine_steps=3)
    assert (refined.origins[0].how, refined.origins[0].steps) == ("refined", 3)


def test_refining_comes_nearer_and_touches_nothing_else(tiny: Tiny, networks: list[Network]) -> None:
    chosen = networks[:2]
    space = replace(tiny.space, record={**tiny.space.record})
    space.record["recipe"] = {**space.record["recipe"], "refine": {"steps": 2, "images": 32, "lr": 0.02}}
    before = {n: t.clone() for n, t in tiny.space.model.state_dict().items()}
    vectors = [n.weights.clone() for n in chosen]
    encoded = run(chosen, tiny)
    refined = run(chosen, tiny, space=space, data=tiny.data, refine_steps=25)
    for i, network in enumerate(chosen):
        assert distance(tiny, network, refined.vectors[i]) < distance(tiny, network, encoded.vectors[i])
        assert torch.equal(network.weights, vectors[i])
    assert all(torch.equal(t, before[n]) for n, t in tiny.space.model.state_dict().items())
    assert all(p.grad is None for p in tiny.space.model.parameters())
    assert not refined.vectors.requires_grad


def test_refining_is_a_function_of_the_seed(tiny: Tiny, networks: list[Network]) -> None:
    options: dict[str, Any] = {"data": tiny.data, "refine_steps": 3}
    first = run(networks, tiny, **options).vectors
    torch.manual_seed(9)
    assert torch.equal(run(networks, tiny, **options).vectors, first)
    assert not torch.equal(run(networks, tiny, seed=1, **options).vectors, first)


def test_refined_networks_barely_depend_on_company(tiny: Tiny, networks: list[Network]) -> None:
    together = run(networks, tiny, data=tiny.data, refine_steps=3).vectors
    alone = run(networks[2:3], tiny, data=tiny.data, refine_steps=3).vectors
    assert torch.allclose(together[2], alone[0], atol=1e-4)


def test_refining_needs_no_labels(tiny: Tiny, networks: list[Network]) -> None:
    train = tiny.data.splits["train"]
    data = replace(
        tiny.data, splits={**tiny.data.splits, "train": replace(train, labels=torch.zeros_like(train.labels))}
    )
    found = run(networks[:1], tiny, data=data, refine_steps=3).vectors
    assert torch.equal(found, run(networks[:1], tiny, data=tiny.data, refine_steps=3).vectors)


def test_refining_without_images_is_refused(tiny: Tiny, networks: list[Network]) -> None:
    with pytest.raises(DataUnavailable, match=r"refining needs images.*'tiny' \(npz:tiny.npz\)") as refused:
        run(networks, tiny, refine_steps=5)
    assert "`data`" in refused.value.hint
    assert "`refine_steps=0`" in refused.value.hint


def test_the_default_is_what_the_space_records_where_there_are_images(tiny: Tiny) -> None:
    assert default_refine_steps(tiny.space, tiny.data) == 2
    assert default_refine_steps(tiny.space, None) == 0


def test_an_architecture_that_the_space_lacks_is_refused(tiny: Tiny) -> None:
    other = read_network(tiny.teacher, io=tiny.data.io)
    with pytest.raises(WrongSpace, match="no resnet14; it has lenetlike, vanillacnn, resnet8"):
        run([other], tiny)


def test_an_architecture_for_other_images_is_refused_with_both(tiny: Tiny) -> None:
    other = build("lenetlike", ImageIO(3, 32, 10))
    network = Network(other, torch.zeros(other.parameter_count), source="cifar.pt")
    with pytest.raises(WrongSpace, match=r"cifar\.pt: a lenetlike for 3x32x32, 10 classes with 62,006 .* has 20,791"):
        run([network], tiny)


@pytest.mark.parametrize("steps", [0, 2])
def test_weights_too_large_to_embed_are_refused_with_the_largest(
    tiny: Tiny, networks: list[Network], steps: int
) -> None:
    vector = networks[2].weights.clone()
    vector[7] = -2.5e37
    large = replace(networks[2], weights=vector, source="large.pt")
    with pytest.raises(NotFinite, match=r"large\.pt: its embedding .*; its largest weight is 2\.5e\+37"):
        run([networks[0], large], tiny, data=tiny.data, refine_steps=steps)


def test_no_networks_are_refused(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="no networks were given"):
        run([], tiny)


def test_fidelity_by_hand(tiny: Tiny, networks: list[Network]) -> None:
    network = networks[0]
    with Runner("cpu") as runner:
        found = encode([network], tiny.space, runner)
        measured = fidelity(network, found.vectors[0], tiny.space, tiny.data, runner)
        built = decode_row(found.vectors[0], tiny.space)
        assert torch.equal(decode(found, tiny.space, runner)[0].weights, built.weights)
    images, labels = tiny.data.batch("test", slice(None))
    target = network.architecture.run(network.weights, images).argmax(1)
    predicted = built.architecture.run(built.weights, images).argmax(1)
    assert measured.predicted_arch == built.architecture.name
    assert measured.target_accuracy == pytest.approx((target == labels).double().mean().item())
    assert measured.predicted_accuracy == pytest.approx((predicted == labels).double().mean().item())
    assert measured.agreement == pytest.approx((target == predicted).double().mean().item())


@pytest.mark.parametrize(
    ("count", "most", "sizes"), [(0, 3, []), (2, 3, [2]), (6, 3, [3, 3]), (7, 3, [2, 2, 3]), (3, 1, [1, 1, 1])]
)
def test_items_are_divided_evenly_into_as_few_parts_as_there_can_be(count: int, most: int, sizes: list[int]) -> None:
    parts = divided(range(count), most)
    assert [len(part) for part in parts] == sizes and [i for part in parts for i in part] == list(range(count))


def test_how_many_are_refined_together_goes_by_their_size_and_by_what_they_share(tiny: Tiny) -> None:
    runner, size = Runner("cpu"), tiny.space.model.architecture("resnet8").parameter_count
    assert refined_at_once(tiny.space, "resnet8", 2, runner) == AT_ONCE // size > 1
    assert refined_at_once(tiny.space, "resnet8", 0, runner) == 1
    solving = replace(tiny.space, record=tiny.space.record | {"recipe": recipe_by_solving(tiny)})
    assert refined_at_once(solving, "resnet8", 2, runner) == 1


def recipe_by_solving(tiny: Tiny) -> dict[str, Any]:
    recipe = tiny.recipe.model_dump()
    return recipe | {"refine": recipe["refine"] | {"method": "gauss-newton"}}
