"""Where data come from, so that other processes open them, in place of having them sent."""

from __future__ import annotations

from dataclasses import dataclass

from .data import LabelledData
from .datasets import load_data
from .normalise import AS_IT_IS, Normalisation


@dataclass(frozen=True)
class DataSource:
    """Data as `load_data` finds them.

    Attributes:
        spec, size: as in `load_data`.
        normalisation: of images; as usual where it says nothing.
    """

    spec: str
    size: int | None = None
    normalisation: Normalisation = AS_IT_IS

    def open(self) -> LabelledData:
        """Read the data.

        Raises:
            ConfigError, DataUnavailable, InputFileError: as `load_data`.
        """
        return self.normalisation.of(load_data(self.spec, size=self.size))
