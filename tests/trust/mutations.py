"""Mutators that know the structure of a file: what is changed stays plausible enough to be read far.

A `Template` is a valid file in parts. `mutate` changes one of them and puts the whole together again, with lengths and
checksums that fit in most cases. `blind` changes bytes and mends nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

HUGE = ("9" * 4299, "9" * 5000, str(2**64), str(2**63), str(2**63 - 1), str(2**62), str(2**40), "10000000000000")
NUMBERS = (*HUGE, "20000000", "1000000000", "2147483648", "100000", "65537", "1025", "1e999", "-1e999", "1e30", "1.5")
SMALL = ("0", "1", "2", "3", "7", "16", "-1", "-2", "0.0", "-0.0", "1e-30")
NESTED = ("[" * 500 + "]" * 500, '{"a":' * 500 + "1" + "}" * 500, "[" * 100_000, "[[[[1]]]]", '{"a":{"b":{}}}')
WORDS = (
    *('""', '"x"', '"../../etc/passwd"', '"/etc/passwd"', '"\\u0000"', '"\\ud800"', '"\\u001b[31m"', '"nan"', '"7"'),
    *('"resnet110"', '"resnet9998"', '"perceptron-9999x2"', '"siren-9999x99"', '"siren-2x1"', '"os:system"', '"test"'),
    *('"lenetlike"', '"conv"', '"neurons"', '"tokens"', '"curvature"', '"' + "x" * 3000 + '"'),
)
VALUES = (
    *NUMBERS,
    *SMALL,
    *NESTED,
    *WORDS,
    "null",
    "true",
    "false",
    "NaN",
    "Infinity",
    "-Infinity",
    "[]",
    "{}",
    "[1,2]",
)
# Of which only some are TOML; the rest is a fault of its own.
TOML_VALUES = (*VALUES, "nan", "inf", "-inf", "0x7fffffffffffffff", "1979-05-27", "07:32:00", "'''x'''", "{a=1}", "1_0")
TOKENS = (
    *NUMBERS,
    *SMALL,
    "nan",
    "inf",
    "-inf",
    "x",
    "",
    "#",
    ";",
    "..",
    "/",
    "\0",
    "\u00ff",
    "\u2028",
    "v",
    "f",
    "1/2/3",
)
COUNTS = (*(0, 1, 2, 3, 7, 0x7F, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF), 10**9)
WIDE = (*COUNTS, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


class Span(NamedTuple):
    """A part of a text that can be replaced; `key` is what it stands under, as it is written, "" for none."""

    start: int
    end: int
    key: str = ""


class Template(Protocol):
    """A valid file that can be changed."""

    @property
    def whole(self) -> bytes: ...

    def mutate(self, rng: Random) -> bytes: ...


def blind(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Flip, cut, double, take out or overwrite bytes, or splice in those of another file."""
    changed = bytearray(content)
    for _ in range(1 if rng.random() < 0.7 else rng.randrange(2, 6)):
        size = len(changed)
        if not size:
            return bytes(changed)
        at, kind = rng.randrange(size), rng.randrange(8)
        end = min(size, at + rng.randrange(1, 17))
        if kind <= 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            changed[at] = rng.choice(b"\0\xff\x7f\x80 0[{\"'\n,:")
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            del changed[at:end]
        elif kind == 5:
            changed[at:at] = changed[at:end] * rng.randrange(1, 4)
        elif kind == 6:
            width = rng.choice((2, 4, 8))
            changed[at : at + width] = (rng.choice(WIDE) % 256**width).to_bytes(width, rng.choice(("little", "big")))
        elif others:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            changed[at:end] = other[start : start + rng.randrange(1, 65)]
    return bytes(changed)


@dataclass(frozen=True)
class Blob:
    """Bytes without a known structure."""

    whole: bytes

    def mutate(self, rng: Random) -> bytes:
        return blind(rng, self.whole)


@dataclass(frozen=True)
class Text:
    """Text with parts that can be replaced by `values`, exchanged or taken out."""

    text: str
    spans: tuple[Span, ...]
    values: Sequence[str] = VALUES

    @property
    def whole(self) -> bytes:
        return self.text.encode()

    def mutate(self, rng: Random) -> bytes:
        return self.changed(rng).encode("utf-8", "surrogatepass")

    def changed(self, rng: Random) -> str:
        """The text with one part of it changed."""
        span = rng.choice(self.spans)
        kind = rng.random()
        before, old, after = self.text[: span.start], self.text[span.start : span.end], self.text[span.end :]
        if kind < 0.75:
            return before + rng.choice(self.values) + after
        if kind < 0.88:
            other = rng.choice(self.spans)
            return before + self.text[other.start : other.end] + after
        if kind < 0.94 and span.key:
            return f"{before}{old}, {span.key}: {rng.choice(self.values)}{after}"
        return before + (old * 3 if kind < 0.97 else "") + after


_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')


def json_text(text: str) -> Text:
    """JSON whose values and keys can be changed."""
    spans: list[Span] = []
    opened: list[tuple[int, str]] = []
    key, last = "", Span(0, 0)
    for match in _JSON.finditer(text):
        token = match.group()
        if token == ":":
            key = text[last.start : last.end]
        elif token in "[{":
            opened.append((match.start(), key))
            key = ""
        elif token in "]}":
            start, own = opened.pop()
            spans.append(Span(start, match.end(), own))
            key = ""
        elif token != ",":
            last = Span(match.start(), match.end(), key)
            spans.append(last)
            key = ""
    return Text(text, tuple(spans))


def json_of(value: object) -> Text:
    """JSON of a value, as `json_text`."""
    return json_text(json.dumps(value))


def toml_text(text: str) -> Text:
    """TOML whose values, keys and sections can be changed."""
    parts = [m.span(1) for m in re.finditer(r"^[^=\n]+=\s*(.+)$", text, re.M)]
    parts += [m.span(1) for m in re.finditer(r"^([^=\n]+?)\s*=", text, re.M)]
    parts += [m.span(1) for m in re.finditer(r"^\[(.+)\]$", text, re.M)]
    deep = ".".join("a" * 5000)
    return Text(
        text, tuple(Span(*p) for p in parts), (*TOML_VALUES, deep, f"{{{deep} = 1}}", "train.steps", "backbone")
    )


def words(text: str) -> Text:
    """Text whose words can be changed."""
    spans = tuple(Span(*m.span()) for m in re.finditer(r"[^\s;]+", text))
    return Text(text, spans, (*TOKENS, "9" * 3000, "lenetlike", "resnet_fusedbn", "end_header", "list", "uchar"))
