"""What the score of networks is called in a figure, and what it is multiplied by there."""

from __future__ import annotations

from netspace_models.architectures import NetworkIO

ACCURACY, PERCENT = "accuracy (%)", 100.0


def score_label(io: NetworkIO) -> tuple[str, float]:
    """The name and the factor: accuracy in percent, R², or the share of values within 0.01."""
    if io.logits:
        return ACCURACY, PERCENT
    return (io.problem.score, 1.0) if io.labelled else ("share of values within 0.01", 1.0)
