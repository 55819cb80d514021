"""Lists of networks: the published form becomes a zoo; what is wrong with a line is said with its number."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from netspace_models.errors import ConfigError, InputFileError

from netspace_cli.core.files.checkpoint import read_checkpoint, write_checkpoint
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos.adopt import Adopted, IndexPlan, index_folder
from netspace_cli.core.zoos.lists import read_lists, split_named
from tests.worlds import Tiny

Lister = Callable[..., Path]


def index(folder: Path, tiny: Tiny, *lists: Path, force: bool = False, **planned: Any) -> Adopted:
    with Runner("cpu") as runner:
        return index_folder(folder, tiny.data, runner, IndexPlan(lists=lists, **planned), force=force)


@pytest.fixture
def nets(tiny: Tiny, tmp_path: Path) -> Path:
    """Networks in folders as the published code has them: lenet/0.pt, lenet/1.pt, vanillacnn/0.pt, resnet8/0.pt."""
    root = tmp_path / "nets"
    for name, arch in (("lenet", "lenetlike"), ("vanillacnn", "vanillacnn"), ("resnet8", "resnet8")):
        (root / name).mkdir(parents=True)
        write_checkpoint(root / name / "0.pt", read_checkpoint(tiny.networks[arch]).state)
    other = tiny.single_zoo.file_of(tiny.single_zoo.instances[0])
    write_checkpoint(root / "lenet" / "1.pt", read_checkpoint(other).state)
    return root


@pytest.fixture
def listed(tmp_path: Path) -> Lister:
    """Write a list of lines beside the networks' folder."""

    def write(name: str, *lines: str) -> Path:
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
        return tmp_path / name

    return write


PLACE = "models/ckpts/cifar10/multi"


def test_the_published_form_becomes_a_zoo(tiny: Tiny, nets: Path, listed: Lister) -> None:
    lists = [
        listed("train.txt", f"lenetlike;d0;scifar10;{PLACE}/lenet/0.pt", f"vanilla_cnn;d1;{PLACE}/vanillacnn/0.pt", ""),
        listed("val.txt", f"lenetlike;d0;scifar10;/home/somebody/{PLACE}/lenet/1.pt"),
        listed("test.txt", f"resnet_fusedbn;d2;d8;scifar10;{PLACE}/resnet8/0.pt"),
    ]
    adopted = index(nets, tiny, *lists)
    assert [(i.id, i.arch, i.split) for i in adopted.zoo.instances] == [
        ("lenet/0", "lenetlike", "train"),
        ("vanillacnn/0", "vanillacnn", "train"),
        ("lenet/1", "lenetlike", "val"),
        ("resnet8/0", "resnet8", "test"),
    ]
    assert adopted.refused == ()
    assert all(adopted.zoo.network(i, a) for a in adopted.zoo.architectures() for i in adopted.zoo.select(arch=a.name))
    assert "lenetlike: 2 instances are too few for train, val and test; none is in test." in adopted.notes


def test_a_list_that_names_no_split_leaves_it_to_be_drawn(tiny: Tiny, nets: Path, listed: Lister) -> None:
    file = listed("all.txt", "lenetlike;0.71;nets/lenet/0.pt", "lenetlike;0.64;nets/lenet/1.pt")
    adopted = index(nets, tiny, file, listed("test.txt", "resnet8;nets/resnet8/0.pt"), shares=(1, 1, 0))
    found = {i.id: i.split for i in adopted.zoo.instances}
    assert found.pop("resnet8/0") == "test"
    assert sorted(found.values()) == ["train", "val"]
    assert "all.txt names no split: it is drawn at random." in adopted.notes


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.txt", "train"),
        ("cifar10-Train.txt", "train"),
        ("validation_list.csv", "val"),
        ("nets.test", None),
        ("test.lst", "test"),
        ("trainval.txt", None),
        ("train-val.txt", None),
        ("latest.txt", None),
    ],
)
def test_the_split_is_in_the_list_s_name(name: str, split: str | None) -> None:
    assert split_named(Path("test") / name) == split


