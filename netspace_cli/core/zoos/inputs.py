"""What work on networks of a zoo needs, as worker processes open it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from netspace_models.architectures import Architecture

from netspace_cli.core.data.data import LabelledData

from .zoo import Zoo


@dataclass(frozen=True)
class ZooInputs:
    """A zoo and the images that its instances are scored or trained on."""

    zoo: Zoo
    data: LabelledData

    @cached_property
    def architectures(self) -> dict[str, Architecture]:
        """The zoo's architectures by name."""
        return {each.name: each for each in self.zoo.architectures()}
