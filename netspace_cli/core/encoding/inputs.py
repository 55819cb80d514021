"""What work on networks of a space needs, as worker processes open it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from netspace_models.architectures import Architecture

from netspace_cli.core.data.data import Data
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo


@dataclass(frozen=True)
class Inputs:
    """What is opened.

    Attributes:
        space: the space; data: to refine and to score on, None where they are not available.
        zoo: whose instances are read; None for none.
    """

    space: Space
    data: Data | None
    zoo: Zoo | None = None

    @cached_property
    def architectures(self) -> dict[str, Architecture]:
        """The zoo's architectures by name."""
        return {} if self.zoo is None else {each.name: each for each in self.zoo.architectures()}
