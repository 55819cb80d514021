"""Decoding: checkpoints that the plain modules load, and nothing written where it should not be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import build
from netspace_models.errors import ConfigError, NotFinite, OutputExists, WrongSpace

from netspace_cli.core.encoding.decode import decode, decode_row, output_paths, starts_of, write_decoded
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.networks.network import Network, read_network, write_network
from netspace_cli.core.networks.scores import scores
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import Embeddings, Origin, embeddings_of
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.training.loop import train
from tests.worlds import Tiny


@pytest.fixture(scope="module")
def embeddings(tiny: Tiny) -> Embeddings:
    """Of one network of each architecture."""
    networks = [read_network(p, candidates=tiny.space.architectures) for p in tiny.networks.values()]
    with Runner("cpu") as runner:
        return encode(networks, tiny.space, runner)


def one_of(tiny: Tiny, *sources: str, **changes: Any) -> Embeddings:
    origins = [Origin("lenetlike", source=source, **changes) for source in sources]
    return embeddings_of(tiny.space, tiny.space.embeddings[: len(sources)], origins)


def build_all(embeddings: Embeddings, tiny: Tiny, **options: Any) -> list[Network]:
    with Runner("cpu") as runner:
        return decode(embeddings, tiny.space, runner, **options)


@pytest.mark.parametrize("arch", ["lenetlike", "vanillacnn", "resnet8"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_decoded_checkpoint_is_loaded_by_the_plain_module(
    tiny: Tiny, embeddings: Embeddings, tmp_path: Path, arch: str, suffix: str
) -> None:
    (network, *_) = build_all(embeddings, tiny, arch=arch)
    path = tmp_path / f"net{suffix}"
    write_decoded([network], [path], tiny.space, force=False)
    module = build(arch, tiny.data.io).module
    module.load_state_dict(read_checkpoint(path).state, strict=True)
    images, labels = tiny.data.batch("test", slice(None))
    with torch.no_grad():
        found = module.eval()(images)
    assert torch.allclose(found, network.architecture.run(network.weights, images), atol=1e-4)
    with Runner("cpu") as runner:
        told = scores(network.architecture, network.weights, tiny.data, runner)["test"]
    assert (found.argmax(1) == labels).double().mean().item() == pytest.approx(told)


def test_the_file_says_which_space_it_comes_from(tiny: Tiny, embeddings: Embeddings, tmp_path: Path) -> None:
    networks = build_all(embeddings, tiny)
    write_decoded(networks[:1], [tmp_path / "n.safetensors"], tiny.space, force=False)
    metadata = read_checkpoint(tmp_path / "n.safetensors").metadata
    assert metadata["netspace.space_sha256"] == tiny.space.sha256
    assert metadata["netspace.source_sha256"] == embeddings.origins[0].sha256


def test_a_network_decodes_to_the_same_bits_alone_and_in_company(tiny: Tiny, embeddings: Embeddings) -> None:
    together = build_all(embeddings, tiny)
    for i, network in enumerate(together):
        alone = replace(embeddings, vectors=embeddings.vectors[i : i + 1], origins=embeddings.origins[i : i + 1])
        assert torch.equal(build_all(alone, tiny)[0].weights, network.weights)
        assert torch.equal(decode_row(embeddings.vectors[i], tiny.space).weights, network.weights)


def test_the_architecture_is_that_of_the_network_and_the_classifier_s_on_request(tiny: Tiny) -> None:
    """As published the classifier decides; but who encodes a network wants its own module to load the answer."""
    own = tiny.space.model.recognise(tiny.space.embeddings[:1])[0].name
    others = [a.name for a in tiny.space.architectures if a.name != own]
    for arch in others:
        embeddings = embeddings_of(tiny.space, tiny.space.embeddings[:1], [Origin(arch)])
        assert build_all(embeddings, tiny)[0].architecture.name == arch
        assert build_all(embeddings, tiny, recognised=True)[0].architecture.name == own
        assert build_all(embeddings, tiny, arch=others[0])[0].architecture.name == others[0]


def test_the_layout_is_that_of_the_network_that_was_encoded(tiny: Tiny, tmp_path: Path) -> None:
    full = read_network(tiny.networks["resnet8"], candidates=tiny.space.architectures)
    write_network(tmp_path / "f.pt", Network(full.architecture, full.weights, "fused"), metadata={})
    fused = read_network(tmp_path / "f.pt", candidates=tiny.space.architectures)
    with Runner("cpu") as runner:
        found = encode([full, fused], tiny.space, runner)
    assert [n.form for n in build_all(found, tiny, arch="resnet8")] == ["full", "fused"]
    assert [n.form for n in build_all(found, tiny, arch="resnet8", form="fused")] == ["fused", "fused"]
    write_decoded(
        build_all(found, tiny, arch="resnet8"), [tmp_path / "a.pt", tmp_path / "b.pt"], tiny.space, force=False
    )
    full.architecture.module.load_state_dict(read_checkpoint(tmp_path / "a.pt").state, strict=True)
    full.architecture.fused.load_state_dict(read_checkpoint(tmp_path / "b.pt").state, strict=True)


def test_an_architecture_that_the_space_lacks_is_refused(tiny: Tiny, embeddings: Embeddings) -> None:
    with pytest.raises(WrongSpace, match="no resnet14"):
        build_all(embeddings, tiny, arch="resnet14")


def test_embeddings_of_another_space_are_refused_naming_both(tiny: Tiny, embeddings: Embeddings) -> None:
    with pytest.raises(WrongSpace) as refused, Runner("cpu") as runner:
        decode(embeddings, tiny.single_space, runner)
    assert tiny.space.sha256[:12] in refused.value.message
    assert tiny.single_space.sha256[:12] in refused.value.message


def test_an_embedding_that_decodes_to_nothing_finite_is_refused_by_its_source(tiny: Tiny) -> None:
    bad = replace(one_of(tiny, "net.pt"), vectors=torch.full((1, 64), 1e38))
    with pytest.raises(NotFinite, match=r"the embedding of net\.pt decodes to values that are not finite"):
        build_all(bad, tiny)


def test_one_embedding_goes_to_one_file_and_several_to_a_directory(tiny: Tiny, tmp_path: Path) -> None:
    one, two = one_of(tiny, "a.pt"), one_of(tiny, "a.pt", "b.pt")
    assert output_paths(tmp_path / "x.pt", one, force=False) == [tmp_path / "x.pt"]
    assert output_paths(tmp_path / "d", one, force=False) == [tmp_path / "d" / "a.pt"]
    assert output_paths(tmp_path / "d", two, force=False) == [tmp_path / "d" / "a.pt", tmp_path / "d" / "b.pt"]
    with pytest.raises(ConfigError, match="2 embeddings cannot go into one checkpoint"):
        output_paths(tmp_path / "x.pt", two, force=False)
    with pytest.raises(ConfigError, match=r"unknown checkpoint extension '\.txt'"):
        output_paths(tmp_path / "x.txt", one, force=False)
    assert list(tmp_path.iterdir()) == []  # nothing is made before there is something to write


def test_the_directory_is_made_when_the_networks_are_written(tiny: Tiny, tmp_path: Path) -> None:
    found = one_of(tiny, "a.pt", "b.pt")
    paths = output_paths(tmp_path / "d", found, force=False)
    write_decoded(build_all(found, tiny), paths, tiny.space, force=False)
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["a.pt", "b.pt"]
    with pytest.raises(OutputExists):
        output_paths(tmp_path / "d", found, force=False)
    assert output_paths(tmp_path / "d", found, force=True) == paths


def test_a_directory_that_cannot_be_made_is_refused_before_any_work(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    two = one_of(tiny, "a.pt", "b.pt")
    for force in (False, True):
        with pytest.raises(ConfigError, match="file"):
            output_paths(tmp_path / "file", two, force=force)
    with pytest.raises(ConfigError, match="there is no folder"):
        output_paths(tmp_path / "no" / "d", two, force=False)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (("x/a.pt", "y/a.pt", "b.pt"), ["a-0.pt", "a-1.pt", "b.pt"]),
        (("", "", "b.pt"), ["network-0.pt", "network-1.pt", "b.pt"]),
        (("../../etc/a.pt", "/b.pt", ".."), ["a.pt", "b.pt", "...pt"]),
        (("x/a.pt", "y/a.pt", "a-0.pt"), ["a-0-0.pt", "a-1-1.pt", "a-0-2.pt"]),
    ],
)
def test_each_network_has_a_file_of_its_own_inside_the_directory(
    tiny: Tiny, tmp_path: Path, sources: tuple[str, ...], names: list[str]
) -> None:
    paths = output_paths(tmp_path / "d", one_of(tiny, *sources), force=False)
    assert [p.name for p in paths] == names
    assert {p.parent for p in paths} == {tmp_path / "d"}


@pytest.fixture(scope="module")
def starting(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A space with three starting points."""
    table = tiny.recipe.model_dump()
    table["space"] |= {"name": "starting", "starts": 3}
    table["train"]["steps"] = 2
    with Runner("cpu") as runner:
        path = tmp_path_factory.mktemp("starts") / "s.safetensors"
        return train(tiny.single_zoo, path, recipe_from(table), tiny.data, runner)


