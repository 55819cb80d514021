"""What a network takes and what it gives: the shape of its data, without the data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Signal:
    """Square images in, class logits out.

    Attributes:
        channels: colour channels C of an image.
        size: height and width S of an image, in pixels.
        classes: number of logits K.
    """

    channels: int
    size: int
    classes: int

    def describe(self) -> str:
        """As people write it: "3x32x32, 10 classes"."""
        return f"{self.channels}x{self.size}x{self.size}, {self.classes} classes"
