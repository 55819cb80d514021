"""How networks are merged: the ways there are, and the settings of those that distil."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netspace_models.errors import ConfigError
from netspace_models.wording import setting

# In the order of the table, which decides between equals: what costs less comes first.
WAYS: Mapping[str, str] = {
    "best": "the best member as it is",
    "mean": "the mean of the members' weights",
    "aligned-mean": "the same with hidden units aligned to the best member's",
    "refreshed-mean": "the same with the statistics of its batch norms refreshed",
    "greedy-mean": "the aligned mean of those alone that do not make it worse: from the best one on, added one by one",
    "space-mean": "the network that the mean of the members' embeddings in a space decodes to",
    "space-best": "the network that the best member's embedding decodes to",
    "from-fresh": "the ensemble distilled into fresh weights",
    "from-best": "the ensemble distilled into the best member's weights",
    "labels-from-best": "the best member trained further by the labels alone, without the ensemble",
    "from-mean": "the ensemble distilled into a mean: the greedy one if it is of several members, else the aligned one",
    "space-from-mean": "the ensemble distilled into an embedding of the space, from the mean of the members'",
    "space-from-best": "the same from the best member's embedding",
}
# N times the cost of one network: what the others are measured by, never what is written.
ENSEMBLE = "ensemble"
# Shown where it is of another architecture than the result, and so nothing to write.
BEST_MEMBER = "best member"
DISTILLING = tuple(name for name in WAYS if "from-" in name)
ON_SPACE = tuple(name for name in WAYS if name.startswith("space-"))
# On weights. The best rate depends on the architecture, so without one that is given several are tried.
LR = 1e-2
RATES = (LR, 3e-3)
# Of all ways together, where neither steps nor a time are given: less than a minute for networks of some thousand
# parameters.
STEPS_IN_ALL = 2000


@dataclass(frozen=True)
class MergePlan:
    """How networks are merged.

    Attributes:
        method: a name in `WAYS`, which is then taken alone; None for all, the best by validation kept.
        steps: of each way that distils, none of which is then stopped; None for `STEPS_IN_ALL` of all ways together,
            or for as many as the budget has time for, what lags behind being stopped.
        images: images a step.
        lr: on weights, falling to zero as a cosine; None for `LR` with `steps`, for the best of `RATES`
            without. Embeddings have the rate that their space records.
        alpha: share of the ensemble beside that of the labels, which have none at 1 or where they are not known.
        temperature: of the distillation loss.
        budget: seconds for the whole work, shared among the ways that distil; None for no limit.
        labels: whether labels are used, where they are known; otherwise they only score what comes of it.
        weigh: whether members teach by weights that fit the validation labels best, in place of equal ones.
        choose_members: whether a part of the members may teach, where it is better on validation images than all.
    """

    method: str | None = None
    steps: int | None = None
    images: int = 256
    lr: float | None = None
    alpha: float = 0.5
    temperature: float = 1.0
    budget: float | None = None
    labels: bool = True
    weigh: bool = False
    choose_members: bool = True

    def check(self) -> None:
        """Refuse settings that nothing can be merged by.

        Raises:
            ConfigError: names the setting.
        """
        if self.method is not None and self.method not in WAYS:
            raise ConfigError(f"unknown way to merge {self.method!r}.", f"Use one of {', '.join(WAYS)}.")
        if self.budget is not None and self.steps is not None:
            raise ConfigError(
                f"{setting('budget', self.budget)} and {setting('steps', self.steps)} cannot be combined: "
                "both set how long to distil.",
                "Give one of them.",
            )
        counts = {"steps": self.steps, "images": self.images, "lr": self.lr, "budget": self.budget}
        counts["temperature"] = self.temperature
        for name, value in counts.items():
            if value is not None and value <= 0:
                raise ConfigError(f"{name} {value:g} distils nothing.", "Give a number above zero.")
        if not 0 <= self.alpha <= 1:
            raise ConfigError(
                f"{setting('alpha', self.alpha)} is not a share.",
                "Give 0 (labels alone) to 1 (no labels).",
            )

    @property
    def rates(self) -> tuple[float, ...]:
        """Rates to try on weights, the likeliest first."""
        if self.lr is not None:
            return (self.lr,)
        return RATES if self.steps is None else (LR,)

    def takes(self, way: str) -> bool:
        """Whether a way is to be tried."""
        return self.method in (None, way)