def test_paths_lead_from_the_list_from_the_folder_or_by_their_last_parts(nets: Path, listed: Lister) -> None:
    paths = ["nets/lenet/0.pt", "lenet/1.pt", str(nets / "vanillacnn" / "0.pt"), "../elsewhere/resnet8/0.pt"]
    entries = read_lists([listed("train.txt", *(f"lenetlike;{path}" for path in paths))], nets)
    assert [e.path for e in entries] == [
        nets / p for p in ("lenet/0.pt", "lenet/1.pt", "vanillacnn/0.pt", "resnet8/0.pt")
    ]
    assert [e.line for e in entries] == [f"train.txt, line {n}" for n in range(1, 5)]
    assert not any(e.problem for e in entries)


def test_as_many_last_parts_as_possible_count(nets: Path, listed: Lister) -> None:
    (nets / "0.pt").touch()
    (entry,) = read_lists([listed("train.txt", "lenetlike;/far/away/lenet/0.pt")], nets)
    assert entry.path == nets / "lenet" / "0.pt"


def test_files_that_are_not_there_or_elsewhere_are_left_out_by_line(tiny: Tiny, nets: Path, listed: Lister) -> None:
    outside = nets.parent / "other.pt"
    shutil.copy(nets / "lenet" / "1.pt", outside)
    lines = ["lenetlike;lenet/0.pt", "lenetlike;/far/lenet/7.pt", f"lenetlike;{outside}", "lenetlike;x\0.pt"]
    adopted = index(nets, tiny, listed("train.txt", *lines))
    assert [i.id for i in adopted.added] == ["lenet/0"]
    gone, elsewhere, impossible = adopted.refused
    missing = f"no such file, and no file below {nets} matches the last parts of this path."
    assert (gone.path, gone.reason) == (Path("/far/lenet/7.pt"), f"{missing} (train.txt, line 2)")
    assert elsewhere.reason == f"it is outside {nets}; a zoo's files must be in its folder. (train.txt, line 3)"
    assert impossible.reason == f"{missing} (train.txt, line 4)"


def test_two_paths_that_lead_to_one_file_by_their_last_parts_are_refused(nets: Path, listed: Lister) -> None:
    file = listed("train.txt", "lenetlike;/a/run1/lenet/0.pt", "lenetlike;/a/run2/lenet/0.pt")
    with pytest.raises(InputFileError, match=r"train\.txt: line 2: /a/run2/lenet/0\.pt and /a/run1/lenet/0\.pt") as bad:
        read_lists([file], nets)
    assert bad.value.message.endswith(f"(train.txt, line 1) are different files, but both lead to {nets}/lenet/0.pt.")
    assert "parent folder" in bad.value.hint


def test_a_file_in_two_lists_is_taken_once(tiny: Tiny, nets: Path, listed: Lister) -> None:
    train = listed("train.txt", "lenetlike;nets/lenet/0.pt")
    test = listed("test.txt", "lenetlike;nets/lenet/0.pt", "lenetlike;./nets/lenet/0.pt", "lenetlike;nets/lenet/1.pt")
    shutil.copy(nets / "lenet" / "0.pt", nets / "lenet" / "1.pt")
    adopted = index(nets, tiny, train, test)
    assert [(i.id, i.split) for i in adopted.added] == [("lenet/0", "train")]
    assert [left.reason for left in adopted.refused] == [
        "named before (train.txt, line 1). (test.txt, line 1)",
        "named before (train.txt, line 1). (test.txt, line 2)",
        f"the same file as {nets / 'lenet' / '0.pt'}. (test.txt, line 3)",
    ]


