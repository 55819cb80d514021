"""What is made for a zoo: listed as it is finished, made again where its file is gone, and in order in the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from netspace_models.errors import ConfigError

from .listing import append_instance, order_instances
from .zoo import Instance, Zoo, open_zoo


def lost_files(zoo: Zoo) -> frozenset[str]:
    """Ids of instances whose files are gone."""
    return frozenset(i.id for i in zoo.instances if not os.path.isfile(zoo.file_of(i)))  # of names too long, too


def kept_files(zoo: Zoo) -> frozenset[str]:
    """Ids of instances whose files are there, which need not be made."""
    return frozenset(i.id for i in zoo.instances) - lost_files(zoo)


class Additions:
    """Instances that a command makes for a zoo.

    Args:
        path: of the zoo; it need not be there yet.
        before: the zoo as it is; None if it is new.
        made: "trained" or "fitted", for the message.
    """

    def __init__(self, path: Path, before: Zoo | None, made: str) -> None:
        self.path, self.made = path, made
        self._lost = frozenset[str]() if before is None else lost_files(before)
        self._listed = {} if before is None else {i.id: i.sha256 for i in before.instances}
        self._others: list[Instance] = []

    def add(self, instance: Instance) -> None:
        """List a finished instance, unless it is listed and was made again."""
        if instance.id not in self._lost:
            append_instance(self.path, instance)
        elif instance.sha256 != self._listed[instance.id]:
            self._others.append(instance)

    def end(self, ids: Sequence[str]) -> Zoo:
        """Open the zoo, its instances in this order.

        Raises:
            ConfigError: instances that were made again have become other networks, as on another machine. Their files
                are removed.
        """
        for other in self._others:
            (self.path / other.file).unlink()
        if self._others:
            first, more = self._others[0], f" and {len(self._others) - 1} more" * (len(self._others) > 1)
            raise ConfigError(
                f"the file of {first.id}{more} was gone from {self.path}; {self.made} again, it is not the network "
                f"that is listed (SHA-256 {first.sha256[:12]}, not {self._listed[first.id][:12]}).",
                f"Remove such lines from {self.path / 'instances.jsonl'}, and run the same command again.",
            )
        order_instances(self.path, ids)
        return open_zoo(self.path)
