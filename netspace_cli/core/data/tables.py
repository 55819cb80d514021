"""Tables of numbers in memory: rows with numbers to predict, standardised, and their record in a space."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from netspace_models.architectures import TableIO
from netspace_models.errors import ConfigError, InputFileError
from netspace_models.sending import sent
from torch import Tensor

from .image_files import npz_names, read_arrays
from .images import SPLITS

Numbers = tuple[float, ...]
# Of which a fifth is one.
LEAST_ROWS = 5


# eq=False: comparing tensors gives a tensor, not a truth value.
@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table with their targets.

    Attributes:
        inputs: (N, D) float32; labels: (N, K) float32, on the same device.
    """

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Rows:
        """The same rows on `device`."""
        return Rows(self.inputs.to(device), self.labels.to(device))

    def sha256(self) -> str:
        """Digest of the inputs' bytes and then the targets', in order."""
        digest = hashlib.sha256()
        for tensor in (self.inputs, self.labels):
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Scale:
    """Means and standard deviations that features and targets are standardised with, as a network knows them."""

    mean: Numbers
    std: Numbers
    target_mean: Numbers
    target_std: Numbers


@dataclass(frozen=True, eq=False)
class TableData:
    """A table with splits train, val and test, in memory.

    Attributes:
        name: what was loaded, e.g. "npz:diabetes.npz".
        io: features D and targets K.
        raw: exactly "train", "val" and "test", none empty, as read.
        scale: what they are standardised with.
        notes: how the splits came about, where the source did not give them.
        labelled: whether targets are to be used.
        val_of_train: whether val was taken from the training rows, as the source gave none.
    """

    name: str
    io: TableIO
    raw: Mapping[str, Rows]
    scale: Scale
    notes: tuple[str, ...] = ()
    labelled: bool = True
    val_of_train: bool = False

    @cached_property
    def splits(self) -> Mapping[str, Rows]:
        """Standardised rows and targets by split."""
        s = self.scale
        return {
            name: Rows(
                _standardised(rows.inputs, s.mean, s.std), _standardised(rows.labels, s.target_mean, s.target_std)
            )
            for name, rows in self.raw.items()
        }

    def record(self) -> dict[str, Any]:
        """The data's description for files that depend on it, as plain JSON values; not with the device."""
        return {
            "name": self.name,
            "io": asdict(self.io),
            "splits": {name: {"n": len(rows), "sha256": rows.sha256()} for name, rows in self.raw.items()},
            **{key: list(values) for key, values in asdict(self.scale).items()},
            "notes": list(self.notes),
        }

    def to(self, device: torch.device | str) -> TableData:
        """The same table on `device`."""
        return replace(self, raw={name: rows.to(device) for name, rows in self.raw.items()})

    def without_labels(self) -> TableData:
        """The same rows, as if no targets were known."""
        return replace(self, labelled=False)

    def batch(self, split: str, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return standardised rows and targets.

        Args:
            split: "train", "val" or "test".
            index: (B,) int64 on any device, or a slice.
        Returns:
            (B, D) and (B, K) float32, on the data's device.
        Raises:
            ConfigError: no such split.
        """
        if split not in self.splits:
            raise ConfigError(f"{self.name} has no split {split!r}.", f"It has {', '.join(self.splits)}.")
        rows = self.splits[split]
        if isinstance(index, Tensor):
            index = sent(index, rows.inputs.device)
        return rows.inputs[index], rows.labels[index]

    def augmented(self, split: str, index: Tensor | slice, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a `batch`: rows of a table are not augmented."""
        return self.batch(split, index)

    def augmented_each(
        self, split: str, index: Tensor, *, generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Return a `batch` for several networks: (B, N) indices to (B, N, D) and (B, N, K)."""
        return self.batch(split, index)

    def draw(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `count` rows of a split with replacement."""
        return self.batch(split, torch.randint(len(self.raw[split]), (count,), generator=generator))

    def sample(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `count` different rows of a split, or all if it has fewer."""
        return self.batch(split, torch.randperm(len(self.raw[split]), generator=generator)[:count])


def table_or_none(data: object) -> TableData | None:
    """The data if they are a table; None for images or points."""
    return data if isinstance(data, TableData) else None


def holds_table(path: Path) -> bool:
    """Whether a .npz file holds a table, not images. False for what cannot be read: reading it as images says why."""
    held = npz_names(path)
    return held is not None and "train_inputs" in held and "train_images" not in held


def load_table(path: Path) -> TableData:
    """Read a table: {train,val,test}_inputs, (N, D), and {train,val,test}_targets, (N,) or (N, K); numbers.

    Without val, the last fifth of a fixed permutation of train becomes val. Features and targets are standardised by
    the training rows.

    Raises:
        DataUnavailable: no such file.
        InputFileError: arrays are missing, broken, or of another shape or type; or values that are not finite.
    """
    named = [f"{part}_{what}" for part in SPLITS for what in ("inputs", "targets")]
    hint = f"netspace reads a table as {', '.join(named)}; val may be absent."
    arrays = read_arrays(path, named, {"val_inputs", "val_targets"}, hint)
    raw = {part: _rows(path, part, arrays) for part in SPLITS if f"{part}_inputs" in arrays}
    for part, rows in raw.items():
        found, wanted = ((r.inputs.shape[1], r.labels.shape[1]) for r in (rows, raw["train"]))
        if found != wanted:
            reason = f"{part} has {found[0]} features and {found[1]} targets, train has {wanted[0]} and {wanted[1]}."
            raise InputFileError(path, reason, "Give all splits the same columns.")
    taken, notes = raw, tuple[str, ...]()
    if "val" not in raw:
        if len(raw["train"]) < LEAST_ROWS:
            reason = f"it has {len(raw['train'])} training rows and no val, which takes a fifth of them."
            raise InputFileError(path, reason, f"Give val_inputs and val_targets, or {LEAST_ROWS} rows or more.")
        taken, notes = _with_val(raw)
    train = taken["train"]
    scale = Scale(*_mean_and_std(train.inputs), *_mean_and_std(train.labels))
    io = TableIO(train.inputs.shape[1], train.labels.shape[1])
    splits = {part: taken[part] for part in SPLITS}
    return TableData(f"npz:{path.name}", io, splits, scale, notes, val_of_train="val" not in raw)


def _rows(path: Path, part: str, arrays: Mapping[str, np.ndarray]) -> Rows:
    inputs, targets = (arrays[f"{part}_{what}"] for what in ("inputs", "targets"))
    for name, array in ((f"{part}_inputs", inputs), (f"{part}_targets", targets)):
        if array.dtype.kind not in "fiu":
            raise InputFileError(path, f"{name} is {array.dtype}, not numbers.", "Encode categories as numbers first.")
        if array.ndim not in ((2,) if array is inputs else (1, 2)) or 0 in array.shape:
            wanted = "(N, D)" if array is inputs else "(N,) or (N, K)"
            raise InputFileError(path, f"{name} has the shape {array.shape}; expected {wanted}.", "Leave none empty.")
        if not np.isfinite(_float32(array)).all():
            raise InputFileError(path, f"{name} has values that are not finite.", "Fill in or leave out such rows.")
    if len(inputs) != len(targets):
        reason = f"{part}_inputs has {len(inputs)} rows and {part}_targets {len(targets)}."
        raise InputFileError(path, reason, "Give each row its targets.")
    columns = targets if targets.ndim == 2 else targets[:, None]
    return Rows(*(torch.from_numpy(_float32(each)) for each in (inputs, columns)))


def _float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # infinite or NaN then, which is refused
        return array.astype(np.float32)


def _with_val(raw: Mapping[str, Rows]) -> tuple[dict[str, Rows], tuple[str, ...]]:
    """Take a fifth of train as val."""
    train, n = raw["train"], len(raw["train"])
    order = torch.from_numpy(np.random.RandomState(0).permutation(n))
    parts = {"train": order[: n - n // 5], "val": order[n - n // 5 :]}
    taken = {part: Rows(train.inputs[index], train.labels[index]) for part, index in parts.items()}
    return {**raw, **taken}, (f"val is the last {n // 5} of a fixed permutation of the {n} training rows",)


def _mean_and_std(values: Tensor) -> tuple[Numbers, Numbers]:
    """Mean and deviation of each column of (N, D), rounded to what a record holds."""
    columns = values.double()
    # A column of one value has nothing to scale, and dividing by 0 would make it NaN.
    stds = (float(f"{v:.9g}") or 1.0 for v in columns.std(0, unbiased=False).tolist())
    return tuple(float(f"{v:.9g}") for v in columns.mean(0).tolist()), tuple(stds)


def _standardised(values: Tensor, mean: Numbers, std: Numbers) -> Tensor:
    return (values - values.new_tensor(mean)) / values.new_tensor(std)