def test_a_network_of_another_class_than_the_list_s_is_left_out(tiny: Tiny, nets: Path, listed: Lister) -> None:
    lines = ["vanilla_cnn;d1;nets/lenet/0.pt", "resnet_fusedbn;d3;d32;nets/resnet8/0.pt", "lenetlike;nets/lenet/1.pt"]
    adopted = index(nets, tiny, listed("train.txt", *lines))
    assert [i.id for i in adopted.added] == ["lenet/1"]
    assert [left.reason for left in adopted.refused] == [
        "it is a lenetlike, the list says vanillacnn. (train.txt, line 1)",
        "it is a resnet8, the list says resnet32. (train.txt, line 2)",
    ]


@pytest.mark.parametrize(
    ("line", "words", "hint"),
    [
        (
            "nets/lenet/0.pt",
            "'nets/lenet/0.pt' is not a network; a line has class_name;parameter;…;path.",
            "like resnet_",
        ),
        ("lenetlike;d0;", "is not a network", "like resnet_fusedbn;d2;d8;scifar10;resnet8/43.pt."),
        (";d0;a.pt", "is not a network", "like resnet_"),
        ("alexnet;d0;a.pt", "unknown architecture 'alexnet'.", "Known: lenetlike, vanilla_cnn, resnet_fusedbn"),
        ("resnet9;a.pt", "resnet9 does not exist: the depth must be 6n + 2.", "Known: "),
        ("resnet_fusedbn;d2;d9;a.pt", "resnet9 does not exist", "Known: "),
        ("resnet_fusedbn;d2;scifar10;a.pt", "resnet_fusedbn comes without its depth", "its ClassId and depth follow"),
        ("os:system;a.pt", "unknown architecture 'os:system'.", "Known: "),
    ],
)
def test_a_line_that_is_no_network_is_named(
    tiny: Tiny, nets: Path, listed: Lister, line: str, words: str, hint: str
) -> None:
    file = listed("train.txt", "lenetlike;nets/lenet/0.pt", "", line)
    with pytest.raises(InputFileError) as bad:
        index(nets, tiny, file)
    assert bad.value.message.startswith(f"{file}: line 3: ") and words in bad.value.message
    assert hint in bad.value.hint
    assert not (nets / "zoo.json").exists()


def test_what_is_no_list_is_told(nets: Path, listed: Lister) -> None:
    with pytest.raises(InputFileError, match="a list of networks must be text, and this is not"):
        read_lists([nets / "lenet" / "0.pt"], nets)
    with pytest.raises(InputFileError, match="the list is empty"):
        read_lists([listed("train.txt", "", "  ")], nets)
    with pytest.raises(InputFileError, match="no such file"):
        read_lists([nets / "missing.txt"], nets)


def test_what_is_indexed_with_another_split_is_told(tiny: Tiny, nets: Path, listed: Lister) -> None:
    index(nets, tiny, listed("train.txt", "lenetlike;nets/lenet/0.pt", "lenetlike;nets/lenet/1.pt"))
    test = listed("test.txt", "lenetlike;nets/lenet/1.pt")
    again = index(nets, tiny, test, listed("train.txt", "lenetlike;nets/lenet/0.pt"))
    said = "it is in the zoo already, in train. `force=True` indexes again from scratch. (test.txt, line 1)"
    assert [left.reason for left in again.refused] == [said]
    assert (again.added, again.already) == ((), 2)
    anew = index(nets, tiny, test, force=True)
    assert [(i.id, i.split) for i in anew.zoo.instances] == [("lenet/1", "test")]


def test_a_list_and_an_architecture_are_one_too_many(tiny: Tiny, nets: Path, listed: Lister) -> None:
    with pytest.raises(ConfigError, match='`arch="resnet8"` cannot be combined with a list'):
        index(nets, tiny, listed("train.txt", "lenetlike;nets/lenet/0.pt"), arch="resnet8")


def test_lists_that_name_nothing_that_is_there_make_no_zoo(tiny: Tiny, nets: Path, listed: Lister) -> None:
    with pytest.raises(ConfigError, match="none of 2 checkpoint files could be adopted") as refused:
        index(nets, tiny, listed("train.txt", "lenetlike;a.pt", "lenetlike;b.pt"))
    assert "The first, a.pt: no such file" in refused.value.hint
