"""The zoo of networks that were trained further: each is written when it is finished, and read again to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netspace_models.errors import ConfigError
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.files.outputs import check_folder
from netspace_cli.core.runtime.results import plain

from .zoo import Instance, Zoo, create_zoo, open_zoo, write_instance

# Under `training` of an instance: scores by epoch of its own, and of the network from scratch beside it.
SCORES = {"zoo": "test_by_epoch", "scratch": "scratch_by_epoch"}


@dataclass(frozen=True)
class TunedZoo:
    """A zoo of networks that were trained further, as it is made.

    Attributes:
        path: its folder.
        settings: what all of them are a function of, beside their start and the images.
    """

    path: Path
    settings: dict[str, Any]

    def begin(self, zoo: Zoo, data: dict[str, Any]) -> None:
        """Make the folder, or open it.

        Args:
            zoo: of the starts; data: the record of the images.
        Raises:
            ConfigError: it is of other data, or something else.
        """
        create_zoo(self.path, data, {name: zoo.about[name] for name in ("licence",) if name in zoo.about})

    def finished(self, starts: Sequence[Instance]) -> dict[tuple[str, str], dict[int, float]]:
        """Scores by epoch of what is there already, by the id and what it began from, "zoo" or "scratch".

        Raises:
            ConfigError: it was trained from other starts or by other settings.
            InputFileError: a zoo that cannot be read.
        """
        if not (self.path / "zoo.json").is_file():
            return {}
        there, found = {i.id: i for i in open_zoo(self.path).instances}, dict[tuple[str, str], dict[int, float]]()
        for start in starts:
            own = there.get(start.id)
            if own is None:
                continue
            if any(own.training.get(name) != value for name, value in self._provenance(start).items()):
                raise ConfigError(
                    f"{self.path} has {start.id} already, trained further from another network or by other settings.",
                    "Go on with the settings it was begun with, or choose another folder.",
                )
            for began, name in SCORES.items():
                if name in own.training:
                    found[start.id, began] = {int(epoch): score for epoch, score in own.training[name].items()}
        return found

    def write(
        self, start: Instance, state: Mapping[str, Tensor], epochs: int, scores: Mapping[int, float], val: float
    ) -> Instance:
        """Write a network's checkpoint; the instance that it becomes is not in the manifest yet.

        Args:
            start: what it began from; state, epochs: what it has become, after how many.
            scores: on the test inputs by epoch; val: on the validation inputs in the end.
        """
        file = write_instance(self.path, start.id, start.arch, state, start.licence)
        training = {**self._provenance(start), SCORES["zoo"]: plain(dict(scores))}
        training |= {"run": start.training["run"]} if "run" in start.training else {}
        return replace(
            start,
            file=file,
            sha256=sha256_of(self.path / file),
            epochs=epochs,
            accuracy={"val": round(val, 6), "test": round(scores[epochs], 6)},
            training=training,
        )

    def _provenance(self, start: Instance) -> dict[str, Any]:
        return {"finetuned_from": start.sha256, **self.settings}


def beside_scratch(tuned: Instance, scores: Mapping[int, float]) -> Instance:
    """An instance with the scores by epoch of the network from scratch beside it."""
    return replace(tuned, training={**tuned.training, SCORES["scratch"]: plain(dict(scores))})


def check_tuned_zoo(path: Path, zoo: Zoo, data: dict[str, Any]) -> None:
    """Refuse a folder that cannot be the result, before any work.

    Args:
        zoo: of the starts; data: the record of the images.
    Raises:
        ConfigError: it is the zoo that the networks begin from, is of other data, cannot be made, or is a file.
    """
    if path.exists() and path.samefile(zoo.path):
        raise ConfigError(
            f"{path} is the zoo whose networks are to be trained further, and stays as it is.",
            f"Choose another folder: {setting('output', 'PATH')}.",
        )
    check_folder(path)
    if (path / "zoo.json").is_file():
        create_zoo(path, data, {})
