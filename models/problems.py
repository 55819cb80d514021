"""What labelled networks are trained for and judged by: classes, or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Problem(Protocol):
    """What outputs (N, K) of a network are to be, given labels, and how good they are.

    Attributes:
        score: what networks are scored by, in words; key: the same as a key of documents.
    """

    score: str
    key: str

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean loss over inputs."""
        ...

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of each input, (N,)."""
        ...

    def blank_labels(self, outputs: Tensor) -> Tensor:
        """Labels of the form that goes with outputs, all zero."""
        ...

    def scored(self, outputs: Tensor, labels: Tensor) -> float:
        """Score of a network, at most 1."""
        ...

    def agreement(self, a: Tensor, b: Tensor) -> float:
        """How alike two networks answer, both (N, K); 1 for the same answers."""
        ...

    def together(self, outputs: Sequence[Tensor]) -> Tensor:
        """Answer of an ensemble, (N, K), from the outputs of its members."""
        ...

    def mistakes(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mistakes of a network, as `overlaps` compares them, of any shape."""
        ...

    def overlaps(self, mistakes: Tensor, others: Tensor) -> Tensor:
        """Common mistakes of networks (n, …) and (m, …): (n, m), 1 for the same ones."""
        ...


class Classification:
    """One of K classes: outputs are logits, labels (N,) are numbers of classes."""

    score = "accuracy"
    key = "accuracy"

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy in nats."""
        return F.cross_entropy(outputs, labels)

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy in nats."""
        return F.cross_entropy(outputs, labels, reduction="none")

    def blank_labels(self, outputs: Tensor) -> Tensor:
        """(N,) zeros."""
        return torch.zeros(len(outputs), dtype=torch.int64, device=outputs.device)

    def scored(self, outputs: Tensor, labels: Tensor) -> float:
        """Share of inputs with the label as the largest logit."""
        return (outputs.argmax(1) == labels).double().mean().item()

    def agreement(self, a: Tensor, b: Tensor) -> float:
        """Share of inputs that both give the same class."""
        return (a.argmax(1) == b.argmax(1)).double().mean().item()

    def together(self, outputs: Sequence[Tensor]) -> Tensor:
        """Logarithm of the members' mean probabilities."""
        return torch.stack([each.double().softmax(1) for each in outputs]).mean(0).clamp_min(1e-12).log()

    def mistakes(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """(N,) whether the answer is wrong."""
        return outputs.argmax(1) != labels

    def overlaps(self, mistakes: Tensor, others: Tensor) -> Tensor:
        """Intersection over union of the inputs that both answer wrongly; 0 where neither makes any mistake."""
        own, known = mistakes.double(), others.double()
        shared = own @ known.T
        union = own.sum(1)[:, None] + known.sum(1) - shared
        return shared / union.clamp_min(1)


class Regression:
    """K numbers: labels are (N, K) like outputs, with errors squared."""

    score = "R²"
    key = "r2"

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(outputs, labels)

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Squared error, mean over the numbers."""
        return (outputs - labels).square().mean(1)

    def blank_labels(self, outputs: Tensor) -> Tensor:
        """(N, K) zeros."""
        return torch.zeros_like(outputs)

    def scored(self, outputs: Tensor, labels: Tensor) -> float:
        """R², the coefficient of determination, mean over the numbers.

        For a number that never varies: 1 if it is met, else 0.
        """
        values, wanted = outputs.double(), labels.double()
        error = (values - wanted).square().sum(0)
        spread = (wanted - wanted.mean(0)).square().sum(0)
        constant = (error == 0).double()
        return torch.where(spread > 0, 1 - error / spread.clamp_min(1e-300), constant).mean().item()

    def agreement(self, a: Tensor, b: Tensor) -> float:
        """R² of the second's outputs, with the first's as labels."""
        return self.scored(b, a)

    def together(self, outputs: Sequence[Tensor]) -> Tensor:
        """The members' mean."""
        return torch.stack([each.double() for each in outputs]).mean(0).float()

    def mistakes(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """(N · K,) errors."""
        return (outputs - labels).flatten()

    def overlaps(self, mistakes: Tensor, others: Tensor) -> Tensor:
        """Cosine between errors, from -1 to 1; 0 where one makes none."""
        own, known = (F.normalize(each.double(), dim=1) for each in (mistakes, others))
        return own @ known.T


CLASSIFICATION, REGRESSION = Classification(), Regression()
