"""`netspace finetune`: a row for each start and epoch."""

from __future__ import annotations

from pathlib import Path

from tests.worlds import Ask, Refused, Rows, Tiny


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


def test_what_cannot_be_trained_is_refused(tiny: Tiny, work: Path, refused: Refused) -> None:
    command = ["finetune", tiny.single_zoo.path, "--data", tiny.npz]
    assert "invalid epochs 'a,1': write numbers, as in 0,1,5,25" in refused(2, *command, "--epochs", "a,1")
    assert "Give them in order: --epochs 0,1,5,25." in refused(2, *command, "--epochs", "5,1")
    assert "99 instances cannot be chosen" in refused(2, *command, "--select", "top:99")
