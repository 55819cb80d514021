"""Compare the accuracy that a checkpoint's file records with what is measured."""

from __future__ import annotations

from collections.abc import Sequence

# How far a recorded accuracy may be from all that are measured: data sets are split in many ways.
FAR_ACCURACY = 0.03


def accuracy_remark(source: object, recorded: float | None, measured: Sequence[float], arch: str) -> str:
    """A sentence where a recorded accuracy is far from all measured ones, else "".

    Args:
        source: the file, for the sentence; arch: what its network was read as.
        recorded: a fraction, None where the file has none.
        measured: fractions of images that are answered rightly, those of the test split last; () where none were.
    """
    if recorded is None or not measured or min(abs(value - recorded) for value in measured) <= FAR_ACCURACY:
        return ""
    return (
        f"{source} records an accuracy of {recorded:.1%}, and answers {measured[-1]:.1%} of test images rightly here: "
        f"other images, another normalisation or another architecture than {arch}?"
    )
