"""Runs of the experiment on samples: each method in each space, several times, and rivals; all are saved."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias

from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError, NotFinite, RunFailed
from netspace_models.sampling.kde import PUBLISHED_BANDWIDTH
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.experiments.run_log import RunLog
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import accuracy, labels_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.judge import Judge, Judged
from netspace_cli.core.sampling.methods import Flow, Gan, JointKde, Kde, Method, Neighbours, OneSeedKde, Starts
from netspace_cli.core.sampling.polish import polish, polish_schedule
from netspace_cli.core.sampling.population import TOP, Population, population_of
from netspace_cli.core.sampling.rivals import train_fresh, weight_rivals
from netspace_cli.core.sampling.sample import sample_from
from netspace_cli.core.sampling.together import test_logits
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

Run: TypeAlias = dict[str, Any]
"""One line of the log: space, method, draw, polish; and row, accuracies, overlaps, or an error."""

POLISHED = "starts-polished"
FRESH = "fresh networks"
NARROW = "kde-narrow"
# The three forms of a kernel density stand beside each other: as wide as Scott's rule has it; as narrow as published;
# and that with one seed for all dimensions, as in the public code.
VARIANTS: Mapping[str, Callable[[int], Method]] = {
    "kde": lambda draw: Kde(),
    NARROW: lambda draw: Kde(PUBLISHED_BANDWIDTH),
    OneSeedKde.name: lambda draw: OneSeedKde(seed=OneSeedKde().seed + draw),
    "kde-joint": lambda draw: JointKde(),
    "neighbours": lambda draw: Neighbours(),
    "gan": lambda draw: Gan(),
    "flow": lambda draw: Flow(),
    "starts": lambda draw: Starts(),
}
"""Methods by name; each entry makes the method for a draw's number."""


@dataclass(frozen=True)
class Sampling:
    """Amount of work of the experiment.

    Attributes:
        count: networks a draw; draws: of each method, with seeds of their own.
        methods: names of `VARIANTS`.
        top: share of the training instances to learn from, the best by validation.
        polish: label steps on samples of starts, which then are in the tables both ways; 0 for none.
        arch: of which architecture; None where there is one alone.
    """

    count: int = 10
    draws: int = 3
    methods: tuple[str, ...] = tuple(VARIANTS)
    top: float = TOP
    polish: int = 0
    arch: str | None = None

    def check(self) -> None:
        """Refuse settings that measure nothing.

        Raises:
            ConfigError: no such method, fewer than two networks, no draw, or fewer than no steps.
        """
        for name in self.methods:
            if name not in VARIANTS:
                near = difflib.get_close_matches(name, VARIANTS, n=1)
                hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(VARIANTS)}."
                raise ConfigError(f"unknown method {name!r}.", hint)
        if not self.methods or self.count < 2 or self.draws < 1 or self.polish < 0:
            raise ConfigError(
                f"cannot compare {len(self.methods)} methods with {self.draws} draws of {self.count} networks and "
                f"{self.polish} steps of polishing.",
                f"Give at least one method, one draw and two networks: {setting('count', 10)}.",
            )

    def settings(self) -> dict[str, Any]:
        """Settings that every run depends on; methods, draws and polished samples may be added to."""
        return {"count": self.count, "top": self.top, "arch": self.arch}


@dataclass
class Bench:
    """Shared by the runs: zoo, data, log and runner.

    Attributes:
        zoo: that all spaces were trained on; data: its images, on the runner's device.
        plan: checked.
        log: of finished runs.
        first: the space that names the training instances to learn from.
        remarks: what was left out, and why; filled as it is found.
    """

    zoo: Zoo
    data: ImageData
    runner: Runner
    plan: Sampling
    log: RunLog
    first: Space
    remarks: list[str]

    @cached_property
    def known(self) -> Population:
        """Training instances with weights, from which all methods learn."""
        return population_of(self.first, arch=self.plan.arch, zoo=self.zoo, top=self.plan.top)

    @cached_property
    def judge(self) -> Judge:
        """The judge, which belongs to no space; made on first use."""
        return Judge(self.known, None, self.data, self.runner)

    def kept(self, what: Mapping[str, Any], made: Callable[[], Judged]) -> Run:
        """Return the finished run, or do a new one."""
        done = self.log.find(what)
        if done is not None:
            return done
        try:
            found = made()
        except (NotFinite, RunFailed) as failure:
            return self.log.add({**what, "error": failure.message})
        values = {"accuracies": list(found.accuracies), "overlaps": list(found.overlaps)}
        return self.log.add({**what, "row": asdict(found.row), **values})

    def remark(self, text: str) -> None:
        """Add a remark once."""
        if text not in self.remarks:
            self.remarks.append(text)


