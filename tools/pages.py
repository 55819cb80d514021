"""Run the commands of the documentation's pages as a reader types them, and print how long each page took.

python tools/pages.py [--keep FOLDER] [PAGE ...]    (by default all pages of docs/)

What a page has in a block of `sh` runs on what ships with netspace: all such blocks of a page, from top to bottom, in
one new folder that has `examples/`. A block of `python` whose first line is a file's name as a comment is that file.
Commands that need a reader's own files are indented, and not run. --keep copies the pictures that a page draws.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.py)\n")


@dataclass(frozen=True)
class Step:
    """A command of a page, or a file that it has the reader write.

    Attributes:
        text: the command, or what the file contains.
        file: name of the file; None for a command.
    """

    text: str
    file: str | None = None


def steps_of(page: str) -> list[Step]:
    """Return what a page has its reader do, in order."""
    steps = []
    for language, block in BLOCK.findall(page):
        named = FILE.match(block)
        if language == "sh":
            lines = block.replace("\\\n", " ").splitlines()
            steps += [Step(" ".join(line.split("  #")[0].split())) for line in lines if line.strip()]
        elif named:
            steps.append(Step(block, named[1]))
    return steps


def run(page: Path, folder: Path) -> list[str]:
    """Do what a page says in this folder; returns the commands.

    Raises:
        SystemExit: a command failed.
    """
    (folder / "examples").symlink_to(ROOT / "examples")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    commands = []
    for step in steps_of(page.read_text()):
        if step.file:
            (folder / step.file).write_text(step.text)
            continue
        print(f"\n$ {step.text}", flush=True)
        if subprocess.run(step.text, shell=True, cwd=folder, env=environment, check=False).returncode:
            sys.exit(f"{page}: this command failed: {step.text}")
        commands.append(step.text)
    return commands


def main(pages: list[Path], keep: Path | None) -> None:
    """Run pages one after the other, and print a table."""
    rows = []
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            commands = run(page, Path(folder))
            rows.append((page.name, len(commands), time.monotonic() - began))
            if keep is not None:
                for picture in Path(folder).glob("*.png"):
                    shutil.copy(picture, keep / f"{page.stem}-{picture.name}")
    print("\npage\tcommands\tseconds")
    for name, count, seconds in rows:
        print(f"{name}\t{count}\t{seconds:.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run the commands of the documentation's pages.")
    parser.add_argument("pages", nargs="*", type=Path, default=sorted((ROOT / "docs").glob("*.md")))
    parser.add_argument("--keep", type=Path, help="existing folder for the pictures")
    given = parser.parse_args()
    main([page for page in given.pages if steps_of(page.read_text())], given.keep)
