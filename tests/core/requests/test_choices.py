"""What a command works on: the space, the images and the inputs, chosen where they are not named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.errors import (
    ConfigError,
    DataUnavailable,
    InputFileError,
    NetspaceError,
    UnknownArchitecture,
    WrongSpace,
)

from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.encoding.refine import check_refining
from netspace_cli.core.evaluation.same_data import check_zoo_images
from netspace_cli.core.files.checkpoint import read_checkpoint, write_checkpoint
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.requests import choose_space as space_choice
from netspace_cli.core.requests.choose_data import choose_data, require_data
from netspace_cli.core.requests.choose_space import choose_space, choose_space_of_zoo
from netspace_cli.core.requests.inputs import load_one_embedding, read_inputs, read_networks, read_teacher
from netspace_cli.core.requests.reader import CheckpointReader
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces import built_in as spaces
from netspace_cli.core.spaces.built_in import BuiltIn
from netspace_cli.core.spaces.embeddings import Origin, embeddings_of, save_embeddings
from netspace_cli.core.spaces.space import Space, save_space
from tests.worlds import Tiny


@pytest.fixture
def shelf(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built in are `one` (lenetlike alone) and `three`."""
    (tmp_path / "shelf").mkdir()
    save_space(tmp_path / "shelf" / "one.safetensors", tiny.single_space)
    save_space(tmp_path / "shelf" / "three.safetensors", tiny.space)
    monkeypatch.setattr(spaces, "BUILT_IN", tmp_path / "shelf")


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    """A network for other images than those of the tiny spaces."""
    write_checkpoint(tmp_path / "cifar.pt", build("lenetlike", ImageIO(3, 32, 10)).module.state_dict())
    return tmp_path / "cifar.pt"


def emb(tiny: Tiny, path: Path, count: int = 1, space: Space | None = None) -> Path:
    space = space or tiny.space
    save_embeddings(path, embeddings_of(space, space.embeddings[:count], [Origin("lenetlike")] * count))
    return path


def test_a_space_named_is_that_space(tiny: Tiny) -> None:
    assert choose_space(tiny.space.path, []).sha256 == tiny.space.sha256
    assert choose_space_of_zoo(tiny.space.path, tiny.zoo).sha256 == tiny.space.sha256


@pytest.mark.usefixtures("shelf")
def test_the_built_in_space_that_knows_every_input_is_chosen(tiny: Tiny, tmp_path: Path) -> None:
    lenet, resnet = tiny.networks["lenetlike"], tiny.networks["resnet8"]
    assert choose_space(None, [lenet]).sha256 == tiny.single_space.sha256
    assert choose_space(None, [lenet, resnet]).sha256 == tiny.space.sha256
    assert choose_space(None, [emb(tiny, tmp_path / "a.emb"), lenet]).sha256 == tiny.space.sha256
    assert choose_space_of_zoo(None, tiny.single_zoo).sha256 == tiny.single_space.sha256
    assert choose_space_of_zoo(None, tiny.zoo).sha256 == tiny.space.sha256


@pytest.mark.usefixtures("shelf")
def test_an_input_that_no_built_in_space_knows_is_named(tiny: Tiny, tmp_path: Path, cifar: Path) -> None:
    with pytest.raises(WrongSpace, match=r"cifar\.pt: no built-in space \(.*\) has .*lenetlike for 3x32x32"):
        choose_space(None, [tiny.networks["lenetlike"], cifar])
    foreign = replace(tiny.space, sha256="f" * 64)
    with pytest.raises(WrongSpace, match=r"a\.emb: .*they belong to space 'tiny' \(ffffffffffff\)"):
        choose_space(None, [emb(tiny, tmp_path / "a.emb", space=foreign)])
    with pytest.raises(WrongSpace, match="no built-in space has all of resnet14"):
        choose_space_of_zoo(None, replace(tiny.zoo, instances=(replace(tiny.zoo.instances[0], arch="resnet14"),)))


@pytest.mark.usefixtures("shelf")
def test_an_architecture_that_is_not_known_may_be_that_of_a_space(tiny: Tiny, tmp_path: Path) -> None:
    torch.save({"a.weight": torch.randn(3, 5), "a.bias": torch.randn(3)}, tmp_path / "own.pt")
    with pytest.raises(UnknownArchitecture) as refused:
        choose_space(None, [tmp_path / "own.pt"])
    assert "name its factory" in refused.value.hint
    assert refused.value.hint.endswith("Or name a space that has it: `space=load_space(PATH)`.")


