"""Fixtures for all tests: nobody's settings, and tiny images, zoos and spaces made once in seconds."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from netspace_models.architectures import build

from netspace_cli.cli import cli as netspace
from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.data.points import field_data
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.requests import choose_space
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes import fragments, path_solids, voxels
from netspace_cli.core.shapes.sources import find_shapes
from netspace_cli.core.spaces.built_in import space_path
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.training.loop import train
from netspace_cli.core.zoos.fit import fit_zoo
from netspace_cli.core.zoos.fitting import FitPlan
from netspace_cli.core.zoos.listing import append_instance
from netspace_cli.core.zoos.plan import ZooPlan
from netspace_cli.core.zoos.train import train_zoo
from netspace_cli.core.zoos.zoo import Instance, Zoo, create_zoo, open_zoo, write_instance
from tests.golden.scenarios import ellipsoids, tiny_images
from tests.small_networks import seeded
from tests.worlds import SHAPE_RECIPE, TINY_RECIPE, Cli, Solids, Stopper, Tiny


def pytest_collection_finish() -> None:
    """Leave all that is imported by now out of garbage collection, which else takes a sixth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what takes long to `make trust`."""
    skip = pytest.mark.skip(reason="`make trust` runs it: it takes long")
    for item in items:
        if item.get_closest_marker("trust") and "MAKE_TRUST" not in os.environ:
            item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_as_in_a_terminal() -> None:
    """Hear SIGINT, which a shell makes its background jobs ignore, and with them all processes that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tiny networks are slower on several threads, and the same bits come out only on as many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Files of tests need not outlive a loss of power; that files are synced, and when, has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the variables by which whoever runs the tests sets options of netspace."""
    for name in [name for name in os.environ if name.startswith("NETSPACE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def commands_open_a_space_once() -> Iterator[None]:
    """Commands open the same few spaces a thousand times; a file that has changed is opened anew."""

    @lru_cache(maxsize=8)
    def opened(path: Path, source: str | Path, changed: int, size: int) -> Space:
        return load_space(source)

    def load(source: str | Path) -> Space:
        path = space_path(source).absolute()
        status = path.stat()
        space = opened(path, source, status.st_mtime_ns, status.st_size)
        if any(":" in each.name for each in space.architectures):
            opened.cache_clear()  # which modules are trusted differs between tests
        return space

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose_space, "load_space", load)
        yield


@pytest.fixture
def cli() -> Cli:
    """Run `netspace` with these arguments: `cli("encode", path, "--json")`; stdout and stderr apart."""

    def run(*arguments: object, env: Mapping[str, str] | None = None) -> Result:
        return CliRunner().invoke(netspace, [str(each) for each in arguments], env=env, prog_name="netspace")

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Made once for all tests; tests read it and write elsewhere."""
    folder = tmp_path_factory.mktemp("tiny")
    np.savez(folder / "tiny.npz", **tiny_images(np.random.default_rng(0)))
    data = load_images(str(folder / "tiny.npz"))
    archs = ("lenetlike", "vanillacnn", "resnet8")
    with Runner("cpu") as runner:
        zoo = train_zoo(folder / "zoo", ZooPlan(archs, (2, 1, 1), (2, 2), lr=3e-3, batch=20), data, runner)
        single_zoo = train_zoo(folder / "single", ZooPlan(("lenetlike",), (3, 1, 3), (0, 3), batch=20), data, runner)
        teachers = train_zoo(folder / "teacher", ZooPlan(("resnet14",), (1, 0, 0), (2, 2), batch=20), data, runner)
        teacher = teachers.network(teachers.instances[0], teachers.architectures()[0])
        recipe = recipe_from(TINY_RECIPE)
        space = train(zoo, folder / "tiny.safetensors", recipe, data, runner, teacher=teacher)
        single_space = train(single_zoo, folder / "one.safetensors", recipe, data, runner)
    networks = {i.arch: zoo.file_of(i) for i in zoo.select(split="test")}
    return Tiny(
        folder / "tiny.npz",
        data,
        zoo,
        single_zoo,
        space,
        single_space,
        teachers.file_of(teachers.instances[0]),
        networks,
    )


@pytest.fixture(scope="session")
def solids(tmp_path_factory: pytest.TempPathFactory) -> Solids:
    """Made once for all tests; tests read it and write elsewhere.

    Trained for long enough that what tests find does not hang on how a processor rounds.
    """
    folder = tmp_path_factory.mktemp("solids")
    np.savez_compressed(folder / "solids.npz", occupancy=ellipsoids(np.random.default_rng(0)))
    plan = FitPlan("siren-16x2", (5, 1, 2), steps=400, points=256, lr=3e-3, shared_init=True)
    with Runner("cpu") as runner:
        zoo = fit_zoo(folder / "zoo", find_shapes(folder / "solids.npz"), plan, runner)
        space = train(zoo, folder / "solids.safetensors", recipe_from(SHAPE_RECIPE), field_data(zoo.data), runner)
    return Solids(folder / "solids.npz", zoo, space, [zoo.file_of(i) for i in zoo.select(split="test")])


@pytest.fixture
def few_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bend, mend and look at shapes on an eighth of the voxels or fewer, in a quarter of the steps."""
    monkeypatch.setattr(voxels, "COUNT", 32**3)
    monkeypatch.setattr(fragments, "POINTS", 2048)
    monkeypatch.setattr(fragments, "STEPS", 6)
    monkeypatch.setattr(path_solids, "RESOLUTION", 32)


@pytest.fixture
def stopper() -> type[Stopper]:
    """Made with after how many steps, or instances, it is to break off."""
    return Stopper


@pytest.fixture(scope="session")
def planted(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Instances whose accuracy goes with the size of their weights; all have one number of epochs."""
    folder = tmp_path_factory.mktemp("planted") / "zoo"
    create_zoo(folder, tiny.data.record(), {})
    architecture = build("lenetlike", tiny.data.io)
    for i in range(30):
        size = 0.05 + 0.01 * i
        weights = size * torch.randn(architecture.parameter_count, generator=seeded(i))
        name = f"planted-{i:02d}"
        file = write_instance(folder, name, "lenetlike", architecture.to_state(weights), "")
        accuracy = {"train": size + 0.1, "val": size, "test": size}
        split = "test" if i % 3 == 1 else "train"
        digest = sha256_of(folder / file)
        append_instance(folder, Instance(name, "lenetlike", split, file, digest, epochs=2, accuracy=accuracy))
    return open_zoo(folder)
