"""netspace lso."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from netspace_cli.core.files.checkpoint import write_checkpoint
from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.requests.inputs import Teacher, read_wanted_teachers
from netspace_cli.core.spaces.embeddings import load_embeddings
from netspace_cli.terminal import progress_bar
from tests.worlds import Ask, Cli, Refused, Rows, Tiny


def command(tiny: Tiny, init: Path, *options: object) -> list[object]:
    return ["lso", init, "--space", tiny.space.path, "--data", tiny.npz, "--images", 16, *options]


@pytest.mark.parametrize("teacher", [True, False])
def test_the_best_embedding_and_network_are_kept(
    tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask, teacher: bool
) -> None:
    options = ["--steps", 6, "-o", "best.emb", "--decode", "best.pt", *(["--teacher", tiny.teacher] if teacher else [])]
    found = ask(*command(tiny, emb["vanillacnn"], *options))
    assert (found["output"], found["decoded"]) == ("best.emb", "best.pt")
    for standing in (found["initial"], found["optimized"]):
        assert 0 <= standing["accuracy"] <= 1 and standing["loss"] > 0 and standing["arch"] == "vanillacnn"
    assert [line["step"] for line in found["history"]] == [1, 2, 3, 4, 5, 6]
    assert all(line["loss"] > 0 for line in found["history"])
    assert 0 <= found["history"][-1]["val_accuracy"] <= 1
    assert 0 <= found["best_step"] <= 6

    written = load_embeddings(Path("best.emb"))
    assert written.origins[0].how == "optimised" and written.space_sha256 == tiny.space.sha256
    decoded = ask("decode", "best.emb", "--space", tiny.space.path, "--data", tiny.npz, "-o", "again.pt")
    assert decoded["networks"][0]["accuracy"] == found["optimized"]["accuracy"]
    best, again = (torch.load(f, weights_only=True) for f in ("best.pt", "again.pt"))
    assert all(torch.equal(best[n], again[n]) for n in again) and best.keys() == again.keys()


def test_more_steps_lower_the_loss_and_validation_chooses(
    tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask
) -> None:
    found = ask(*command(tiny, emb["vanillacnn"], "--steps", 30, "--lr", 0.05))
    validated = [line["val_accuracy"] for line in found["history"] if "val_accuracy" in line]
    assert found["optimized"]["loss"] < found["initial"]["loss"]
    assert found["best_step"] in {0, *(line["step"] for line in found["history"] if "val_accuracy" in line)}
    if found["best_step"]:
        assert found["history"][found["best_step"] - 1]["val_accuracy"] == max(validated)


def test_where_nothing_is_better_than_the_start_it_says_what_to_try(
    tiny: Tiny, emb: dict[str, Path], work: Path, cli: Cli
) -> None:
    result = cli(*command(tiny, emb["vanillacnn"], "--steps", 2, "--lr", 1e-12))
    assert result.exit_code == 0
    said = "No step improved on the start on the validation split"
    assert f"{said}: try another --lr (3e-12 or 3.3e-13) or more --steps." in result.stderr


def test_a_checkpoint_is_encoded_and_refined_first(
    tiny: Tiny, work: Path, ask: Ask, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_bar, "LOG_LINE_SECONDS", 0.0)  # parts are shown however short they are
    init = tiny.networks["lenetlike"]
    result = cli(*command(tiny, init, "--steps", 2, "-o", "a.emb"))
    assert result.exit_code == 0 and "refining lenetlike: 2/2" in result.stderr and "Wrote a.emb." in result.stderr
    ask("encode", init, "--space", tiny.space.path, "--data", tiny.npz, "-o", "init.emb")
    ask(*command(tiny, Path("init.emb"), "--steps", 2, "-o", "b.emb"))
    assert torch.equal(*(load_embeddings(Path(f)).vectors for f in ("a.emb", "b.emb")))


def test_the_rows_of_a_pipe(tiny: Tiny, emb: dict[str, Path], work: Path, rows: Rows) -> None:
    initial, optimised = rows(*command(tiny, emb["lenetlike"], "--steps", 1))
    assert (initial[""], optimised[""]) == ("initial", "optimized")
    assert 0 <= float(initial["accuracy"]) <= 1


def test_the_same_command_gives_the_same_bytes(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    histories = []
    for name in ("a", "b"):
        options = ["--steps", 3, "-o", f"{name}.emb", "--decode", f"{name}.pt", "--teacher", tiny.teacher]
        histories.append(ask(*command(tiny, emb["lenetlike"], *options))["history"])
    assert histories[0] == histories[1]
    for suffix in (".emb", ".pt"):
        assert Path(f"a{suffix}").read_bytes() == Path(f"b{suffix}").read_bytes()


def test_another_architecture_can_be_aimed_at(tiny: Tiny, work: Path, cli: Cli, ask: Ask) -> None:
    options = command(tiny, tiny.networks["lenetlike"], "--arch", "resnet8", "--refine", 0, "--steps")
    assert ask(*options, 60, "--lr", 0.2)["optimized"]["arch"] == "resnet8"
    result = cli(*options, 1, "--lr", 1e-6)
    assert result.stdout.splitlines()[0].split("\t") == ["", "recognised", "accuracy", "loss"]
    found = ask(*options, 1, "--lr", 1e-6)
    assert (found["arch"], found["optimized"]["arch"]) == ("resnet8", "lenetlike")
    assert result.exit_code == 0 and "still recognises the best embedding as lenetlike, not resnet8" in result.stderr


def test_a_dry_run_reads_everything_and_writes_nothing(
    tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask, cli: Cli, refused: Refused
) -> None:
    outputs = ["-o", "best.emb", "--decode", "best.pt", "--dry-run"]
    options = command(tiny, tiny.networks["lenetlike"], "--steps", 7, "--teacher", tiny.teacher, *outputs)
    found = ask(*options)
    assert found["dry_run"] is True and (found["steps"], found["arch"]) == (7, "lenetlike")
    assert (found["input"]["arch"], found["input"]["refine_steps"]) == ("lenetlike", 2)
    assert (found["output"], found["decoded"], found["teacher"]) == ("best.emb", "best.pt", str(tiny.teacher))
    assert ask(*command(tiny, emb["lenetlike"], "--arch", "resnet8", "--dry-run"))["arch"] == "resnet8"
    result = cli(*options)
    assert "best.emb would be written." in result.stderr and "best.pt would be written." in result.stderr
    assert "resnet14" in result.stdout and "optimising" not in result.stderr and "refining" not in result.stderr
    assert list(work.iterdir()) == []
    Path("taken.pt").write_text("something else")
    assert "taken.pt" in refused(3, *command(tiny, emb["lenetlike"], "--teacher", "taken.pt", "--dry-run"))
    assert "holds 2 embeddings" in refused(3, *command(tiny, emb["both"], "--dry-run"))


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(
    tiny: Tiny, work: Path, refused: Refused
) -> None:
    Path("no.pt").write_text("no network")
    said = refused(2, *command(tiny, Path("no.pt"), "--device", "cuda:99", "--dry-run"))
    assert "cuda:99 was asked for; this machine has" in said and "--device cpu" in said


def test_nothing_is_written_unless_named_and_it_says_so(tiny: Tiny, emb: dict[str, Path], work: Path, cli: Cli) -> None:
    result = cli(*command(tiny, emb["lenetlike"], "--steps", 1))
    assert result.exit_code == 0 and "Nothing was written: give -o for the embedding" in result.stderr
    assert list(work.iterdir()) == []


def test_several_teachers_teach_together(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask, cli: Cli) -> None:
    second = tiny.networks["resnet8"]
    options = command(tiny, emb["lenetlike"], "--steps", 2, "--teacher", tiny.teacher)
    alone, both, turned = (
        ask(*options, *more) for more in ([], ["--teacher", second], ["--teacher", second, "--teacher", second])
    )
    assert alone["teacher"] == str(tiny.teacher)
    assert both["teacher"] == [str(tiny.teacher), str(second)]
    losses = [found["history"][0]["loss"] for found in (alone, both, turned)]
    assert len(set(losses)) == 3, "each teacher counts"
    assert "resnet14, resnet8" in cli(*options, "--teacher", second, "--dry-run").stdout


def test_of_several_teachers_those_that_are_of_a_named_architecture_are_read_as_such(
    tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask, refused: Refused
) -> None:
    Path("teachernets.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))\n"
    )
    torch.save({"1.weight": torch.zeros(3, 64), "1.bias": torch.zeros(3)}, "own.pt")
    options = command(tiny, emb["lenetlike"], "--steps", 1, "--teacher", tiny.teacher)
    for both in (["--teacher", "own.pt"], ["--teacher", tiny.networks["lenetlike"], "--teacher", "own.pt"]):
        found = ask(*options, *both, "--teacher-arch", "teachernets:make")
        assert found["teacher"][-1] == "own.pt" and len(found["teacher"]) == 1 + len(both) // 2
    with trusting("teachernets:make"):
        read = read_wanted_teachers(Teacher(Path("own.pt"), "teachernets:make", None, (tiny.teacher,)), tiny.data)
    assert [teacher.architecture.name for teacher in read] == ["teachernets:make", "resnet14"]
    said = refused(3, *options, "--teacher", tiny.networks["lenetlike"], "--teacher-arch", "teachernets:make")
    assert f"{tiny.teacher}: the parameters do not fit teachernets:make" in said


def test_one_of_the_teachers_in_a_file_is_named_by_its_key(
    tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask, refused: Refused
) -> None:
    state = load_file(tiny.teacher)
    torch.save({"model": state, "model_ema": {n: 0 * t for n, t in state.items()}}, "both.pt")
    options = command(tiny, emb["lenetlike"], "--steps", 2, "--teacher", "both.pt")
    said = refused(3, *options)
    assert "there are 2 state dicts in it: 'model_ema', 'model'" in said and "(of a teacher: --teacher-key)" in said
    named = ask(*options, "--teacher-key", "model")
    alone = ask(*command(tiny, emb["lenetlike"], "--steps", 2, "--teacher", tiny.teacher))
    other = ask(*options, "--teacher-key", "model_ema", "--teacher-arch", "resnet14")
    assert named["optimized"] == alone["optimized"] and named["initial"]["loss"] != other["initial"]["loss"]


@pytest.mark.parametrize(
    ("code", "options", "expected"),
    [
        (2, ["--steps", "0"], "0 is not in the range x>=1"),
        (2, ["--lr", "0"], "0.0 is not in the range x>0"),
        (2, ["-o", "taken.emb"], "taken.emb exists already"),
        (2, ["-o", "best.pt"], "embeddings are written as .emb"),
        (2, ["-o", "none/best.emb"], "there is no folder"),
        (2, ["--decode", "taken.pt"], "taken.pt exists already"),
        (2, ["--decode", "best.emb"], "unknown checkpoint extension '.emb'"),
        (2, ["--data", "nosuch"], "unknown data set 'nosuch'"),
        (2, ["--data", "digits"], "digits, brought to that size, has 1x8x8, 10 classes"),
        (3, ["--arch", "resnet56"], "no resnet56"),
        (3, ["--teacher", "taken.pt"], "taken.pt"),
        (3, ["--teacher", "taken.pt", "--teacher-arch", "resnet56"], "taken.pt"),
        (2, ["--teacher-arch", "resnet56"], "--teacher-arch needs --teacher."),
        (2, ["--teacher-key", "ema"], "--teacher-key needs --teacher."),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(
    tiny: Tiny,
    emb: dict[str, Path],
    work: Path,
    refused: Refused,
    cli: Cli,
    code: int,
    options: list[str],
    expected: str,
) -> None:
    for name in ("taken.emb", "taken.pt"):
        Path(name).write_text("something else")
    assert expected in refused(code, *command(tiny, emb["lenetlike"], *options))
    assert "optimising" not in cli(*command(tiny, emb["lenetlike"], *options)).stderr


def test_without_images_it_says_what_to_give(tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused) -> None:
    said = refused(2, "lso", emb["lenetlike"], "--space", tiny.space.path, "-o", "best.emb")
    assert "npz:tiny.npz, which space 'tiny' was trained on, are not available" in said
    assert "--data FILE.npz" in said


def test_a_loss_that_explodes_ends_it_with_a_hint(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused
) -> None:
    said = refused(1, *command(tiny, emb["lenetlike"], "--steps", 4, "--lr", 1e30, "-o", "best.emb"))
    assert "not finite" in said and "--lr" in said


def test_inputs_are_not_overwritten_even_with_force(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused
) -> None:
    Path("init.emb").write_bytes(emb["lenetlike"].read_bytes())
    assert "is an input" in refused(2, *command(tiny, Path("init.emb"), "-o", "init.emb", "--force"))
    assert "another output" in refused(2, *command(tiny, emb["lenetlike"], "-o", "x.emb", "--decode", "x.emb"))


def test_the_way_is_plotted(tiny: Tiny, emb: dict[str, Path], work: Path, cli: Cli, refused: Refused) -> None:
    asked = command(tiny, emb["vanillacnn"], "--steps", 10, "--teacher", tiny.teacher)
    assert "Wrote a.svg." in cli(*asked, "--plot", "a.svg").stderr
    drawn = Path("a.svg").read_text()
    assert "vanillacnn.emb as a vanillacnn, optimised towards resnet14" in drawn and "teacher on test, " in drawn
    assert "<!-- accuracy (%) -->" in drawn and "<!-- steps -->" in drawn
    assert "a figure is written as .png, .svg, .pdf" in refused(2, *asked, "--plot", "a.txt")
    assert "a.svg" in refused(2, *asked, "--plot", "a.svg")


def test_a_teacher_is_recognised_by_what_its_file_or_the_images_say(
    tiny: Tiny, emb: dict[str, Path], work: Path, cli: Cli, refused: Refused
) -> None:
    state = (
        torch.load(tiny.teacher, weights_only=True) if str(tiny.teacher).endswith(".pt") else load_file(tiny.teacher)
    )
    torch.save(dict(state), "bare.pt")
    told = refused(3, *command(tiny, emb["vanillacnn"], "--steps", 1, "--teacher", "bare.pt", "--strict-arch"))
    assert "bare.pt: its architecture is not certain" in told and "Name it: --teacher-arch NAME." in told
    write_checkpoint(Path("named.pt"), state, metadata={"netspace.arch": "resnet14"})
    done = cli(*command(tiny, emb["vanillacnn"], "--steps", 1, "--teacher", "named.pt", "--strict-arch"))
    assert done.exit_code == 0 and "assumed" not in done.stderr
