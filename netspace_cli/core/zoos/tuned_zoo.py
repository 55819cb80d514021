"""The zoo of networks that were trained further: each is written when it is finished, and read again to go on.

zoo.json, instances.jsonl, instances/   a zoo like any other
runs/<id>.zoo.json                      what came of an instance, also before it is listed
runs/<id>.scratch.json                  what came of the network from scratch beside it, which is not kept
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netspace_models.errors import ConfigError
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.files.outputs import check_folder

from .finished import finished_instance, read_finished, unreadable, write_finished
from .zoo import Instance, Zoo, create_zoo, write_instance

Scores = dict[int, float]
# Under `training` of an instance: the digest of its start's file, what the start was, and its scores by epoch.
FROM, START, SCORES = "finetuned_from", "start", "test_by_epoch"


@dataclass(frozen=True)
class TunedZoo:
    """A zoo of networks that were trained further, as it is made.

    Attributes:
        path: its folder.
        settings: what all of them are a function of, beside their start and the images.
    """

    path: Path
    settings: dict[str, Any]

    def check(self, zoo: Zoo, data: dict[str, Any]) -> int:
        """Refuse a folder that cannot be the result, before any work; how many of a zoo's instances it has.

        Args:
            zoo: of the starts; data: the record of the images.
        Raises:
            ConfigError: it is the zoo of the starts, cannot be made, or has other data or other networks.
            InputFileError: a network there is missing or changed.
        """
        if self.path.exists() and self.path.samefile(zoo.path):
            raise ConfigError(
                f"{self.path} is the zoo whose networks are to be trained further, and stays as it is.",
                f"Choose another folder: {setting('output', 'PATH')}.",
            )
        check_folder(self.path)
        if not (self.path / "zoo.json").is_file():
            return 0
        there = create_zoo(self.path, data, {})
        other = next((i.id for i in there.instances if FROM not in i.training), None)
        if other is not None:
            raise ConfigError(
                f"{self.path} is another zoo: {other} in it was not trained further.", "Choose another folder."
            )
        return sum(self.finished(start, "zoo") is not None for start in zoo.instances)

    def begin(self, zoo: Zoo, data: dict[str, Any]) -> None:
        """Make the folder, or open it: see `check`."""
        self.check(zoo, data)
        create_zoo(self.path, data, {name: zoo.about[name] for name in ("licence",) if name in zoo.about})

    def finished(self, start: Instance, began: str) -> tuple[Scores, Instance | None] | None:
        """What is there already of an instance, or of the network from scratch beside it; None where nothing is.

        Args:
            began: "zoo" or "scratch".
        Returns:
            Scores on the test inputs by epoch, and what an instance has become.
        Raises:
            ConfigError: it was trained from another start or by other settings.
            InputFileError: what is there is missing, changed, or not to be read.
        """
        name = _name(start, began)
        told = read_finished(self.path, name)
        if told is None:
            return None
        try:
            scores = {int(epoch): float(score) for epoch, score in told[SCORES].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as failure:
            raise unreadable(self.path, name, failure) from failure
        self._check_same(start, told, self._provenance(start, began))
        return scores, finished_instance(self.path, name, told) if began == "zoo" else None

    def keep(
        self, start: Instance, state: Mapping[str, Tensor], scores: Scores, accuracy: dict[str, float]
    ) -> Instance:
        """Write what an instance has become; it is not in the manifest yet.

        Args:
            start: what it began from; state: what it has become.
            scores: on the test inputs by epoch; accuracy: by split, in the end.
        """
        file = write_instance(self.path, start.id, start.arch, state, start.licence)
        provenance = self._provenance(start, "zoo")
        begun = {START: {"epochs": start.epochs, "training": start.training}}
        run = {"run": start.training["run"]} if "run" in start.training else {}
        instance = replace(
            start,
            file=file,
            sha256=sha256_of(self.path / file),
            epochs=max(scores),
            accuracy=accuracy,
            training={**provenance, **begun, **run, SCORES: _by_text(scores)},
        )
        write_finished(self.path, _name(start, "zoo"), {**provenance, SCORES: _by_text(scores)}, instance)
        return instance

    def keep_scratch(self, start: Instance, scores: Scores) -> None:
        """Write the scores on the test inputs by epoch of the network from scratch beside an instance."""
        told = {**self._provenance(start, "scratch"), SCORES: _by_text(scores)}
        write_finished(self.path, _name(start, "scratch"), told)

    def _check_same(self, start: Instance, told: dict[str, Any], wanted: dict[str, Any]) -> None:
        for name, value in wanted.items():
            if told.get(name) == value:
                continue
            inside = {k: told[name].get(k) for k in value} if isinstance(value, dict) else {}
            differing = [f"{k} {inside[k]}, not {v}" for k, v in value.items() if inside[k] != v] if inside else []
            how = "from another network" if name == FROM else f"by other settings ({'; '.join(differing) or name})"
            raise ConfigError(
                f"{self.path} has {start.id} already, trained further {how}.",
                "Go on with the settings it was begun with, or choose another folder.",
            )

    def _provenance(self, start: Instance, began: str) -> dict[str, Any]:
        return {**({FROM: start.sha256} if began == "zoo" else {}), **self.settings}


def _name(start: Instance, began: str) -> str:
    return f"{start.id}.{began}"


def _by_text(scores: Scores) -> dict[str, float]:
    return {str(epoch): score for epoch, score in scores.items()}
