"""`netspace finetune`: a row for each start and epoch."""

from __future__ import annotations

from pathlib import Path

from tests.worlds import Ask, Cli, Refused, Rows, Tiny


def test_rows_are_starts_and_epochs(tiny: Tiny, work: Path, rows: Rows, ask: Ask) -> None:
    command = ["finetune", tiny.single_zoo.path, "--data", tiny.npz, "--epochs", "0,1", "--select", "top:2"]
    table = rows(*command, "--batch", 20)
    assert [(row["start"], row["epoch"], row["n"]) for row in table] == [
        *(("zoo", "0", "2"), ("zoo", "1", "2")),
        *(("scratch", "0", "2"), ("scratch", "1", "2")),
    ]
    found = ask(*command, "--no-scratch")
    assert len(found["networks"]) == 2 and found["settings"]["epochs"] == [0, 1]
    best = sorted(tiny.single_zoo.instances, key=lambda i: -i.accuracy["val"])[:2]
    assert [each["id"] for each in found["networks"]] == [i.id for i in best]
    assert ask(*command, "--dry-run")["count"] == 2


def test_the_networks_can_be_kept(tiny: Tiny, work: Path, ask: Ask, cli: Cli) -> None:
    command = ["finetune", tiny.single_zoo.path, "--data", tiny.npz, "--epochs", "0,1", "--select", "top:2"]
    found = ask(*command, "--batch", 20, "-o", "tuned")
    assert found["output"] == "tuned" and "tuned has 2 networks." in cli(*command, "--batch", 20, "-o", "tuned").stderr
    shown = cli("zoo", "show", "tuned").stdout.splitlines()[1:]
    assert [line.split("\t")[0] for line in shown] == sorted(each["id"] for each in found["networks"][::2])
    best = ask("merge", "tuned", "--data", tiny.npz, "--method", "best")
    assert len(best["members"]) == 2


def test_what_cannot_be_trained_is_refused(tiny: Tiny, work: Path, refused: Refused) -> None:
    command = ["finetune", tiny.single_zoo.path, "--data", tiny.npz]
    assert "invalid epochs 'a,1': write numbers, as in 0,1,5,25" in refused(2, *command, "--epochs", "a,1")
    assert "Give them in order: --epochs 0,1,5,25." in refused(2, *command, "--epochs", "5,1")
    assert "is the zoo whose networks are to be trained further" in refused(
        2, *command, "-o", tiny.single_zoo.path, "--dry-run"
    )
    assert "99 instances cannot be chosen" in refused(2, *command, "--select", "top:99")
