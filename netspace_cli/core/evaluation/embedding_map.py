"""A map of embeddings: each one as a point of the plane, near those that it is near to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from netspace_models.errors import ConfigError
from netspace_models.sampling.neighbours import check_umap
from torch import Tensor

Method = Literal["pca", "umap"]
LEAST = 3


@dataclass(frozen=True)
class MapPoint:
    """One network on the map.

    Attributes:
        id: of the instance, or the file of the embedding.
        arch, split: of the instance; split "" where it has none.
        accuracy: on the test images, 0 to 1, or R²; epochs: of its training; None where nobody recorded them.
        over: the name of what is drawn over the map; "" for a point of the map itself.
        x, y: its place.
        measure: what scripts call its accuracy: "accuracy" or "r2".
    """

    id: str
    arch: str
    split: str = ""
    accuracy: float | None = None
    epochs: int | None = None
    over: str = ""
    x: float = 0.0
    y: float = 0.0
    measure: str = "accuracy"

    def row(self) -> dict[str, Any]:
        """As scripts read it; without what is not known."""
        names = ("id", "arch", "split", "over", "accuracy", "epochs", "x", "y")
        found = {self.measure if name == "accuracy" else name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value not in (None, "")}


@dataclass(frozen=True)
class EmbeddingMap:
    """Points of the plane for embeddings.

    Attributes:
        points: with their places.
        axes: what each axis is, in words.
        explained: share of the embeddings' variance along each axis; None where the method has none.
    """

    points: tuple[MapPoint, ...]
    axes: tuple[str, str]
    explained: tuple[float, float] | None


def embedding_map(
    points: Sequence[MapPoint], embeddings: Tensor, *, method: Method = "pca", seed: int = 0
) -> EmbeddingMap:
    """Bring embeddings into the plane.

    Args:
        points: one for each embedding. The map is made without those that are drawn over it.
        embeddings: (N, E).
        method: "pca", the two directions of the largest variance; "umap", which keeps neighbours together.
        seed: of UMAP.
    Raises:
        ConfigError: fewer than three embeddings, all of them equal, or UMAP is not installed.
    """
    rows = embeddings.detach().cpu().double().numpy()
    own = np.array([not point.over for point in points])
    _check_embeddings(rows[own])
    if method == "umap":
        places, axes, explained = _by_umap(rows, own, seed), ("UMAP 1", "UMAP 2"), None
    else:
        places, explained = _by_pca(rows, own)
        axes = ("first principal direction", "second principal direction")
    placed = [_placed(point, place) for point, place in zip(points, places, strict=True)]
    return EmbeddingMap(tuple(placed), axes, explained)


def check_method(method: Method) -> None:
    """Refuse UMAP where it is not installed.

    Raises:
        ConfigError: it is not.
    """
    if method == "umap":
        check_umap("a map by UMAP")


def point_of(record: Mapping[str, Any], over: str = "", *, measure: str = "accuracy") -> MapPoint:
    """A point for an instance, from what a space or a zoo records of it; `measure` is what its score is called."""
    scores = record.get(measure) or record.get("accuracy") or {}
    id, arch, split = (str(record[name]) for name in ("id", "arch", "split"))
    return MapPoint(id, arch, split, scores.get("test"), record.get("epochs"), over, measure=measure)


def _check_embeddings(rows: np.ndarray) -> None:
    if len(rows) < LEAST:
        raise ConfigError(f"a map needs {LEAST} embeddings; there are {len(rows)}.", "Give a space or zoo with more.")
    if not rows.std(axis=0).any():
        raise ConfigError(f"all {len(rows)} embeddings are equal, so a map would be one point.", "Give another zoo.")


def _by_pca(rows: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    from sklearn.decomposition import PCA

    fitted = PCA(2, svd_solver="full").fit(rows[own])
    first, second = fitted.explained_variance_ratio_
    return fitted.transform(rows), (float(first), float(second))


def _by_umap(rows: np.ndarray, own: np.ndarray, seed: int) -> np.ndarray:
    check_method("umap")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which a seed turns off, and of what umap imports
        from umap import UMAP

        fitted = UMAP(2, n_neighbors=min(15, int(own.sum()) - 1), random_state=seed).fit(rows[own])
        places = np.empty((len(rows), 2))
        places[own] = fitted.embedding_
        if not own.all():
            places[~own] = fitted.transform(rows[~own])
    return places


def _placed(point: MapPoint, place: np.ndarray) -> MapPoint:
    return replace(point, x=float(place[0]), y=float(place[1]))
