"""A map of embeddings, as a person asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from netspace_models.errors import ConfigError
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.evaluation.embedding_map import (
    EmbeddingMap,
    MapPoint,
    Method,
    check_method,
    embedding_map,
    point_of,
)
from netspace_cli.core.evaluation.map_figure import Colouring, colouring_of, plot_map
from netspace_cli.core.evaluation.same_data import check_zoo_images
from netspace_cli.core.files.figures import check_figure
from netspace_cli.core.files.outputs import check_no_input, check_output
from netspace_cli.core.networks.scores import key_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import check_space, is_embedding, load_embeddings
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.zoo import Instance, Zoo, open_zoo, record_of

from .choose_space import choose_space_of_zoo


@dataclass(frozen=True)
class MapRequest:
    """What is asked for.

    Attributes:
        source: a space, by built-in name or path, or a zoo's folder.
        output: the figure.
        over: embedding files and zoos, drawn over the map.
        space: of a zoo; None for the built-in one that fits.
        method: how embeddings come into the plane; colour: what by they are coloured, None for what fits.
        force: replace the figure.
    """

    source: str
    output: Path
    over: tuple[Path, ...] = ()
    space: str | None = None
    method: Method = "pca"
    colour: Colouring | None = None
    force: bool = False

    def prepare(self) -> MapTask:
        """Open what is needed and refuse what cannot be done, before any work.

        Raises:
            ConfigError, OutputExists, WrongSpace, InputFileError: say what and why.
        """
        check_no_input([self.output], [self.source, self.space, *self.over])
        check_output(self.output, force=self.force)
        check_figure(self.output)
        check_method(self.method)
        zoo = open_zoo(Path(self.source)) if Path(self.source).is_dir() else None
        if zoo is None and self.space is not None:
            raise ConfigError(
                f"{self.source} is a space, and {self.space} was named as well.",
                f"Leave out {setting('space')}, or give a zoo's folder.",
            )
        space = load_space(self.source) if zoo is None else choose_space_of_zoo(self.space, zoo)
        for each in [*([zoo] if zoo else []), *(open_zoo(path) for path in self.over if path.is_dir())]:
            check_zoo_images(each, space)
        for path in self.over:
            if not path.is_dir():
                _check_embeddings(path, space)
        records = space.record["zoo"] if zoo is None else zoo.records()
        colouring = colouring_of([point_of(record, measure=key_of(space.io)) for record in records], self.colour)
        return MapTask(self, space, zoo, colouring)


@dataclass(frozen=True)
class MapTask:
    """A map that can be made.

    Attributes:
        request: what was asked for.
        space: that has the embeddings; zoo: to be encoded, None for the instances that the space records.
        colouring: what points are coloured by.
    """

    request: MapRequest
    space: Space
    zoo: Zoo | None
    colouring: Colouring

    @property
    def measure(self) -> str:
        """What scripts call the networks' score."""
        return key_of(self.space.io)

    def run(self, runner: Runner) -> EmbeddingMap:
        """Encode what is to be encoded, and make the map."""
        if self.zoo is None:
            points = [point_of(each, measure=self.measure) for each in self.space.record["zoo"]]
            embeddings = [self.space.embeddings]
        else:
            points, encoded = self._encoded(self.zoo, runner)
            embeddings = [encoded]
        for path in self.request.over:
            more, vectors = self._over(path, runner)
            points, embeddings = [*points, *more], [*embeddings, vectors]
        vectors = torch.cat([each.detach().cpu() for each in embeddings])
        return embedding_map(points, vectors, method=self.request.method, seed=runner.seed)

    def write(self, found: EmbeddingMap) -> None:
        """Draw the map."""
        asked = self.request
        count = sum(not point.over for point in found.points)
        title = f"{count} networks in space {self.space.name}"
        plot_map(asked.output, found, title, self.colouring, self.space.io, force=asked.force)

    def _over(self, path: Path, runner: Runner) -> tuple[list[MapPoint], Tensor]:
        if path.is_dir():
            return self._encoded(open_zoo(path), runner, over=path.name)
        embeddings = load_embeddings(path)
        names = [origin.source or path.name for origin in embeddings.origins]
        points = [MapPoint(n, o.arch, over=path.stem) for n, o in zip(names, embeddings.origins, strict=True)]
        return points, embeddings.vectors

    def _encoded(self, zoo: Zoo, runner: Runner, *, over: str = "") -> tuple[list[MapPoint], Tensor]:
        instances: list[Instance] = []
        parts = []
        for architecture in zoo.architectures():
            chosen = zoo.select(arch=architecture.name)
            with runner.progress(f"encoding {architecture.name}", len(chosen)) as tick:
                for instance in chosen:
                    parts.append(encode([zoo.network(instance, architecture)], self.space, runner).vectors)
                    tick(1)
            instances += chosen
        records = [record_of(each, zoo.io) for each in instances]
        return [point_of(each, over, measure=self.measure) for each in records], torch.cat(parts)


def _check_embeddings(path: Path, space: Space) -> None:
    if not is_embedding(path):
        raise ConfigError(f"{path} is neither an embedding file nor a zoo.", "Encode the network first.")
    check_space(path, load_embeddings(path), space)
