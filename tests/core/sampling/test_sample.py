"""Drawing: every method, the same sample alone and among many, what is refused, polishing, and zoos of samples."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import build
from netspace_models.errors import ConfigError
from netspace_models.space_model import SpaceModel
from torch import Tensor

from netspace_cli.core.networks.network import read_network
from netspace_cli.core.networks.scores import cross_entropy, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.methods import METHODS, Flow, Gan, Kde, Method, Noise, OneSeedKde, Soup, method_named
from netspace_cli.core.sampling.polish import check_polishing, polish
from netspace_cli.core.sampling.population import population_of
from netspace_cli.core.sampling.sample import Samples, sample
from netspace_cli.core.sampling.write import write_samples
from netspace_cli.core.zoos.zoo import open_zoo, verify
from tests.worlds import Stopper, Tiny

EMBEDDED = ("kde", "kde-joint", "flow", Gan(steps=10))
PLAIN = ("noise", "mix")
NAMES = ("kde", "kde-joint", "neighbours", "gan", "flow", "starts", "noise", "mix", "soup")


def drawn(tiny: Tiny, method: str | Method, count: int = 3, seed: int = 0, **settings: Any) -> Samples:
    runner = Runner("cpu", seed=seed)
    return sample(tiny.single_space, count, method, runner, zoo=tiny.single_zoo, **{"top": 1.0, **settings})


@pytest.mark.parametrize("method", [*EMBEDDED, *PLAIN, Soup(parents=3), OneSeedKde()])
def test_a_sample_is_the_same_alone_and_among_many(tiny: Tiny, method: str | Method) -> None:
    many, (alone,) = drawn(tiny, method, 4), drawn(tiny, method, 1, first=3).samples
    assert alone.index == 3 and torch.equal(alone.network.weights, many.samples[3].network.weights)
    assert len({tuple(n.weights[:50].tolist()) for n in many.networks}) > 1
    if not isinstance(method, OneSeedKde):
        other = drawn(tiny, method, 1, seed=1, first=3).samples[0]
        assert not torch.equal(other.network.weights, alone.network.weights), "another seed draws others"


@pytest.mark.parametrize("method", EMBEDDED)
def test_an_embedding_decodes_to_its_network(tiny: Tiny, method: str | Method) -> None:
    found = drawn(tiny, method, 2)
    assert found.embeddings is not None and found.embeddings.shape == (2, 64)
    for each in found.samples:
        assert each.embedding is not None
        weights = tiny.single_space.model.decode("lenetlike", each.embedding[None])[0]
        assert torch.equal(each.network.weights, weights)


def test_rivals_name_their_parents(tiny: Tiny) -> None:
    population = population_of(tiny.single_space, zoo=tiny.single_zoo)
    assert population.weights is not None
    by_id = dict(zip(population.ids, population.weights, strict=True))
    for each in drawn(tiny, Noise(scale=0.0), 4).samples:
        assert torch.equal(each.network.weights, by_id[each.parents[0]])
    for each in drawn(tiny, "mix", 2).samples:
        assert each.embedding is None and len(set(each.parents)) == 2
    noisy = drawn(tiny, Noise(scale=0.5), 1).samples[0]
    off = (noisy.network.weights - by_id[noisy.parents[0]]) / population.deviations
    assert abs(float(off.std()) - 0.5) < 0.02, "noise in deviations of each layer"


def test_a_mean_of_reordered_copies_is_the_network_itself(tiny: Tiny) -> None:
    architecture = build("lenetlike", tiny.data.io)
    population = population_of(tiny.single_space, zoo=tiny.single_zoo)
    assert population.weights is not None
    own = population.weights[0]
    copies = torch.stack([own, *(architecture.shuffle(own, torch.Generator().manual_seed(i)) for i in range(2))])
    mean = Soup(parents=3).make(population, copies, torch.Generator())
    assert float((copies.mean(0) - own).norm()) > 10 * float((mean - own).norm())


def test_settings_reach_their_method() -> None:
    assert method_named("kde", bandwidth=0.002, accuracy=None) == Kde(0.002)
    assert method_named("flow", accuracy=0.9) == Flow(0.9)
    assert set(METHODS) == {*NAMES}, "the published fault is no command's"


def test_what_is_no_method_is_refused(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="unknown method 'kde-jiont'. Did you mean kde-joint?"):
        method_named("kde-jiont")
    with pytest.raises(ConfigError, match="unknown method 'xx'. Known: kde, kde-joint, neighbours"):
        method_named("xx")
    with pytest.raises(ConfigError, match="the method kde does not use accuracy; methods that do: flow. Leave it out."):
        method_named("kde", accuracy=0.9)
    with pytest.raises(ConfigError, match="0 networks cannot be drawn. Ask for at least one: `count=10`"):
        drawn(tiny, "kde", 0)
    with pytest.raises(ConfigError, match="invalid accuracy 90. Give a fraction: `accuracy=0.9`"):
        drawn(tiny, Flow(accuracy=90))
    with pytest.raises(ConfigError, match="a kernel density needs at least 2 embeddings"):
        drawn(tiny, "kde", top=0.3)
    with pytest.raises(ConfigError, match="the method soup needs 8 training instances; there are 3 to draw from"):
        drawn(tiny, "soup")
    with pytest.raises(ConfigError, match="cannot average 1 instances. Give two or more: `parents=8`"):
        drawn(tiny, Soup(parents=1))
    with pytest.raises(ConfigError, match="the method noise works on the weights .* no zoo was given"):
        sample(tiny.single_space, 1, "noise", Runner("cpu"), top=1.0)


def test_neighbours_are_refused_without_the_extra(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "umap" else find(name))
    with pytest.raises(ConfigError, match=r"pip install 'netspace\[umap\]'"):
        drawn(tiny, "neighbours")


def test_starts_are_taken_in_turn(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="has one starting point .*`space.starts = 10` in the recipe"):
        drawn(tiny, "starts")
    plain = tiny.single_space.model.decode

    def decode(model: SpaceModel, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        return plain(arch, embeddings) + start

    monkeypatch.setattr(type(tiny.single_space.model.backbone), "starts_of", lambda self, arch: 3)
    monkeypatch.setattr(SpaceModel, "decode", decode)
    found = drawn(tiny, "starts", 5)
    assert [each.start for each in found.samples] == [1, 2, 0, 1, 2]
    for each in found.samples:
        assert each.embedding is not None
        assert torch.equal(each.network.weights, plain("lenetlike", each.embedding[None])[0] + each.start)


def test_polishing_lowers_the_loss_and_is_the_same_alone(tiny: Tiny) -> None:
    runner, begun = Runner("cpu"), drawn(tiny, "kde", 2)
    ended = polish(begun, tiny.single_space, tiny.data, runner, steps=30)
    alone = polish(drawn(tiny, "kde", 1, first=1), tiny.single_space, tiny.data, runner, steps=30)
    assert torch.equal(alone.networks[0].weights, ended.networks[1].weights)
    labels = labels_of(tiny.data, "train")

    def loss(found: Samples) -> float:
        logits = [logits_of(n.architecture, n.weights, tiny.data, "train", runner) for n in found.networks]
        return sum(cross_entropy(each, labels) for each in logits)

    assert loss(ended) < loss(begun) and [each.polished for each in ended.samples] == [30, 30]
    assert polish(begun, tiny.single_space, tiny.data, runner, steps=0) is begun


def test_each_sample_is_polished_on_images_of_its_own(tiny: Tiny) -> None:
    begun = drawn(tiny, "kde", 2)
    alike = begun.changed(lambda each: replace(each, embedding=begun.samples[0].embedding))
    one, other = polish(alike, tiny.single_space, tiny.data, Runner("cpu"), steps=2).networks
    assert not torch.equal(one.weights, other.weights)


def test_a_low_rate_of_polishing_keeps_embeddings_near(tiny: Tiny) -> None:
    runner, begun = Runner("cpu"), drawn(tiny, "kde", 2)
    moved = []
    for lr in (None, 1e-2, 1e-4):
        ended = polish(begun, tiny.single_space, tiny.data, runner, steps=10, lr=lr)
        assert ended.embeddings is not None and begun.embeddings is not None
        moved.append(float((ended.embeddings - begun.embeddings).abs().max()))
    assert moved[0] == moved[1] > 50 * moved[2] > 0, "the space's own is .01"
    assert moved[2] < 10 * 1e-4
    with pytest.raises(ConfigError, match="cannot polish at a rate of 0. Give one above 0: `polish_lr=0.003`"):
        polish(begun, tiny.single_space, tiny.data, runner, steps=1, lr=0)
    with pytest.raises(ConfigError, match="`polish_lr=0.1` is the rate of polishing, and no steps were asked for"):
        check_polishing("kde", 0, 0.1)


def test_what_has_no_embedding_is_not_polished() -> None:
    check_polishing("kde", 5)
    check_polishing("mix", 0)
    with pytest.raises(ConfigError, match="polishing moves embeddings, but samples of the method mix have none"):
        check_polishing("mix", 5)
    with pytest.raises(ConfigError, match="cannot polish by -1 steps. Give 0 or more: `polish=100`"):
        check_polishing("kde", -1)


def test_samples_are_a_zoo_with_their_provenance(tiny: Tiny, tmp_path: Path) -> None:
    runner, space = Runner("cpu", seed=4), tiny.single_space
    found = sample(space, 2, "mix", runner, zoo=tiny.single_zoo, top=1.0)
    zoo = write_samples(tmp_path / "new", found, space, runner, data=tiny.data)
    assert [i.id for i in zoo.instances] == ["lenetlike-mix-4-0000", "lenetlike-mix-4-0001"]
    assert {state for _, state in verify(open_zoo(tmp_path / "new"))} == {"ok"}
    for instance, each in zip(zoo.instances, found.samples, strict=True):
        told = instance.training
        assert (told["method"], told["seed"], told["sample"], told["top"]) == ("mix", 4, each.index, 1.0)
        assert told["parents"] == list(each.parents) and told["space_sha256"] == space.sha256
        assert told["settings"] == {"parents": 2} and instance.split == "train" and set(instance.accuracy) >= {"val"}
        read = read_network(zoo.file_of(instance), candidates=[each.network.architecture])
        assert torch.equal(read.weights, each.network.weights)
    assert json.loads((tmp_path / "new" / "zoo.json").read_text())["sampled"]["method"] == "mix"


def test_samples_that_were_begun_go_on_to_the_same_bytes(tiny: Tiny, tmp_path: Path, stopper: type[Stopper]) -> None:
    space = tiny.single_space
    found = sample(space, 3, "mix", Runner("cpu"), zoo=tiny.single_zoo, top=1.0)
    write_samples(tmp_path / "whole", found, space, Runner("cpu"))
    with pytest.raises(KeyboardInterrupt):
        write_samples(tmp_path / "new", found, space, Runner("cpu", progress=stopper(2)))
    begun = open_zoo(tmp_path / "new")
    assert len(begun.instances) == 2
    written = begun.file_of(begun.instances[0]).stat().st_mtime_ns
    for _ in range(2):
        zoo = write_samples(tmp_path / "new", found, space, Runner("cpu"))
        assert (zoo.path / "instances.jsonl").read_bytes() == (tmp_path / "whole" / "instances.jsonl").read_bytes()
    assert begun.file_of(begun.instances[0]).stat().st_mtime_ns == written, "what is there is not written again"


def test_samples_do_not_go_among_other_things(tiny: Tiny, tmp_path: Path) -> None:
    space, runner = tiny.single_space, Runner("cpu")
    found = sample(space, 2, "mix", runner, zoo=tiny.single_zoo, top=1.0)
    write_samples(tmp_path / "new", found, space, runner)
    others = sample(space, 2, "mix", Runner("cpu", seed=1), zoo=tiny.single_zoo, top=1.0)
    with pytest.raises(ConfigError, match="has other samples, drawn with other settings"):
        write_samples(tmp_path / "new", others, space, runner)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    for folder in (tmp_path / "mine", tiny.single_zoo.path):
        with pytest.raises(ConfigError, match=r"is not empty; samples need a new folder\. Choose another folder\."):
            write_samples(folder, found, space, runner)
