"""The lowest version of every package that pyproject.toml allows, as constraints for pip.

python tools/lowest.py > constraints.txt
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def lowest_of(project: Mapping[str, Any]) -> list[str]:
    """Return `name==version` for each requirement of a project and of its extras; its own extras are left out."""
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    # The first bound is the lower one. constraints.txt may not name a package's extras.
    found = [re.match(r"([\w.-]+)(?:\[[\w,]+\])?(?:>=|==)([\d.]+\*?)", line) for line in lines]
    return sorted({f"{each[1]}=={each[2]}" for each in found if each is not None})


if __name__ == "__main__":
    print("\n".join(lowest_of(tomllib.loads(PYPROJECT.read_text())["project"])))