def rival_runs(bench: Bench) -> Iterator[Run]:
    """Runs of training instances, and of rivals that do not use a space."""
    plan, known = bench.plan, bench.known
    for place in range(2):
        yield bench.kept({"instances": place}, partial(_instances, bench, place))
    for name, method in weight_rivals(known).items():
        for draw in range(plan.draws):
            what = {"space": None, "method": name, "draw": draw, "polish": 0}
            yield bench.kept(what, partial(_rival, bench, name, method, draw))
    if plan.polish:
        images = polish_schedule(bench.first, known.architecture.name, plan.polish).images
        what = {"space": None, "method": FRESH, "draw": 0, "polish": plan.polish, "images": images}
        yield bench.kept(what, partial(_fresh, bench, images))


def _instances(bench: Bench, place: int) -> Judged:
    return bench.judge.training_rows(bench.plan.count)[place]


def _rival(bench: Bench, name: str, method: Method, draw: int) -> Judged:
    runner = bench.runner.reseeded(bench.runner.seed + draw)
    drawn = sample_from(bench.known, bench.first, bench.plan.count, method, runner)
    return bench.judge.row(name, drawn.networks, images=0)


def _fresh(bench: Bench, images: int) -> Judged:
    architecture, steps, count = bench.known.architecture, bench.plan.polish, bench.plan.count
    found = []
    with bench.runner.progress("training fresh networks", count) as tick:
        for index in range(count):
            weights = train_fresh(architecture, bench.data, bench.runner, index, steps=steps, images=images)
            found.append(Network(architecture, weights))
            tick(1)
    return bench.judge.row(FRESH, found, images=steps * images)


def method_runs(bench: Bench, space: Space) -> Iterator[Run]:
    """Runs of each method that a space allows, for each draw."""
    plan = bench.plan
    population = population_of(space, arch=plan.arch, top=plan.top)
    for name in plan.methods:
        try:
            VARIANTS[name](0).check(population, space)
        except ConfigError as failure:
            bench.remark(f"{name} is left out: {failure.message}")
            continue
        for draw in range(plan.draws):
            what = {"space": space.sha256, "method": name, "draw": draw, "polish": 0}
            yield bench.kept(what, partial(_drawn, bench, space, population, name, draw))
        if name == Starts.name and plan.polish:
            for draw in range(plan.draws):
                what = {"space": space.sha256, "method": POLISHED, "draw": draw, "polish": plan.polish}
                yield bench.kept(what, partial(_drawn, bench, space, population, name, draw, steps=plan.polish))


def _drawn(bench: Bench, space: Space, population: Population, name: str, draw: int, *, steps: int = 0) -> Judged:
    runner, space = bench.runner.reseeded(bench.runner.seed + draw), bench.runner.place(space)
    judge = bench.judge.in_space(population, space)
    found = sample_from(population, space, bench.plan.count, VARIANTS[name](draw), runner, top=bench.plan.top)
    found = polish(found, space, bench.data, runner, steps=steps)
    images = steps * polish_schedule(space, population.architecture.name, steps).images
    return judge.row(POLISHED if steps else name, found.networks, found.embeddings, images=images)


def reconstruction(bench: Bench, space: Space) -> Run:
    """Accuracy of decoded embeddings of training instances and of encoded unseen ones, saved as a run."""
    what = {"space": space.sha256, "reconstruction": bench.known.architecture.name}
    done = bench.log.find(what)
    if done is not None:
        return done
    architecture, placed = bench.known.architecture, bench.runner.place(space)
    rows = [i for i, r in enumerate(space.record["zoo"]) if r["arch"] == architecture.name and r["split"] == "train"]
    unseen = bench.zoo.select(split="test", arch=architecture.name)
    found = {"training": _decoded(bench, placed, architecture, space.embeddings[rows])}
    if unseen:
        networks = [bench.zoo.network(each, architecture) for each in unseen]
        embeddings = encode(networks, placed, bench.runner, data=bench.data, refine_steps=0).vectors
        found["unseen"] = _decoded(bench, placed, architecture, embeddings)
    return bench.log.add({**what, "decoded": found})


def _decoded(bench: Bench, space: Space, architecture: Architecture, embeddings: Tensor) -> list[float]:
    rows = bench.runner.place(embeddings)
    networks = [decode_row(z, space, arch=architecture.name) for z in rows]
    logits = test_logits(networks, bench.data, bench.runner)
    labels = labels_of(bench.data, "test")
    return [accuracy(each, labels) for each in logits]
