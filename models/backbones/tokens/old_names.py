"""Older names: of the tokens backbone's values in spaces, and of its keys in recipes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import ConfigError

# Older names of values and those of today, as patterns.
_VALUES = (
    ("probes", "probes.inputs"),
    ("first", "reader.first"),
    ("probe_positions", "reader.sources.answers.positions"),
    ("start", "reader.start"),
    ("latent_positions", "writer.positions"),
    (r"codecs\.(\d+)\.positions", r"reader.sources.weights.positions.\1.chunks"),
    (r"codecs\.(\d+)\.layers", r"reader.sources.weights.positions.\1.layers"),
    (r"codecs\.(\d+)\.queries", r"writer.queries.\1"),
    (r"codecs\.(\d+)\.(scale|bias)", r"heads.\1.\2"),
    (r"codecs\.(\d+)\.bases\.(.*)", r"heads.\1.direct.\2"),
    (r"(read_chunk|read_statistics)\.(.*)", r"reader.sources.weights.\1.\2"),
    (r"read_answer\.(.*)", r"reader.sources.answers.read_answer.\1"),
    (r"(gather|mix|norm_latents|to_embedding)\.(.*)", r"reader.\1.\2"),
    (r"(from_embedding|unmix|spread|norm_chunks|write_chunk)\.(.*)", r"writer.\1.\2"),
    (r"corrections\.(.*)", r"feedback.corrections.\1"),
)
_WHOLE = tuple((re.compile(rf"\A(?:{pattern})\Z"), today) for pattern, today in _VALUES)
# Optimisers of older runs number these values first, then those of each architecture.
_VECTORS = (
    "probes.inputs",
    "reader.first",
    "reader.sources.answers.positions",
    "reader.start",
    "writer.positions",
)
_OF_ARCHITECTURE = re.compile(r"(?:reader\.sources\.weights\.positions|writer\.queries|heads)\.(\d+)(?:\..*)?")

# Older keys of `[backbone]`, and table and key of today.
_KEYS = {
    "path": ("direct", "kind"),
    "gain": ("direct", "gain"),
    "read": ("reader", "kind"),
    "probes": ("reader", "probes"),
    "write": ("writer", "kind"),
    "feedback": ("feedback", "rounds"),
    "second_order": ("feedback", "second_order"),
    "solve": ("solve", "steps"),
    "solve_points": ("solve", "points"),
    "solve_near": ("solve", "near_surface_share"),
}
# Values of these that have another name today.
_VALUES_OF_KEYS = {
    "read": {"all": "weights", "none": "constant"},
    "write": {"all": "attention"},
}


def renamed(name: str) -> str:
    """Present name of a value, from its present or an older name."""
    for pattern, today in _WHOLE:
        # `sub` remembers how a template is read, `Match.expand` does not, and a file has hundreds of names.
        found, times = pattern.subn(today, name)
        if times:
            return found
    return name


def ordered(names: Iterable[str]) -> list[str]:
    """Sort names of values as optimisers of older runs number them.

    Args:
        names: in the order of `TokensBackbone`: probes, reader, writer, heads, feedback.
    """
    names = list(names)
    # A reader that is constant had its feedback made before the writer.
    last = "writer." if "reader.first" in names else "feedback."

    def key(name: str) -> tuple[int, int]:
        if name in _VECTORS:
            return 0, _VECTORS.index(name)
        match = _OF_ARCHITECTURE.fullmatch(name)
        if match:
            return 1, int(match[1])
        return 2, int(name.startswith(last))

    return sorted(names, key=key)


def translated(table: Mapping[str, Any]) -> dict[str, Any]:
    """Move keys of older recipes in `[backbone]` to their present tables.

    Raises:
        ConfigError: a value has an older key and one of today.
    """
    result = {key: dict(value) if isinstance(value, Mapping) else value for key, value in table.items()}
    for old, (name, key) in _KEYS.items():
        # `feedback` and `solve` were numbers, and are tables.
        if old not in result or isinstance(result[old], dict):
            continue
        value = result.pop(old)
        section = result.setdefault(name, {})
        if not isinstance(section, dict):
            continue  # no table, which is refused as such
        if key in section:
            raise ConfigError(
                f"the recipe has both backbone.{old} and its present name backbone.{name}.{key}.",
                f"Keep only backbone.{name}.{key}.",
            )
        known = _VALUES_OF_KEYS.get(old, {})
        section[key] = known.get(value, value) if isinstance(value, str) else value
    return result