def of_starting(space: Space, *sources: str) -> Embeddings:
    origins = [Origin("lenetlike", source=source) for source in sources]
    return embeddings_of(space, space.embeddings[: len(sources)], origins)


def test_each_member_is_of_a_start_of_its_own(starting: Space) -> None:
    embeddings = of_starting(starting, "a.pt", "b.pt")
    with Runner("cpu") as runner:
        members = decode(embeddings, starting, runner, members=3)
        apart = [decode(embeddings, starting, runner, start=k) for k in range(3)]
        assert [n.source for n in members] == ["a.pt"] * 3 + ["b.pt"] * 3
        for i, network in enumerate(members):
            assert torch.equal(network.weights, apart[i % 3][i // 3].weights)
        assert not torch.equal(members[1].weights, members[2].weights)
        plain = decode(embeddings, starting, runner)
        assert torch.equal(plain[1].weights, members[3].weights)
        assert len(decode(embeddings, starting, runner, members=1)) == 2
        assert torch.equal(decode_row(embeddings.vectors[0], starting, start=2).weights, members[2].weights)


@pytest.mark.parametrize("members", [0, 4, 10])
def test_more_members_than_starts_are_refused_with_both_numbers(starting: Space, members: int) -> None:
    words = f"space 'starting' decodes to 3 lenetlike networks, one from each starting point; {members} were asked for"
    with Runner("cpu") as runner, pytest.raises(ConfigError, match=words) as refused:
        decode(of_starting(starting, "a.pt"), starting, runner, members=members)
    assert "`members=3` or less" in refused.value.hint and "`space.starts = 10` in the recipe" in refused.value.hint


def test_a_space_of_one_start_has_one_member(tiny: Tiny) -> None:
    assert len(build_all(one_of(tiny, "a.pt"), tiny, members=1)) == 1
    with pytest.raises(ConfigError, match="decodes to 1 lenetlike network, one from each starting point; 2 were"):
        build_all(one_of(tiny, "a.pt"), tiny, members=2)
    with pytest.raises(ConfigError, match="there is no start 1: this space has one starting point"):
        build_all(one_of(tiny, "a.pt"), tiny, start=1)


def test_members_begin_at_start_0(starting: Space) -> None:
    with (
        Runner("cpu") as runner,
        pytest.raises(ConfigError, match="`members=2` begins at start 0; it cannot be combined with `start=1`"),
    ):
        decode(of_starting(starting, "a.pt"), starting, runner, start=1, members=2)


def test_files_of_members_are_named_by_embedding_and_start(starting: Space, tmp_path: Path) -> None:
    one, two = of_starting(starting, "a.pt"), of_starting(starting, "a.pt", "b.pt")
    found = [p.name for p in output_paths(tmp_path / "d", two, force=False, members=2)]
    assert found == ["a-start-0.pt", "a-start-1.pt", "b-start-0.pt", "b-start-1.pt"]
    assert output_paths(tmp_path / "x.pt", one, force=False, members=1) == [tmp_path / "x.pt"]
    with pytest.raises(ConfigError, match="3 networks of an embedding cannot go into one checkpoint"):
        output_paths(tmp_path / "x.pt", one, force=False, members=3)


def test_the_file_says_which_start_it_is_of(tiny: Tiny, starting: Space, tmp_path: Path) -> None:
    embeddings = of_starting(starting, "a.pt", "b.pt")
    with Runner("cpu") as runner:
        networks = decode(embeddings, starting, runner, members=2)
    paths = [tmp_path / f"{i}.safetensors" for i in range(4)]
    write_decoded(networks, paths, starting, force=False, starts=starts_of(starting, ["lenetlike"], members=2))
    assert [read_checkpoint(p).metadata["netspace.start"] for p in paths] == ["0", "1", "0", "1"]
    write_decoded(build_all(one_of(tiny, "a"), tiny), paths[:1], tiny.space, force=True)
    assert "netspace.start" not in read_checkpoint(paths[0]).metadata
