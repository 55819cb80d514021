"""How the site is built from these pages: `make site`, offline, into build/site."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import pages  # noqa: E402  (beside this file)

project = "netspace"
author = "the netspace developers"
version = release = installed("netspace")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "netspace"
html_show_copyright = False


def write_pages(app: Sphinx) -> None:
    """Write the pages that follow from the code and from documents outside this folder."""
    folder = HERE / "generated"
    folder.mkdir(exist_ok=True)
    for name, text in pages.generated(HERE.parent).items():
        (folder / f"{name}.md").write_text(text)


def lead_inside(app: Sphinx, name: str, source: list[str]) -> None:
    """Documents of the top folder are pages of the site; in the repository, links lead to the files themselves."""
    source[0] = pages.inside(source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", lead_inside)
