"""One word per thing: names that were given up do not come back (docs/words.md), and few ask which kind it is."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What a thing was called, and what it is called.
GIVEN_UP = {
    "vector": "weights, of a network; embedding, of a space",
    "Signal": "NetworkIO",
    "ImageSignal": "ImageIO",
    "FieldSignal": "FieldIO",
    "signal_from": "io_from",
    "known_signal": "known_io",
    "to_vector": "to_weights",
    "Undoing": "KroneckerPreconditioner",
    "Tangent": "FactoredJacobian",
    "tangent_of": "factored_jacobian",
    "ArchitectureCodec": "ArchitectureHead",
    "LayerBases": "LowRankDirections",
    "cuts_of": "choose_ranks",
    "Goal": "ImageObjective",
    "ShapeGoal": "ShapeObjective",
    "ScanGoal": "ScanObjective",
    "Aim": "Objective",
    "goal_of": "image_objective",
    "Reach": "Parametrisation",
    "Standing": "Score",
    "Descent": "AdamSchedule",
    "descend": "minimise",
    "Cells": "Voxels",
    "pieces_of": "connected_components",
    "crumbs_of": "fragments_of",
    "mended": "remove_fragments",
    "mender": "fragment_remover",
    "stretched": "rescaled",
    "Frame": "RenderedPicture",
    "Course": "Tracker, of a search",
    "optimized": "optimised",
    "lacks": "wrong_space_error",
    "no_accuracy": "missing_images_note",
    "required_data": "require_data",
    "data_for": "choose_data",
    "space_for": "choose_space",
    "note_ignored": "note_unused",
    "approach": "refine_by_gauss_newton",
}
# Embeddings are vectors of a space.
VECTORS = "netspace_cli/core/spaces/embeddings.py"
PHRASES = ("networks that are signals", "have no part in what is done", "they are told of")
KINDS = frozenset(
    {"FieldData", "FieldIO", "ImageData", "ImageIO", "ImageKind", "FieldKind", "ShapeKind", "PictureKind"}
    | {"TableData", "TableIO", "TableKind"}
    | {"ShapeObjective", "ScanObjective", "ImageObjective"}
)
MOST_QUESTIONS = 12


def sources() -> list[Path]:
    return [path for folder in ("netspace_cli", "models") for path in sorted((ROOT / folder).rglob("*.py"))]


def names(text: str) -> Iterator[tuple[int, str]]:
    """Every identifier of a source file, with its line; of none, where no name that was given up is in its text."""
    if not any(name in text for name in GIVEN_UP):
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def questions(text: str) -> list[int]:
    """The lines where code asks which kind of network something is of."""
    if "isinstance" not in text:
        return []
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "isinstance"
        if KINDS & {each.id for each in ast.walk(call.args[1]) if isinstance(each, ast.Name)}
    ]


def test_names_that_were_given_up_do_not_come_back() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name} is called {GIVEN_UP[name]}"
        for path in sources()
        for line, name in names(path.read_text())
        if name in GIVEN_UP and path.relative_to(ROOT).as_posix() != VECTORS
    ]
    assert found == []


@pytest.mark.parametrize("phrase", PHRASES)
def test_phrases_that_were_given_up_do_not_come_back(phrase: str) -> None:
    texts = [*sources(), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    assert [str(path.relative_to(ROOT)) for path in texts if phrase in path.read_text()] == []


def test_few_places_ask_which_kind_a_network_is_of() -> None:
    found = [f"{path.relative_to(ROOT)}:{line}" for path in sources() for line in questions(path.read_text())]
    assert 0 < len(found) <= MOST_QUESTIONS, found


def test_a_question_and_a_name_are_found() -> None:
    assert questions("x = isinstance(data, FieldData | None)\ny = isinstance(data, str)") == [1]
    assert [name for _, name in names("goal = Goal(vector='vector')  # Aim") if name in GIVEN_UP] == ["Goal", "vector"]