@pytest.mark.usefixtures("shelf")
def test_embeddings_of_two_spaces_are_refused_with_both(tiny: Tiny, tmp_path: Path) -> None:
    a, b = emb(tiny, tmp_path / "a.emb", space=tiny.single_space), emb(tiny, tmp_path / "b.emb")
    one, three = tiny.single_space.sha256[:12], tiny.space.sha256[:12]
    with pytest.raises(WrongSpace) as refused:
        choose_space(None, [a, b])
    assert f"a.emb is an embedding of space '{tiny.single_space.name}' ({one})" in refused.value.message
    assert f"b.emb one of space '{tiny.space.name}' ({three})" in refused.value.message
    assert "`encode(..., space=NAME)`" in refused.value.hint


@pytest.mark.usefixtures("shelf")
def test_a_network_beside_an_embedding_whose_space_lacks_it_is_not_sent_to_another_space(
    tiny: Tiny, tmp_path: Path, cifar: Path
) -> None:
    a = emb(tiny, tmp_path / "a.emb", space=tiny.single_space)
    for other in (tiny.networks["resnet8"], cifar):
        with pytest.raises(
            WrongSpace, match=rf"{other.name}: a .*a\.emb is an embedding of that space\. Encode"
        ) as refused:
            choose_space(None, [other, a])
        assert refused.value.hint.startswith("Encode both networks in one space")


