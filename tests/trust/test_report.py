"""The table of `make trust`."""

from __future__ import annotations

import pytest

from tests.trust import fuzz, kills, report
from tests.trust.trial import Tally


def rows(crashed: int) -> tuple[list[fuzz.Row], list[kills.Row]]:
    tally = Tally(tried=10, accepted=3, refused=7 - crashed, crashed={"KeyError": crashed} if crashed else {})
    lost = ("train, killed: half a file",) if crashed else ()
    return [fuzz.Row("zoo.json", tally)], [kills.Row("kill -9 at any time", 5, 5 - len(lost), 0, len(lost), lost)]


@pytest.mark.parametrize("crashed", [0, 2])
def test_the_table_counts_all_and_names_what_went_wrong(
    crashed: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files, runs = rows(crashed)
    asked: dict[str, object] = {}
    monkeypatch.setattr(fuzz, "fuzz", lambda seed, **how: asked.update(how, seed=seed) or files)
    monkeypatch.setattr(kills, "trials", lambda *how: asked.update(kills=how) or runs)
    status = report.main(["--files", "10", "--kills", "5", "--seed", "3", "--processes", "1"])
    head, first, second, whole, seed, *faults = capsys.readouterr().out.splitlines()
    assert asked["kills"] == (3, 5, 1) and asked["files"] == 10 and asked["seed"] == 3
    assert head.split() == " ".join(report.HEAD).split()
    assert first.split() == ["zoo.json,", "mutated", "10", str(7 - crashed), "3", str(crashed), "0"]
    assert second.split()[-3:] == ["5" if not crashed else "4", "0", str(min(crashed, 1))]
    assert whole.split() == [
        "all",
        "15",
        str(7 - crashed),
        str(8 - min(crashed, 1)),
        str(crashed),
        str(min(crashed, 1)),
        "0",
    ]
    assert seed.startswith("seed 3, ") and (status, bool(faults)) == (int(crashed > 0), crashed > 0)
    if faults:
        assert faults == ["2 x zoo.json: KeyError", "train, killed: half a file"]
