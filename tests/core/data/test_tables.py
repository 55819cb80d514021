"""Tables: what is read, how it is standardised, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netspace_models.architectures import TableIO
from netspace_models.errors import ConfigError, DataUnavailable, InputFileError

from netspace_cli.core.data.datasets import load_data
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.data.tables import TableData, load_table
from tests.small_networks import seeded


def arrays(rows: int = 50, **others: Any) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    found = {}
    for part in ("train", "val", "test"):
        found[f"{part}_inputs"] = draw.normal(3, 2, (rows, 4))
        found[f"{part}_targets"] = draw.normal(100, 20, rows)
    return {name: array for name, array in {**found, **others}.items() if array is not None}


def written(path: Path, rows: int = 50, **others: Any) -> Path:
    np.savez(path / "table.npz", **arrays(rows, **others))
    return path / "table.npz"


def test_rows_and_targets_are_standardised_by_the_training_rows(tmp_path: Path) -> None:
    data = load_data(str(written(tmp_path)))
    assert isinstance(data, TableData) and data.io == TableIO(4, 1) and data.name == "npz:table.npz"
    inputs, labels = data.batch("train", slice(None))
    assert inputs.dtype == labels.dtype == torch.float32 and labels.shape == (50, 1)
    for values in (inputs, labels):
        torch.testing.assert_close(values.mean(0), torch.zeros(values.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(values.std(0, unbiased=False), torch.ones(values.shape[1]))
    test, _ = data.batch("test", slice(None))
    again = test * torch.tensor(data.scale.std) + torch.tensor(data.scale.mean)
    torch.testing.assert_close(again, torch.from_numpy(arrays()["test_inputs"]).float())


def test_without_val_a_fifth_of_train_is_taken(tmp_path: Path) -> None:
    data = load_table(written(tmp_path, val_inputs=None, val_targets=None))
    assert [len(data.splits[s]) for s in ("train", "val", "test")] == [40, 10, 50]
    assert data.notes == ("val is the last 10 of a fixed permutation of the 50 training rows",)
    assert data.val_of_train and not load_table(written(tmp_path)).val_of_train
    both = torch.cat([data.raw["train"].labels, data.raw["val"].labels]).flatten().sort().values
    torch.testing.assert_close(both, torch.from_numpy(arrays()["train_targets"]).float().sort().values)


def test_few_rows_without_val_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="it has 4 training rows and no val, which takes a fifth of them"):
        load_table(written(tmp_path, rows=4, val_inputs=None, val_targets=None))


def test_several_targets_and_a_column_of_one_value(tmp_path: Path) -> None:
    constant = np.ones((50, 2))
    targets: dict[str, Any] = {f"{part}_targets": constant for part in ("train", "val", "test")}
    data = load_table(written(tmp_path, **targets))
    assert data.io == TableIO(4, 2) and bool((data.splits["train"].labels == 0).all())


def test_batches_of_several_networks_are_those_of_each(tmp_path: Path) -> None:
    data = load_table(written(tmp_path))
    index = torch.tensor([[0, 3], [5, 1], [2, 2]])
    inputs, labels = data.augmented_each("train", index, generators=[seeded()] * 3)
    assert inputs.shape == (3, 2, 4) and labels.shape == (3, 2, 1)
    torch.testing.assert_close(inputs[1], data.augmented("train", index[1], generator=seeded())[0])


def test_the_record_changes_with_a_value(tmp_path: Path) -> None:
    one = load_table(written(tmp_path)).record()
    changed = arrays()["test_targets"]
    changed[7] += 1
    other = load_table(written(tmp_path, test_targets=changed)).record()
    assert one["splits"]["train"] == other["splits"]["train"] and one["splits"]["test"] != other["splits"]["test"]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"train_inputs": np.full((50, 4), "a")}, "train_inputs is <U1, not numbers"),
        ({"val_inputs": np.zeros((50, 4, 1))}, "val_inputs has the shape (50, 4, 1); expected (N, D)"),
        ({"test_targets": np.zeros((50, 1, 1))}, "test_targets has the shape (50, 1, 1); expected (N,) or (N, K)"),
        ({"test_targets": np.zeros(49)}, "test_inputs has 50 rows and test_targets 49"),
        ({"test_inputs": np.zeros((50, 3))}, "test has 3 features and 1 targets, train has 4 and 1"),
        ({"train_targets": np.full(50, np.nan)}, "train_targets has values that are not finite"),
        ({"train_targets": np.full(50, 1e300)}, "train_targets has values that are not finite"),
        ({"train_targets": None}, "train_targets missing"),
        ({"val_targets": None}, "val_targets missing"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, others: dict[str, Any], words: str) -> None:
    path = written(tmp_path, **others)
    with pytest.raises(InputFileError) as refused:
        load_table(path)
    assert words in refused.value.message and refused.value.hint


def test_a_size_is_for_images_and_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a table, and has no images of 8 pixels"):
        load_data(str(written(tmp_path)), size=8)
    with pytest.raises(DataUnavailable, match="does not exist"):
        load_data(str(tmp_path / "none.npz"))
    images: dict[str, Any] = {f"{s}_images": np.zeros((10, 8, 8), np.uint8) for s in ("train", "test")}
    np.savez(tmp_path / "images.npz", **images, train_labels=np.arange(10) % 2, test_labels=np.arange(10) % 2)
    assert isinstance(load_data(str(tmp_path / "images.npz")), ImageData)
