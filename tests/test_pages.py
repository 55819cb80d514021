"""The pages of the documentation run: each command as it is written, but at a small size."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.worlds import Cli

ROOT = Path(__file__).resolve().parent.parent
TOOL = runpy.run_path(str(ROOT / "tools" / "pages.py"))
steps_of: Any = TOOL["steps_of"]
PAGES = [path for path in sorted((ROOT / "docs").glob("*.md")) if steps_of(path.read_text())]
TASKS = {"compress", "walk", "optimise", "draw", "merge", "shapes", "regress", "your-own"}

# What makes a command quick, after what it is told already; of an option that is given twice the last counts.
QUICK = {
    "encode": "--refine 0",
    "eval": "--refine 1",
    "finetune": "--epochs 0,1 --epoch-images 64",
    "interp": "--refine 0 --steps 1",
    "lso": "--refine 0 --steps 1 --images 8",
    "merge": "--steps 2 --images 8",
    "sample": "-n 2 --rivals none",
    "train": "-s train.steps=1 -s train.instances=2 -s train.images=8 -s train.warmup=0 -s train.validate_every=1 "
    "-s backbone.embedding_size=64 -s backbone.latents=4 -s refine.steps=1",
    "zoo train": "--epochs 1-2 --epoch-images 64",
}
# Of shapes: coarse meshes, and paths that are not solved for.
QUICK_SHAPES = {"mesh": "--resolution 16", "interp": "--straight --steps 1", "lso": "--images 64"}
FEWER = {"0/0/12": "0/0/3"}
LEFT_OUT = {"--weights"}
OUTPUT = re.compile(r"(?:-o|--plot|--csv|--decode|--save-dir) (\S+)")


def test_every_task_has_a_page_with_a_run_and_a_picture() -> None:
    assert {page.stem for page in PAGES} == {*TASKS, "index"}
    for page in PAGES:
        assert re.search(r"!\[[^]]+\]\([\w-]+\.png\)", page.read_text()), page


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("```sh\nnetspace a  # why\nnetspace b \\\n    -o c\n```", [("netspace a", None), ("netspace b -o c", None)]),
        ("```python\n# a.py\nx = 1\n```\n```python\ny = 1\n```", [("# a.py\nx = 1\n", "a.py")]),
        ("    netspace a\n`netspace b`\n```toml\na = 1\n```", []),
    ],
)
def test_what_a_page_has_its_reader_do(text: str, steps: list[tuple[str, str | None]]) -> None:
    assert [(step.text, step.file) for step in steps_of(text)] == steps


@pytest.mark.slow
@pytest.mark.usefixtures("few_voxels")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("examples").symlink_to(ROOT / "examples")
    for step in steps_of(page.read_text()):
        if step.file:
            Path(step.file).write_text(step.text)
            continue
        program, *words = shlex.split(step.text)
        if program == "python":
            runpy.run_path(words[0])
            continue
        assert program == "netspace"
        words = [found for word in words for found in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
        done = cli(*quick(words, shapes=page.stem == "shapes"))
        assert done.exit_code == 0, f"{step.text}\n{done.stderr}"
        for output in OUTPUT.findall(step.text):
            assert Path(output).exists(), step.text


def quick(words: list[str], *, shapes: bool) -> list[str]:
    """A command that is as quick as it can be."""
    name = " ".join(words[:2]) if words[0] == "zoo" else words[0]
    added = QUICK.get(name, "").split() + (QUICK_SHAPES.get(name, "").split() if shapes else [])
    set_anew = {word.partition("=")[0] for word in added if "=" in word}
    kept: list[str] = []
    for word in words:
        if word.partition("=")[0] in set_anew:
            kept.pop()  # the -s before it
        elif word not in LEFT_OUT:
            kept.append(FEWER.get(word, word))
    return [*kept, *added]
