"""A zoo that is larger than memory: its weights are read from a file, and all comes out as from memory."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError, RunFailed
from torch import Tensor

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training import stored_rows, training_set
from netspace_cli.core.training.loop import train
from netspace_cli.core.training.stored_rows import StoredRows, scratch_folder
from netspace_cli.core.training.training_set import layer_scale, load_training_set
from tests.small_networks import seeded
from tests.worlds import Solids, Tiny


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every zoo is too large."""
    monkeypatch.setattr(training_set, "SHARE", 0.0)


def rows_in_use() -> int:
    """Kilobytes of stored rows that are in memory now."""
    text = Path("/proc/self/smaps").read_text().split("\n")
    places = [i for i, line in enumerate(text) if "(deleted)" in line and "/tmp" in line]
    sizes = [line.split()[1] for i in places for line in text[i : i + 10] if line.startswith("Rss:")]
    return sum(map(int, sizes))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is asked of Linux")
def test_rows_come_back_bit_for_bit_and_their_memory_is_given_back() -> None:
    rows = torch.randn(64, 5000, generator=seeded())
    stored = StoredRows(torch.device("cpu"))
    held = stored.store(iter(rows), 64, 5000)
    assert torch.equal(held, rows) and held.shape == (64, 5000)
    assert rows_in_use() > 1000
    index = torch.tensor([7, 3, 63])
    taken = stored.take(held[index]), stored.take(held[10:12])
    assert torch.equal(taken[0], rows[index]) and torch.equal(taken[1], rows[10:12])
    assert rows_in_use() == 0
    held[0] = 0
    assert taken[1].data_ptr() != held[10:].data_ptr()


@pytest.mark.usefixtures("no_memory")
def test_a_stored_zoo_has_the_same_rows(tiny: Tiny) -> None:
    with Runner("cpu") as runner:
        found = load_training_set(tiny.zoo, tiny.recipe, runner)
    assert found.stored is not None
    for (split, arch), weights in found.weights.items():
        chosen = tiny.zoo.select(split=split, arch=arch)
        (architecture,) = (a for a in found.architectures if a.name == arch)
        assert torch.equal(weights, torch.stack(tiny.zoo.weights(chosen, architecture)))
        assert torch.equal(found.rows_of(split, arch, slice(0, 1)), weights[:1])


@pytest.mark.parametrize("settings", [{}, {"objective": "both", "reconstruct": {"layer_normalisation": True}}])
def test_a_training_from_a_file_ends_with_the_same_bits(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    table = tiny.recipe.model_dump()
    table["train"] |= {"steps": 3, "instances": 2, "validate_every": 2, **settings}
    spaces = {}
    for name, share in (("memory", 0.25), ("file", 0.0)):
        monkeypatch.setattr(training_set, "SHARE", share)
        with Runner("cpu") as runner:
            spaces[name] = train(
                tiny.single_zoo, tmp_path / f"{name}.safetensors", recipe_from(table), tiny.data, runner
            )
    one, other = spaces.values()
    assert torch.equal(one.embeddings, other.embeddings)
    values = other.model.state_dict()
    assert all(torch.equal(value, values[key]) for key, value in one.model.state_dict().items())


def test_deviations_of_very_many_values_are_summed(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    (architecture,) = tiny.single_zoo.architectures()
    weights = 3 + 0.1 * torch.randn(9, architecture.parameter_count, generator=seeded())
    exact = layer_scale(architecture, weights.double()).float()
    stored = StoredRows(torch.device("cpu"))
    held = stored.store(iter(weights), *weights.shape)
    monkeypatch.setattr(training_set, "MOST_AT_ONCE", 100)
    monkeypatch.setattr(training_set, "SUMMED_AT_ONCE", 1000)
    for found in (layer_scale(architecture, weights), layer_scale(architecture, held, stored)):
        torch.testing.assert_close(found, exact, rtol=1e-6, atol=0)


def test_a_full_disk_is_told_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> Iterator[Tensor]:
        yield torch.zeros(4)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunFailed, match=r"weights take 0\.0 GiB.* has no room for them either") as raised:
        StoredRows(torch.device("cpu")).store(rows(), 2, 4)
    assert raised.value.hint == "Name a folder on a larger disk by the variable TMPDIR."


def test_large_files_go_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert scratch_folder() == tmp_path
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(stored_rows, "_LARGE_FOLDER", tmp_path / "absent")
    assert scratch_folder().is_dir()


def test_fields_stay_in_memory(solids: Solids, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_set, "SHARE", 0.0)
    with Runner("cpu") as runner:
        assert load_training_set(solids.zoo, solids.recipe, runner).stored is None


def test_a_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match=r"and nothing can be written into .*absent, which TMPDIR names"):
        StoredRows(torch.device("cpu")).store([torch.zeros(4)], 1, 4)