@pytest.mark.usefixtures("shelf")
def test_networks_that_each_have_a_space_but_none_together_are_told_apart(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = [
        BuiltIn("one", lambda: tiny.single_space.architectures, 1),
        BuiltIn("three", lambda: tiny.space.architectures[1:], 1),
    ]
    monkeypatch.setattr(space_choice, "built_in_by_starts", lambda: apart)
    with pytest.raises(WrongSpace, match=r"lenetlike\S+ belongs in one; \S+resnet8\S+ belongs in three\. Train one"):
        choose_space(None, [tiny.networks["lenetlike"], tiny.networks["resnet8"]])


@pytest.mark.usefixtures("shelf")
def test_networks_for_different_inputs_are_never_of_one_space(
    tiny: Tiny, cifar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = (build("lenetlike", ImageIO(3, 32, 10)),)
    apart = [BuiltIn("one", lambda: tiny.single_space.architectures, 1), BuiltIn("three", lambda: colours, 1)]
    monkeypatch.setattr(space_choice, "built_in_by_starts", lambda: apart)
    with pytest.raises(WrongSpace) as refused:
        choose_space(None, [tiny.networks["lenetlike"], cifar])
    assert refused.value.hint.startswith("Give networks of one space: these are for ")
    assert "1x8x8, 3 classes" in refused.value.hint and "3x32x32, 10 classes" in refused.value.hint


@pytest.mark.usefixtures("shelf")
def test_only_the_space_that_is_chosen_is_opened(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(space_choice, "load_space", opened.append)
    choose_space(None, [tiny.networks["resnet8"]])
    choose_space(None, [emb(tiny, tmp_path / "a.emb")])
    choose_space_of_zoo(None, tiny.zoo)
    assert opened == ["three"] * 3


def test_without_any_space_it_says_so(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "BUILT_IN", tmp_path)
    with pytest.raises(ConfigError, match="none is built in") as refused:
        choose_space(None, [tiny.networks["lenetlike"]])
    assert "`space=load_space(PATH)`" in refused.value.hint
    with pytest.raises(WrongSpace, match="no built-in space"):
        choose_space_of_zoo(None, tiny.zoo)


def test_the_spaces_own_images_are_used_where_they_are_at_hand(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_data(tiny.space, None) is None
    with pytest.raises(DataUnavailable, match=r"the images of npz:tiny\.npz, which space 'tiny'"):
        require_data(None, tiny.space)
    named = choose_data(tiny.space, str(tiny.npz))
    assert named is not None
    assert named.record() == tiny.data.record()
    assert require_data(named, tiny.space) is named


def test_images_that_are_not_the_spaces_are_refused_with_both(tiny: Tiny) -> None:
    differ = r"space 'tiny' is for 1x8x8, 3 classes; digits, brought to that size, has 1x8x8, 10 classes"
    with pytest.raises(ConfigError, match=differ):
        choose_data(tiny.space, "digits")
    with pytest.raises(NetspaceError):
        choose_data(tiny.space, "no-such-data")


OTHER_IMAGES = {
    "io": ({"channels": 1, "size": 8, "classes": 4}, "inputs or outputs"),
    "mean": ([0.1], "mean"),
    "std": ([0.1], "std"),
    "splits": (
        {"train": {"n": 5, "sha256": "a"}, "val": {"n": 24, "sha256": "b"}, "test": {"n": 30, "sha256": "c"}},
        "train images, val images, test images",
    ),
}


@pytest.mark.parametrize("what", list(OTHER_IMAGES))
def test_a_zoo_of_other_images_is_refused_with_both(tiny: Tiny, what: str) -> None:
    check_zoo_images(tiny.zoo, tiny.space)
    value, named = OTHER_IMAGES[what]
    other = replace(tiny.zoo, data={**tiny.zoo.data, "name": "npz:other.npz", what: value})
    with pytest.raises(WrongSpace) as refused:
        check_zoo_images(other, tiny.space)
    said = refused.value.message
    classes, train = 4 if what == "io" else 3, 5 if what == "splits" else 60
    assert f"of npz:other.npz (1x8x8, {classes} classes; {train} train, 24 val, 30 test images)" in said
    assert "space 'tiny' is of npz:tiny.npz (1x8x8, 3 classes; 60 train, 24 val, 30 test images)" in said
    assert said.endswith(f"They differ in: {named}.")
    assert "`space`" in refused.value.hint


def test_the_same_images_under_another_name_or_without_a_record_will_do(tiny: Tiny) -> None:
    check_zoo_images(replace(tiny.zoo, data={**tiny.zoo.data, "name": "folder:elsewhere"}), tiny.space)
    unknown: list[object] = [{}, None, "none"]
    for splits in unknown:
        check_zoo_images(replace(tiny.zoo, data={**tiny.zoo.data, "splits": splits}), tiny.space)


def test_refining_without_images_is_refused(tiny: Tiny) -> None:
    check_refining(tiny.space, None, 0)
    check_refining(tiny.space, tiny.data, 3)
    with pytest.raises(DataUnavailable, match=r"refining needs images, and those of space 'tiny' \(npz:tiny\.npz\)"):
        check_refining(tiny.space, None, 3)


def test_networks_are_read_in_order(tiny: Tiny) -> None:
    paths = list(tiny.networks.values())
    found = read_networks([*paths, paths[0]], tiny.space)
    assert [n.source for n in found] == [str(p) for p in (*paths, paths[0])]
    assert all(n.architecture in tiny.space.architectures for n in found)


def test_a_network_of_another_architecture_or_for_other_images_is_refused(tiny: Tiny, cifar: Path) -> None:
    with pytest.raises(WrongSpace, match=r"resnet14.*space 'tiny' has lenetlike, vanillacnn, resnet8"):
        read_networks([tiny.teacher], tiny.space)
    with pytest.raises(WrongSpace, match=r"cifar\.pt: a lenetlike for 3x32x32, 10 classes; .* for 1x8x8, 3 classes"):
        read_networks([cifar], tiny.space)


def test_checkpoints_and_embeddings_are_taken_alike_and_in_order(tiny: Tiny, tmp_path: Path) -> None:
    lenet, resnet, file = tiny.networks["lenetlike"], tiny.networks["resnet8"], emb(tiny, tmp_path / "a.emb")
    with Runner("cpu") as runner:
        found = read_inputs([resnet, file, lenet], tiny.space, runner, data=None)
        networks = [read_network(p, candidates=tiny.space.architectures) for p in (resnet, lenet)]
        wanted = encode(networks, tiny.space, runner).vectors
    assert [i.path for i in found] == [resnet, file, lenet]
    assert torch.equal(found[0].embedding, wanted[0])
    assert torch.equal(found[1].embedding, tiny.space.embeddings[0])
    assert torch.equal(found[2].embedding, wanted[1])
    assert [i.network is None for i in found] == [False, True, False]
    assert [i.origin.how for i in found] == ["encoded"] * 3


@pytest.mark.parametrize("suffix", [".pt", ".emb"])
def test_one_input_twice_is_two_inputs(tiny: Tiny, tmp_path: Path, suffix: str) -> None:
    path = tiny.networks["lenetlike"] if suffix == ".pt" else emb(tiny, tmp_path / "a.emb")
    with Runner("cpu") as runner:
        a, b = read_inputs([path, path], tiny.space, runner, data=None)
    assert torch.equal(a.embedding, b.embedding)


def test_checkpoints_are_refined_as_the_space_records_unless_told_otherwise(tiny: Tiny) -> None:
    path = tiny.networks["lenetlike"]
    with Runner("cpu") as runner:
        (usual,) = read_inputs([path], tiny.space, runner, data=tiny.data)
        (none,) = read_inputs([path], tiny.space, runner, data=tiny.data, refine_steps=0)
        (more,) = read_inputs([path], tiny.space, runner, data=tiny.data, refine_steps=3)
        with pytest.raises(DataUnavailable, match="refining needs images"):
            read_inputs([path], tiny.space, runner, data=None, refine_steps=3)
    assert [(i.origin.how, i.origin.steps) for i in (usual, none, more)] == [
        ("refined", 2),
        ("encoded", 0),
        ("refined", 3),
    ]


def test_an_embedding_file_of_several_or_of_another_space_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"two\.emb: it holds 2 embeddings, one is needed"):
        load_one_embedding(emb(tiny, tmp_path / "two.emb", 2), tiny.space)
    path = emb(tiny, tmp_path / "one.emb")
    assert len(load_one_embedding(path, tiny.space).vectors) == 1
    with pytest.raises(WrongSpace, match=tiny.single_space.sha256[:12]), Runner("cpu") as runner:
        read_inputs([path], tiny.single_space, runner, data=None)


def test_a_teacher_may_be_of_any_architecture_for_the_same_images(tiny: Tiny, cifar: Path) -> None:
    teacher = read_teacher(tiny.teacher, tiny.space.io)
    assert (teacher.architecture.name, teacher.architecture.io) == ("resnet14", tiny.space.io)
    assert read_teacher(tiny.teacher, tiny.space.io, arch="resnet14").architecture.name == "resnet14"
    differ = r"cifar\.pt is for 3x32x32, 10 classes; these images are 1x8x8, 3 classes\."
    with pytest.raises(ConfigError, match=differ):
        read_teacher(cifar, tiny.space.io)


@pytest.mark.usefixtures("shelf")
def test_a_space_that_lacks_a_network_points_to_the_built_in_one_that_has_it(tiny: Tiny) -> None:
    with pytest.raises(WrongSpace) as refused:
        read_networks([tiny.networks["resnet8"]], tiny.single_space)
    assert refused.value.hint == 'The built-in space three has it: `space=load_space("three")`.'


def test_a_factory_is_an_architecture_like_any_other(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A space of a network that only its own module knows: trained, written, opened, used."""
    (tmp_path / "own_factories.py").write_text(
        "from torch import nn\ndef make(io):\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from netspace_cli.core.encoding.decode import decode
    from netspace_cli.core.networks.trust import trusting
    from netspace_cli.core.spaces.space import load_space
    from netspace_cli.core.training.loop import train
    from netspace_cli.core.zoos.plan import ZooPlan
    from netspace_cli.core.zoos.train import train_zoo

    name, path = "own_factories:make", tmp_path / "s.safetensors"
    with trusting(name), Runner("cpu") as runner:
        zoo = train_zoo(tmp_path / "zoo", ZooPlan((name,), (2, 1, 1), (1, 1), batch=20), tiny.data, runner)
        table = tiny.recipe.model_dump()
        table["train"]["steps"] = 2
        train(zoo, path, type(tiny.recipe).model_validate(table), tiny.data, runner)
        space = load_space(path)
        file = zoo.file_of(zoo.select(split="test")[0])
        for arch in (None, name):
            (given,) = read_inputs([file], space, runner, data=tiny.data, reader=CheckpointReader(arch))
            found = embeddings_of(space, given.embedding[None], [given.origin])
            (network,) = decode(found, space, runner)
            state = network.architecture.to_state(network.weights, given.origin.form)
            assert set(state) == set(read_checkpoint(file).state)
            network.architecture.module.load_state_dict(state, strict=True)
