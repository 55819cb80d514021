"""`netspace merge`: files, folders and zoos to one network, a table of every way, and words for what cannot be."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netspace_models.architectures import build
from torch import Tensor

from netspace_cli.commands import merge_remarks
from netspace_cli.commands.merge_remarks import compared_with_members, is_by_chance, remarks, who_teaches
from netspace_cli.core.merging import merge as merging
from netspace_cli.core.merging import own_space, panel
from netspace_cli.core.merging.lessons import Lessons
from netspace_cli.core.merging.merge import Merged
from netspace_cli.core.merging.own_space import OwnSpace
from netspace_cli.core.merging.plan import MergePlan
from netspace_cli.core.merging.students import Student
from netspace_cli.core.networks.network import read_network, write_network
from netspace_cli.core.requests import merge as merge_request
from netspace_cli.core.requests.merge import MergeRequest, MergeTask
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos import normalisation_hint
from netspace_cli.core.zoos.zoo import Zoo
from netspace_cli.terminal.formats import percent
from tests.worlds import Ask, Cli, Refused, Rows, Solids, Tiny

ROOT = Path(__file__).resolve().parents[2]
FEW = ("--steps", 2, "--images", 8)
OWN = """
from torch import nn

def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3))
"""


@pytest.fixture
def files(tiny: Tiny) -> list[Path]:
    """Three lenetlike checkpoints."""
    return [tiny.single_zoo.file_of(i) for i in tiny.single_zoo.instances[:3]]


@pytest.fixture
def plain_images(tiny: Tiny, tmp_path: Path) -> Path:
    """The tiny images without labels, and without a split of them."""
    path = tmp_path / "plain.npz"
    with np.load(tiny.npz) as arrays:
        np.savez(path, train_images=np.concatenate([arrays["train_images"], arrays["test_images"]]))
    return path


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_writes_the_best_so_far(
    tiny: Tiny, files: list[Path], work: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, order: signal.Signals
) -> None:
    def step(own: Lessons, student: Student, number: int) -> Tensor:
        signal.raise_signal(order)
        return loss(own, student, number)

    loss = Lessons.loss
    monkeypatch.setattr(Lessons, "loss", step)
    found = cli("merge", *files, "--data", tiny.npz, "-o", "one.pt", *FEW)
    assert found.exit_code == 128 + order and found.stdout.startswith("way\tsteps")
    assert "merging was stopped before its end; the best so far, " in found.stderr and "is in one.pt" in found.stderr
    assert "Stopping after this step" in found.stderr and "Traceback" not in found.stderr
    assert "the work was stopped before" in found.stderr and "may keep more" not in found.stderr
    assert read_network("one.pt", io=tiny.data.io).architecture.name == "lenetlike"
    told = cli("merge", *files, "--data", tiny.npz, "--json", *FEW)
    document = json.loads(told.stdout)
    assert told.exit_code == 128 + order and "was not written" in document["error"]["message"]
    assert document["schema"] == 1 and document["method"] in {row["way"] for row in document["ways"] if row["chosen"]}
    assert max(row["steps"] for row in document["ways"]) == 1 and len(document["members"]) == len(files)


def test_files_become_one_network(tiny: Tiny, files: list[Path], work: Path, ask: Ask) -> None:
    found = ask("merge", *files, "--data", tiny.npz, "-o", "one.pt", *FEW)
    assert [m["path"] for m in found["members"]] == [str(f) for f in files]
    ways = {row["way"]: row for row in found["ways"]}
    assert {"best", "mean", "aligned-mean", "ensemble", "from-fresh", "from-best", "from-mean"} <= set(ways)
    assert found["report"]["seconds_by_way"].keys() == ways.keys()
    (chosen,) = (row for row in found["ways"] if row["chosen"])
    assert chosen["way"] == found["method"] != "ensemble"
    one = read_network("one.pt", io=tiny.data.io)
    architecture = build("lenetlike", tiny.data.io)
    assert one.architecture.name == "lenetlike"
    architecture.module.load_state_dict(torch.load("one.pt", weights_only=True))
    again = ask("merge", *files, "--data", tiny.npz, "-o", "two.pt", *FEW)
    assert Path("two.pt").read_bytes() == Path("one.pt").read_bytes() and again["ways"] == found["ways"]


def test_a_row_for_each_way(tiny: Tiny, files: list[Path], work: Path, rows: Rows, cli: Cli) -> None:
    table = rows("merge", *files, "--data", tiny.npz, "--method", "from-best", *FEW)
    assert [row["way"] for row in table if not row["way"].startswith("chosen ")] == ["best", "ensemble", "from-best"]
    assert [row["about"].startswith("chosen") for row in table] == [False] * (len(table) - 1) + [True]
    assert list(work.iterdir()) == []
    told = cli("merge", *files, "--data", tiny.npz, *FEW).stderr
    assert "Left out refreshed-mean: lenetlike has no batch norms." in told
    assert "The network was not written: -o keeps it." in told


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ((0.5, 0.6, 0.575), "mean: 75.0 % of what the ensemble gains over the best member."),
        ((0.5, 0.6, 0.547), "mean: 47.0 % of what the ensemble gains over the best member."),
        ((0.5, 0.6, 0.49), "mean: 49.0 % on the test split, less than the best member (50.0 %)."),
        (
            (0.5, 0.4, 0.45),
            "On the test split the ensemble has 40.0 %, less than the best member (50.0 %); mean has 45.0 %.",
        ),
        (
            (0.5, 0.5, 0.5),
            "On the test split the ensemble has 50.0 %, as much as the best member (50.0 %); mean has 50.0 %.",
        ),
        (
            (0.5, 0.49998, 0.45),
            "On the test split the ensemble has 50.0 %, about as much as the best member (50.0 %); mean has 45.0 %.",
        ),
        ((0.5, 0.6, 0.49998), "mean: 50.0 % on the test split, about as much as the best member (50.0 %)."),
        (
            (0.5, 0.501, 0.7),
            "mean: 70.0 % on the test split, more than the ensemble (50.1 %); the best member has 50.0 %.",
        ),
        ((None, None, None), None),
    ],
)
def test_the_result_is_compared_with_the_best_member_and_the_ensemble(
    scores: tuple[float | None, float | None, float | None], told: str | None
) -> None:
    assert compared_with_members("mean", *scores, show=percent) == told
    most = "member that agrees most"
    found = compared_with_members("mean", *scores, show=percent, best_member=most, ensemble_of="ensemble of all")
    assert found == (told and told.replace("best member", most).replace("ensemble", "ensemble of all"))


@pytest.fixture(scope="module")
def merged(tiny: Tiny) -> tuple[MergeTask, Merged]:
    """Three networks of which the best was taken, with a gain that is none of chance."""
    with Runner("cpu") as runner:
        request = MergeRequest((tiny.single_zoo.path,), data=str(tiny.npz), plan=MergePlan(method="best"))
        task = request.prepare(runner)
        return task, task.run(runner)


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (MergePlan(method="from-best", steps=3), "Other ways may keep more: leave out --method."),
        (MergePlan(steps=3), "A longer --steps, or a larger --arch, may keep more."),
        (MergePlan(budget=1.0), "A longer --budget, or a larger --arch, may keep more."),
        (MergePlan(), "A larger --arch may keep more."),
    ],
)
def test_what_may_keep_more_is_told_where_little_is_kept(
    merged: tuple[MergeTask, Merged], monkeypatch: pytest.MonkeyPatch, plan: MergePlan, told: str
) -> None:
    task, found = merged
    task = replace(task, request=replace(task.request, plan=plan))
    monkeypatch.setattr(merge_remarks, "is_by_chance", lambda *numbers: False)
    for kept, expected in ((0.3, True), (0.7, False), (-0.1, False)):
        monkeypatch.setattr(merging, "gain_kept", lambda *scores, kept=kept: kept)
        assert (told in remarks(task, found)) == expected
        assert told not in remarks(task, replace(found, stopped_by=130))


def test_a_gain_that_chance_could_give_is_told(
    tiny: Tiny, files: list[Path], work: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, given = len(tiny.data.splits["test"]), list[tuple[float, ...]]()
    assert is_by_chance(0.5, 0.54, 0.8, 400) and not is_by_chance(0.5, 0.55, 0.8, 400)
    assert is_by_chance(0.5, 0.5, 1.0, 400) and not is_by_chance(0.5, 0.51, 1.0, 400)
    monkeypatch.setattr(merging.Merged, "tests", (0.4, 0.6, 0.45))
    told = f"What the ensemble gains is within what chance makes of {images} test images."
    for by_chance in (True, False):

        def noted(*numbers: float, found: bool = by_chance) -> bool:
            given.append(numbers)
            return found

        monkeypatch.setattr(merge_remarks, "is_by_chance", noted)
        said = cli("merge", *files, "--data", tiny.npz, "--method", "best", "--all-teach").stderr
        assert (told in said.splitlines(), "Other ways may keep more" in said) == (by_chance, not by_chance)
    (best, ensemble, agreement, count) = given[0]
    assert (best, ensemble, count) == (0.4, 0.6, images) and 0 < agreement < 1
    monkeypatch.setattr(merging.Merged, "tests", (None, None, None))
    assert "chance" not in cli("merge", *files, "--data", tiny.npz, "--method", "best", "--all-teach").stderr


def test_a_budget_that_was_not_spent_on_distilling_is_told(
    tiny: Tiny, files: list[Path], work: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["merge", *files, "--data", tiny.npz, "--method", "from-best"]
    assert "in that time: a longer --budget allows more." in cli(*command, "--budget", "0.01s").stderr
    assert "a longer --budget allows" not in cli(*command, *FEW).stderr
    monkeypatch.setattr(merge_remarks, "FEW_STEPS", 1)
    assert "a longer --budget allows" not in cli(*command, "--budget", "0.01s").stderr


@pytest.mark.parametrize(("target", "shown"), [("vanillacnn", True), ("lenetlike", False)])
def test_a_best_member_of_another_architecture_has_a_row(
    tiny: Tiny, files: list[Path], work: Path, cli: Cli, target: str, shown: bool
) -> None:
    found = cli("merge", *files, "--data", tiny.npz, "--arch", target, "--method", "from-fresh", *FEW)
    assert found.stdout.splitlines()[1].startswith("best member\t" if shown else "best\t")
    assert "the best member" in found.stderr


@pytest.mark.parametrize("labelled", [True, False])
def test_a_figure_has_every_way(
    tiny: Tiny, files: list[Path], plain_images: Path, work: Path, ask: Ask, labelled: bool
) -> None:
    found = ask("merge", *files, "--data", tiny.npz if labelled else plain_images, "--plot", "ways.svg", *FEW)
    drawn = Path("ways.svg").read_text()
    for row in found["ways"]:
        if labelled or row["way"] != "ensemble":
            assert f"<!-- {row['way']}, " in drawn or row["way"].startswith("chosen "), row["way"]
    assert f"<!-- {found['method']}, " in drawn and " (chosen) -->" in drawn
    assert ("<!-- 3 members -->" in drawn) is labelled


def test_a_folder_and_a_zoo_are_members_too(tiny: Tiny, files: list[Path], work: Path, ask: Ask) -> None:
    Path("nets/more").mkdir(parents=True)
    for i, file in enumerate(files):
        write_network(
            Path("nets", *(["more"] if i else []), f"{i}.pt"),
            read_network(file, io=tiny.data.io),
            metadata={},
            force=False,
        )
    found = ask("merge", "nets", "--data", tiny.npz, "--dry-run")
    assert [m["path"] for m in found["members"]] == ["nets/0.pt", "nets/more/1.pt", "nets/more/2.pt"]
    best = ask("merge", tiny.zoo.path, "--data", tiny.npz, "--select", "top:4", "--arch", "resnet8", "--dry-run")
    assert len(best["members"]) == 4 and best["arch"] == "resnet8"
    space = ["--space", tiny.space.path]
    every = ask("merge", tiny.zoo.path, "--data", tiny.npz, *space, "--method", "space-from-mean", *FEW)
    assert len(every["members"]) == len(tiny.zoo.instances) and every["arch"] == tiny.space.architectures[-1].name
    assert every["space"] == "tiny" and every["method"] == "space-from-mean"


def test_images_need_no_labels(
    tiny: Tiny, files: list[Path], plain_images: Path, work: Path, ask: Ask, rows: Rows
) -> None:
    found = ask("merge", *files, "--data", plain_images, "-o", "one.pt", *FEW)
    assert not found["labelled"] and found["gain"] is None and Path("one.pt").exists()
    assert {row["test"] for row in found["ways"]} == {row["validation"] for row in found["ways"]} == {None}
    assert {m["test"] for m in found["members"]} == {None}
    chosen = [row["choice"] for row in found["ways"] if row["chosen"]]
    assert chosen == [max(row["choice"] for row in found["ways"] if row["way"] != "ensemble")]
    first, *_ = rows("merge", *files, "--data", plain_images, "--method", "best")
    assert "val" not in first and 0 < float(first["choice"]) <= 1
    first, *_ = rows("merge", *files, "--data", tiny.npz, "--method", "best", "--no-labels")
    assert "val" not in first
    assert [note.split(" of a ")[0] for note in found["data"]["notes"]] == ["test is the last 9", "val is the last 16"]


def test_it_is_said_who_teaches() -> None:
    few = "2 of 3 are a better ensemble than all on validation images, and teach: a.pt, b.pt."
    alone = "1 of 3 is better on validation images than the ensemble of all, and teaches alone: a.pt."
    assert who_teaches(["a.pt", "b.pt"], 3) == few and who_teaches(["a.pt"], 3) == alone


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--method mean --lr 1 --alpha 0.1 --steps 3", "Ignored --steps, --lr, --alpha: mean takes no steps."),
        ("--method labels-from-best --alpha 1 --lr 0.1 --steps 2", "Ignored --alpha: labels-from-best goes by labels"),
        ("--method from-best --alpha 1 --no-labels --steps 2", "Ignored --alpha: no labels are used."),
        ("--method from-best --alpha 1 --lr 0.1 --steps 2", None),
        ("--method space-from-best --lr 0.1 --steps 2", "Ignored --lr: embeddings have the rate that their space"),
        ("--method mean", None),
    ],
)
def test_options_that_change_nothing_are_told(
    tiny: Tiny, files: list[Path], work: Path, cli: Cli, options: str, told: str | None
) -> None:
    said = cli("merge", *files, "--data", tiny.npz, "--space", tiny.space.path, *options.split()).stderr
    assert ("Ignored" in said) == (told is not None) and (told is None or told in said)


def test_it_is_said_who_says_nothing(tiny: Tiny, files: list[Path], work: Path, cli: Cli) -> None:
    one = read_network(files[0], io=tiny.data.io)
    state = one.architecture.to_state(one.weights)
    last = [name.rpartition(".")[0] for name in state][-1]
    silent = {name: 0 * value if name.startswith(last) else value for name, value in state.items()}
    network = replace(one, weights=one.architecture.to_weights(silent))
    write_network(Path("no.pt"), network, metadata={}, force=False)
    command = ["--data", tiny.npz, "--method", "best"]
    told = "no.pt gives the same outputs for all images, and does not teach."
    said = cli("merge", *files, "no.pt", *command).stderr
    assert told in said.splitlines() and "of 4" not in said
    assert "does not teach" not in cli("merge", *files, *command).stderr


def test_the_size_of_a_result_that_nobody_named_is_told(tiny: Tiny, work: Path, cli: Cli) -> None:
    command = ["merge", tiny.zoo.path, "--data", tiny.npz, "--space", tiny.space.path, "--method", "space-mean"]
    largest = tiny.space.architectures[-1]
    told = (
        f"The result is a {largest.name} of {largest.parameter_count:,} parameters, the largest of space 'tiny': "
        "--arch names another."
    )
    assert told in cli(*command).stderr.splitlines()
    assert "The result is a" not in cli(*command, "--arch", largest.name).stderr
    assert "The result is a" not in cli("merge", tiny.single_zoo.path, *command[2:]).stderr


def test_weights_that_would_harm_are_told(
    tiny: Tiny, files: list[Path], work: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel, "weights_of", lambda answers, labels: None)
    command = ["merge", *files, "--data", tiny.npz, "--method", "best"]
    assert (
        "No weights: with those that fit the labels best, the ensemble is right on fewer"
        in cli(*command, "--weigh").stderr
    )
    assert "No weights" not in cli(*command).stderr


def test_without_labels_it_is_said_what_agreement_does_not_show(
    tiny: Tiny, files: list[Path], plain_images: Path, work: Path, cli: Cli
) -> None:
    told = "No labels: the way was chosen by agreement with the ensemble on images held out of the rest."
    more = f"{told} That does not show whether the space knows more than the members."
    space = ["--space", tiny.space.path]
    alone = told.replace("the way was chosen", "weights are judged")
    for options, wanted in (([], told), ([*space, "--method", "from-best"], alone), (space, more)):
        said = cli("merge", *files, "--data", plain_images, *options, *FEW).stderr.splitlines()
        assert wanted in said, said
    labelled = cli("merge", *files, "--data", tiny.npz, *space, *FEW).stderr
    assert "No labels" not in labelled


def test_selecting_goes_by_labels_also_where_nothing_else_does(tiny: Tiny, cli: Cli) -> None:
    command = ["merge", tiny.single_zoo.path, "--data", tiny.npz, "--method", "best", "--threads", 1]
    told = "--select went by labels: the members are the best on the validation images."
    assert told in cli(*command, "--no-labels", "--select", "top:2").stderr
    for rest in (["--no-labels"], ["--select", "top:2"]):
        assert told not in cli(*command, *rest).stderr


def test_members_may_be_of_a_module_of_one_s_own(
    tiny: Tiny, files: list[Path], plain_images: Path, work: Path, ask: Ask, refused: Refused
) -> None:
    Path("mynets.py").write_text(OWN)
    for seed in range(2):
        torch.manual_seed(seed)
        layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
        torch.save(layers.state_dict(), f"{seed}.pt")
    own = ask("merge", "0.pt", "1.pt", "--arch", "mynets:make", "--data", tiny.npz, "-o", "one.pt", *FEW)
    assert own["arch"] == "mynets:make" and {"aligned-mean", "from-fresh"} <= {row["way"] for row in own["ways"]}
    mixed = ["merge", files[0], "0.pt", "--arch", "lenetlike", "--data", tiny.npz, "--method", "from-best", *FEW]
    said = refused(3, *mixed)
    assert "tensors that fit no known architecture" in said and "--member-arch package.module:function" in said
    found = ask(*mixed, "--member-arch", "mynets:make")
    assert [m["arch"] for m in found["members"]] == ["lenetlike", "mynets:make"] and found["arch"] == "lenetlike"
    alone = ask("merge", "0.pt", "1.pt", "--arch", "mynets:make", "--data", plain_images, "--dry-run")
    assert not alone["labelled"] and alone["data"]["io"]["classes"] == 3


def test_networks_of_a_built_in_space_are_merged_on_its_images(work: Path, ask: Ask, refused: Refused) -> None:
    networks = [ROOT / "examples" / "digits" / f"{name}.pt" for name in ("lenet", "vanillacnn")]
    assert ask("merge", *networks, "--arch", "lenetlike", "--dry-run")["data"]["name"] == "digits"
    coloured = [ROOT / "examples" / "cifar10" / f"{name}.pt" for name in ("lenet", "vanillacnn")]
    assert "--data cifar10:DIR" in refused(2, "merge", *coloured, "--arch", "lenetlike")


def test_images_are_normalised_as_the_networks_know_them(
    tiny: Tiny, files: list[Path], work: Path, ask: Ask, refused: Refused
) -> None:
    command = ["merge", *files, "--data", tiny.npz, "--dry-run"]
    plain, half = ask(*command)["data"], ask(*command, "--normalise", "half")["data"]
    assert (half["mean"], half["std"]) == ([0.5], [0.5]) and plain["mean"] == list(tiny.data.mean) != half["mean"]
    assert ask(*command, "--mean", "0.1", "--std", "0.2")["data"]["std"] == [0.2]
    zoo = ["merge", tiny.single_zoo.path, "--data", tiny.npz, "--dry-run"]
    same = ask(*zoo, "--normalise", "own")["data"]
    assert (same["mean"], same["std"]) == (list(tiny.data.mean), list(tiny.data.std)), (
        "it is named, and is the recorded one"
    )
    told = refused(2, *zoo, "--normalise", "half")
    assert "records how its images are normalised" in told and "Leave out --normalise, --mean and --std." in told
    grouped = refused(2, "merge", tiny.single_zoo.path, "--groups", "seed", "--normalise", "half", "-o", "x")
    assert "--normalise is not for --groups" in grouped


def test_zoos_of_networks_that_know_images_otherwise_are_not_merged(
    tiny: Tiny, work: Path, ask: Ask, refused: Refused
) -> None:
    options = ["--data", tiny.npz, "--arch", "lenetlike", "--counts", "2/0/0", "--epochs", 1]
    for name, more in (("half", ["--normalise", "half"]), ("plain", ["--normalise", "none"])):
        ask("zoo", "train", name, *options, *more)
    told = refused(2, "merge", "half", "plain")
    half = "of the zoo half know inputs normalised by a mean of 0.5 and a deviation of 0.5"
    assert f"{half}, the networks of the zoo plain by" in told
    space = ["--space", tiny.space.path, "--data", tiny.npz]
    assert f"{half}, the networks of space 'tiny' by" in refused(2, "merge", "half", *space)
    told = refused(2, "merge", "half", "--groups", "seed", "-o", "merged", *space)
    assert f"{half}, the networks of space 'tiny' by" in told and "nothing is right for both" in told
    assert ask("merge", "half", "--data", tiny.npz, "--dry-run")["data"]["mean"] == [0.5]


def test_of_zoos_with_images_of_their_own_it_is_said_whose_are_used(tiny: Tiny, work: Path, ask: Ask, cli: Cli) -> None:
    for part in (1, 2):
        data = ["--data", f"{tiny.npz}@{part}/2", "--normalise", "half"]
        ask("zoo", "train", f"site{part}", *data, "--arch", "lenetlike", "--counts", "1/0/0", "--epochs", 1)
    command = ["merge", "site1", "site2", "--method", "best"]
    task = MergeRequest((Path("site1"), Path("site2")), data=f"{tiny.npz}@1/2").prepare(Runner("cpu"))
    assert task.hints(Runner("cpu")) == []
    assert replace(task, request=replace(task.request, data=None)).hints(Runner("cpu")) == [
        "The images are those of site1; other zoos have others. Name all by `data`."
    ]
    assert "The images are those of" not in cli(*command, "--data", tiny.npz).stderr


def test_zoos_of_several_tasks_are_told_by_their_inputs(tiny: Tiny, work: Path, ask: Ask, refused: Refused) -> None:
    ask("zoo", "train", "digits", "--data", "digits", "--arch", "lenetlike", "--counts", "1/0/0", "--epochs", 0)
    told = refused(2, "merge", tiny.single_zoo.path, "digits", "--data", tiny.npz)
    assert "is a zoo for 1x8x8, 3 classes, digits for 1x16x16, 10 classes. Give networks of one task." in told


def test_a_built_in_space_of_another_normalisation_is_left_out(work: Path, ask: Ask) -> None:
    networks = [ROOT / "examples" / "digits" / f"{name}.pt" for name in ("lenet", "vanillacnn")]
    command = ["merge", *networks, "--arch", "lenetlike", "--data", "digits", "--dry-run"]
    assert ask(*command)["space"] == "digits"
    assert ask(*command, "--normalise", "none")["space"] is None


def test_it_says_where_images_are_not_as_the_networks_know_them(
    tiny: Tiny, files: list[Path], plain_images: Path, work: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = {"": 0.3, "half": 0.9, "none": 0.2}

    def judged(network: object, data: object, runner: object) -> float:
        return accuracies[{(0.5,): "half", (0.0,): "none"}.get(data.mean, "")]  # type: ignore[attr-defined]

    monkeypatch.setattr(normalisation_hint, "_accuracy", judged)
    with np.load(tiny.npz) as arrays:
        np.savez("no-val.npz", **{name: array for name, array in arrays.items() if not name.startswith("val")})
    command = ["merge", *files, "--data", "no-val.npz", "--method", "mean"]
    told = cli(*command).stderr
    assert "answers 90.0% of test images rightly with --normalise half, and 30.0% as it is" in told
    assert "has no val of its own: " in told and "give val of its own if you can" in told
    assert "answers" not in cli(*command, "--normalise", "none").stderr
    assert "answers" not in cli("merge", tiny.single_zoo.path, "--data", tiny.npz, "--method", "mean").stderr
    beside = cli(
        "merge", tiny.single_zoo.path, tiny.networks["vanillacnn"], "--data", tiny.npz, *FEW[:2], "--arch", "lenetlike"
    )
    assert f"{tiny.networks['vanillacnn']} answers 90.0% of test images" in beside.stderr, "what no zoo records"
    assert beside.stderr.count("of test images rightly") == 1
    no_val = "has no val of its own: "
    assert no_val in cli("merge", tiny.single_zoo.path, "--data", "no-val.npz", "--method", "mean").stderr
    assert no_val in cli("merge", tiny.single_zoo.path, "--data", plain_images, "--method", "mean").stderr


def test_what_cannot_be_merged_is_refused(
    tiny: Tiny, files: list[Path], solids: Solids, planted: Zoo, plain_images: Path, work: Path, refused: Refused
) -> None:
    data = ["--data", tiny.npz]
    assert "one network is nothing to merge" in refused(2, "merge", files[0], *data)
    assert "are the same network" in refused(2, "merge", files[0], files[1], files[0], *data)
    assert "there are no images to merge on" in refused(2, "merge", *files)
    blend = "A merge of two shapes is their blend: `netspace interp` at one half."
    assert blend in refused(2, "merge", *solids.networks)
    assert blend in refused(2, "merge", *solids.networks, *data)
    assert blend in refused(2, "merge", *solids.networks, "--data", plain_images)
    assert blend in refused(2, "merge", solids.zoo.path, *data)
    other = Path("..") / "other.pt"
    stranger = build("lenetlike", tiny.data.io.__class__(1, 8, 4))
    torch.save(stranger.to_state(torch.zeros(stranger.parameter_count)), other)
    told = refused(2, "merge", files[0], other, *data)
    assert "the member ../other.pt is for 1x8x8, 4 classes; these images are 1x8x8, 3 classes" in told
    larger = build("lenetlike", tiny.data.io.__class__(3, 16, 3))
    torch.save(larger.to_state(torch.zeros(larger.parameter_count)), other)
    told = refused(2, "merge", files[0], other, *data)
    assert "the member ../other.pt seems to be for 3 channels and 3 classes; these images are 1x8x8, 3 classes" in told
    assert "it was trained on: --data" in told and "its factory: --member-arch package.module:function" in told
    assert "are of 2 architectures" in refused(2, "merge", files[0], tiny.networks["resnet8"], *data)
    assert "chooses from a zoo, and none is given" in refused(2, "merge", *files, *data, "--select", "top:2")
    chosen = ["merge", tiny.zoo.path, "--data", plain_images, "--select", "top:2"]
    assert "goes by accuracy, and these images have no labels" in refused(2, *chosen)
    assert "both set how long" in refused(2, "merge", *files, *data, "--steps", 3, "--budget", "2s")
    for text in ("soon", "s", "-1m", "0", "1d", "nanh", ""):
        assert f"{text!r} is not a time: write 60s, 10m or 2h" in refused(2, "merge", *files, *data, "--budget", text)
    assert "is an input or another output" in refused(2, "merge", *files, *data, "-o", files[0])
    (Path("..") / "empty").mkdir()
    assert "holds no checkpoint files" in refused(2, "merge", "../empty", *data)


def test_a_zoo_is_merged_group_by_group_and_goes_on(tiny: Tiny, work: Path, ask: Ask, refused: Refused) -> None:
    options = ["merge", tiny.zoo.path, "--data", tiny.npz, "--groups", "seed", "-o", "merged", *FEW]
    plan = ask(*options, "--dry-run")
    assert plan["groups"] == ["lenetlike-0000", "vanillacnn-0001", "resnet8-0002"] and list(work.iterdir()) == []
    whole = ask(*options)
    assert [(row["id"], row["members"]) for row in whole["merged"]] == [(name, 4) for name in plan["groups"]]
    assert all(0 <= row["test"] <= 1 and 0 <= row["ensemble"] <= 1 for row in whole["merged"])
    assert ask("zoo", "verify", "merged")["instances"]
    lines = Path("merged/instances.jsonl").read_text().splitlines()
    Path("merged/instances.jsonl").write_text(lines[0] + "\n")
    assert ask(*options, "--dry-run")["groups"] == plan["groups"][1:]
    assert ask(*options)["merged"] == whole["merged"]
    assert Path("merged/instances.jsonl").read_text().splitlines() == lines
    assert "merged from other instances or by other settings" in refused(2, *options, "--seed", 1)
    assert "--arch is not for --groups" in refused(2, *options, "--arch", "resnet8")
    assert "--space auto makes a space on the members of one merge, and --groups seed is many" in refused(
        2, *options, "--space", "auto"
    )
    alone = ["merge", tiny.teacher.parents[2], "--data", tiny.npz, "--groups", "seed", "-o", "other"]
    assert "no two of the 1 instances" in refused(2, *alone)
    twice = ["merge", tiny.zoo.path, tiny.zoo.path, "--groups", "seed", "-o", "other"]
    assert "merges the groups of one zoo into a folder; 2 inputs" in refused(2, *twice)


def test_a_space_is_made_on_members_of_a_module_of_one_s_own(
    tiny: Tiny, plain_images: Path, work: Path, ask: Ask, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_space, "OwnSpace", partial(OwnSpace, steps=1, recombined=2, embedding_size=64, width=16))
    Path("ournets.py").write_text(OWN)
    for seed in range(2):
        torch.manual_seed(seed)
        layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
        torch.save(layers.state_dict(), f"{seed}.pt")
    command = ["merge", "0.pt", "1.pt", "--arch", "ournets:make", "--space", "auto", "--data", plain_images, *FEW]
    found = ask(*command, "--method", "space-from-best", "-o", "one.pt")
    assert found["space"] == "auto" and found["method"] == "space-from-best" and Path("one.pt").is_file()
    asked, real = list[float | None](), merge_request.space_of

    def noted(*given: Any, seconds: float | None) -> Space:
        asked.append(seconds)
        return real(*given, seconds=None)

    monkeypatch.setattr(merge_request, "space_of", noted)
    for more in ([], ["--budget", "8s"]):
        ask(*command[: -len(FEW)], *(more or FEW), "--method", "space-best")
    assert asked == [None, 4.0]
    other = [name if name != "ournets:make" else "lenetlike" for name in command]
    said = refused(2, *other, "--member-arch", "ournets:make")
    assert "takes two of a lenetlike; 0 of these members are one" in said and "--space" in said
