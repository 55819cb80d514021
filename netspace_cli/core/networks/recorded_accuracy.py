"""Compare the accuracy that a checkpoint's file records with what is measured."""

from __future__ import annotations

from collections.abc import Sequence

from netspace_cli.core.data.images import images_or_none
from netspace_cli.core.runtime.runner import Runner

from .assumptions import compared
from .network import Network
from .scores import accuracy, labels_of, logits_of

# How far a recorded accuracy may be from all that are measured: data sets are split in many ways.
FAR_ACCURACY = 0.03
# Test images that accuracies are measured on: enough for a figure of two digits.
TEST_IMAGES = 2000


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


def compare_recorded(
    networks: Sequence[Network], data: object, runner: Runner, measured: Sequence[float | None] = ()
) -> None:
    """Say of each network whose file records an accuracy where labelled images show another one.

    The sentences are remarks, for whoever collects them (`collecting`).

    Args:
        data: what the networks are run on, on any device; nothing is compared but on labelled images.
        measured: accuracies on the test split, where they are known; else they are measured on its first images.
    """
    images = images_or_none(data)
    if images is None or not images.labelled:
        return
    for i, network in enumerate(networks):
        if network.accuracy is None:
            continue
        known = measured[i] if i < len(measured) else None
        if known is None:
            placed, weights = runner.place(images), runner.place(network.weights)
            logits = logits_of(network.architecture, weights, placed, "test", runner, most=TEST_IMAGES)
            known = accuracy(logits, labels_of(images, "test")[: len(logits)])
        remark = accuracy_remark(network.source, network.accuracy, [known], network.architecture.name)
        if remark:
            compared(remark)
