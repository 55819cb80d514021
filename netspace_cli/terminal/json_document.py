"""The one JSON document of a command."""

from __future__ import annotations

import json
from collections.abc import Mapping

from netspace_cli.core.runtime.results import plain

SCHEMA = 1


def render_document(document: Mapping[str, object]) -> str:
    """Render a command's JSON document, schema first; plain ASCII, so that any stdout accepts it."""
    return json.dumps({"schema": SCHEMA, **plain(document)}, indent=2, allow_nan=False)
