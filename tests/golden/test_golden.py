"""Every command answers as it did when the golden files were recorded: the same bits on the machine that recorded
them, numbers within what processors differ by elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.recording import contents, machine, record
from tests.golden.scenarios import SCENARIOS, Scenario

ANSWERS = Path(__file__).parent / "answers"
# Two processors may round an answer to different sides, and one digit of the test split is .0025.
RELATIVE, ABSOLUTE = 2e-3, 6e-3
WHOLE_RUNS = ("shapes", "zoo", "digits", "fields")
RECORDED = [
    pytest.param(scenario, id=scenario.name, marks=[pytest.mark.slow] if scenario.name in WHOLE_RUNS else [])
    for scenario in SCENARIOS
    if not scenario.slow
]


def differences(found: object, wanted: object, *, bits: bool, at: str = "") -> list[str]:
    """Where two answers differ, a line each; with `bits` numbers and tensors must be the very same."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        lines = [f"{at}: {sorted(set(found) ^ set(wanted))} in one alone"] if set(found) != set(wanted) else []
        for key in sorted(set(found) & set(wanted)):
            if key == "sha256" or (key == "bits" and not bits):
                continue
            lines += differences(found[key], wanted[key], bits=bits, at=f"{at}.{key}")
        return lines
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = enumerate(zip(found, wanted, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, bits=bits, at=f"{at}[{i}]")]
    if isinstance(found, float) and isinstance(wanted, float | int):
        near = wanted if bits else pytest.approx(wanted, rel=RELATIVE, abs=ABSOLUTE)
        return [] if found == near else [f"{at}: {found}, was {wanted}"]
    return [] if found == wanted else [f"{at}: {found!r}, was {wanted!r}"]


@pytest.mark.parametrize("scenario", RECORDED)
def test_commands_answer_as_recorded(scenario: Scenario) -> None:
    golden = json.loads((ANSWERS / f"{scenario.name}.json").read_text())
    same_machine = golden["machine"] == machine()
    faults = []
    for found, wanted in zip(record(scenario), golden["answers"], strict=True):
        faults += differences(found, wanted, bits=same_machine, at=wanted["line"])
    assert faults == []


def test_a_difference_is_found() -> None:
    wanted = {"exit_code": 0, "document": {"steps": [{"accuracy": 0.5, "arch": "a"}]}, "files": {"x": {"bits": "1"}}}
    assert differences(wanted, wanted, bits=True) == []
    for other in (
        wanted | {"exit_code": 1},
        wanted | {"document": {"steps": [{"accuracy": 0.52, "arch": "a"}]}},
        wanted | {"document": {"steps": [{"accuracy": 0.5, "arch": "b"}]}},
        wanted | {"document": {"steps": []}},
        wanted | {"document": {}},
        wanted | {"files": {"x": {"bits": "2"}}},
    ):
        assert len(differences(other, wanted, bits=True)) == 1
    assert differences(wanted | {"files": {"x": {"bits": "2"}}}, wanted, bits=False) == []
    rounded = wanted | {"document": {"steps": [{"accuracy": 0.502, "arch": "a"}]}}
    assert differences(rounded, wanted, bits=False) == [] != differences(rounded, wanted, bits=True)


def test_tensors_are_compared_by_their_bits_whatever_they_are_called(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    a, b = torch.arange(4.0), torch.ones(2, 2)
    save_file({"a": a, "b": b}, tmp_path / "one.safetensors")
    save_file({"z": a, "b": b}, tmp_path / "other.safetensors")
    save_file({"a": a, "b": b + 1e-7}, tmp_path / "third.safetensors")
    one, other, third = (contents(tmp_path / f"{name}.safetensors") for name in ("one", "other", "third"))
    assert one["bits"] == other["bits"] != third["bits"] and one["sha256"] != other["sha256"]
