"""Mutators that know the structure of a file: what is changed stays plausible enough to be read far.

A `Template` is a valid file in parts. `mutate` changes one of them and puts the whole together again, with lengths and
checksums that fit in most cases. `blind` changes bytes and mends nothing.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
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


@dataclass(frozen=True)
class Npy:
    """A .npy file, by the text of its header and its data."""

    header: Text
    data: bytes
    version: tuple[int, int] = (1, 0)

    @cached_property
    def whole(self) -> bytes:
        return self._joined(self.header.text.encode(), self.data)

    def mutate(self, rng: Random) -> bytes:
        kind = rng.random()
        if kind < 0.75:
            return self._joined(self.header.mutate(rng), self.data)
        if kind < 0.85:
            return self._joined(self.header.text.encode(), blind(rng, self.data))
        return blind(rng, self.whole)

    def _joined(self, header: bytes, data: bytes) -> bytes:
        width = "<H" if self.version == (1, 0) else "<I"
        size = len(header) % 65536 if width == "<H" else len(header)
        return b"\x93NUMPY" + bytes(self.version) + struct.pack(width, size) + header + data


_NPY_VALUES = (
    *(
        "'|O'",
        "'O'",
        "'<f8'",
        "'<f4'",
        "'<U9'",
        "'|S0'",
        "'<V8'",
        "'<M8[ns]'",
        "'|b1'",
        "'>i2'",
        "'<c16'",
        "[('a','<f4')]",
    ),
    *("True", "False", "None", "()", "(0,)", "(-1,)", "(1099511627776,)", "(1099511627776, 1099511627776)", "(3.0,)"),
    *(
        "(9223372036854775807,)",
        "(9223372036854775808,)",
        f"({'9' * 4400},)",
        f"({'9' * 4000},)",
        "(" * 300,
        "(1," * 70,
    ),
    *(
        "(True, 2)",
        "(2L, 3L)",
        "'" + "\\N{" * 5,
        "{",
        "}",
        "'",
        "\0",
        "\xff",
        "lambda: 0",
        "'descr'",
        "'shape'",
        "1" * 70_000,
    ),
    "(0, 9223372036854775807)",
)


def npy(content: bytes) -> Npy:
    """A .npy file that NumPy has written."""
    version = (content[6], content[7])
    start = 10 if version == (1, 0) else 12
    size = int.from_bytes(content[8:start], "little")
    text = content[start : start + size].decode("latin1")
    spans = tuple(Span(*m.span()) for m in re.finditer(r"'[^']*'|\([^)]*\)|True|False|[{}:,]|\d+", text))
    return Npy(Text(text, spans, _NPY_VALUES), content[start + size :], version)


@dataclass(frozen=True)
class Pickle:
    """Pickles whose numbers and texts can be changed.

    Attributes:
        whole: the pickles, and what may follow them.
        count: how many pickles.
    """

    whole: bytes
    count: int = 1

    @cached_property
    def places(self) -> list[tuple[int, int, str]]:
        """Start, end and name of each operation."""
        stream = io.BytesIO(self.whole)
        found = [(op.name, at or 0) for _ in range(self.count) for op, _, at in pickletools.genops(stream)]
        ends = [at for _, at in found[1:]] + [stream.tell()]
        return [(at, end, name) for (name, at), end in zip(found, ends, strict=True)]

    def mutate(self, rng: Random) -> bytes:
        if rng.random() < 0.2:
            return blind(rng, self.whole)
        start, end, name = rng.choice(self.places)
        if "INT" in name or "LONG" in name:
            new = _pickled(rng.choice((*WIDE, -1, -(2**63), 2**70)))
        elif "UNICODE" in name:
            text = rng.choice(
                (b"", b"w", b"../x", b"\x1b[31m", b"0", b"cpu", b"cuda", b"meta", b"state_dict", b"x" * 600)
            )
            new = b"X" + struct.pack("<I", len(text)) + text
        elif name == "GLOBAL":
            new = rng.choice(_GLOBALS)
        else:
            new = rng.choice(
                (b"", b"N", b")", b"}", b"]", b"K\x01", b"\x88", b"t", b"(", b"0", b"R", b"\x85" * 200, b".")
            )
        return self.whole[:start] + new + self.whole[end:]


_GLOBALS = (
    *(b"cos\nsystem\n", b"ctorch\nDoubleStorage\n", b"ctorch\nBoolStorage\n", b"ctorch\nBFloat16Storage\n"),
    *(b"ctorch._utils\n_rebuild_parameter\n", b"ctorch._utils\n_rebuild_sparse_tensor\n", b"ctorch\nQInt8Storage\n"),
    *(b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n", b"ctorch\nSize\n", b"ccollections\nOrderedDict\n"),
    *(b"ctorch._utils\n_rebuild_qtensor\n", b"cargparse\nNamespace\n", b"ctorch\nfloat8_e4m3fn\n", b"ctorch\ndevice\n"),
)


def _pickled(number: int) -> bytes:
    if 0 <= number < 256:
        return b"K" + bytes([number])
    size = number.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + number.to_bytes(size, "little", signed=True)


@dataclass(frozen=True)
class Member:
    """One member of a zip archive."""

    name: str
    content: Template


@dataclass(frozen=True)
class Zip:
    """A zip archive by its members, whose headers can be changed too."""

    members: tuple[Member, ...]
    deflated: bool = False

    @cached_property
    def whole(self) -> bytes:
        return bytes(self._written([(m.name, m.content.whole) for m in self.members])[0])

    def mutate(self, rng: Random) -> bytes:
        contents = [(m.name, m.content.whole) for m in self.members]
        if rng.random() < 0.85:
            at = rng.randrange(len(contents))
            contents[at] = contents[at][0], self.members[at].content.mutate(rng)
        else:
            self._moved(rng, contents)
        return bytes(self._written(contents)[0])

    def damage(self, rng: Random) -> bytes:
        """Change a field of a header, but nothing in the members."""
        archive, fields = self._written([(m.name, m.content.whole) for m in self.members])
        place, width = rng.choice(fields)
        value = rng.choice((*WIDE, 1, 8, 9, 12, 14, 0x10, 93, 99, 0x801, 0x41))
        archive[place : place + width] = (value % 256**width).to_bytes(width, "little")
        return bytes(archive)

    @staticmethod
    def _moved(rng: Random, contents: list[tuple[str, bytes]]) -> None:
        """Double, rename or take out a member, or put it last."""
        at = rng.randrange(len(contents))
        name, content = contents.pop(at)
        if rng.random() < 0.7:
            contents.append(
                (rng.choice((name, "../x", "", "x" * 300, "a/data.pkl", "archive/code/x", f"{name}y")), content)
            )

    def _written(self, contents: Sequence[tuple[str, bytes]]) -> tuple[bytearray, list[tuple[int, int]]]:
        """The archive, and place and width of each field in its headers."""
        out, central = bytearray(), bytearray()
        fields: list[tuple[int, int]] = []
        own: list[tuple[int, int]] = []
        for name, content in contents:
            raw, data = name.encode(), content
            if self.deflated:
                packer = zlib.compressobj(1, zlib.DEFLATED, -15)
                data = packer.compress(content) + packer.flush()
            common = struct.pack(
                "<HHHHHIIIHH",
                *(20, 0x800, 8 if self.deflated else 0, 0, 0x21, zlib.crc32(content), len(data), len(content)),
                *(len(raw), 0),
            )
            start = len(out)
            fields += [(start + 4 + at, width) for at, width in _COMMON_FIELDS]
            own += [(len(central) + 6 + at, width) for at, width in (*_COMMON_FIELDS, *_CENTRAL_FIELDS)]
            out += b"PK\x03\x04" + common + raw + data
            central += b"PK\x01\x02\x14\0" + common + struct.pack("<HHHII", 0, 0, 0, 0, start) + raw
        place = len(out)
        fields += [(place + at, width) for at, width in own]
        end = place + len(central)
        fields += [(end + at, width) for at, width in ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))]
        count = len(contents)
        out += central + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(central), place, 0)
        return out, fields


# Place and width in what local and central headers share, from the version on; and in the rest of the central ones.
_COMMON_FIELDS = ((0, 2), (2, 2), (4, 2), (10, 4), (14, 4), (18, 4), (22, 2), (24, 2))
_CENTRAL_FIELDS = ((26, 2), (28, 2), (30, 2), (32, 4), (36, 4))


@dataclass(frozen=True)
class Safetensors:
    """A safetensors file by its header, the texts in its metadata, and its data.

    Attributes:
        tensors: entries of the header by name.
        metadata: texts by key; those that are a `Text` can be changed within.
    """

    tensors: Mapping[str, object]
    data: bytes
    metadata: Mapping[str, Text | str] = field(default_factory=dict)

    @cached_property
    def header(self) -> Text:
        """The header as text."""
        return json_text(self._header({key: self._plain(value) for key, value in self.metadata.items()}))

    @staticmethod
    def _plain(value: Text | str) -> str:
        return value if isinstance(value, str) else value.text

    def _header(self, metadata: Mapping[str, str]) -> str:
        return json.dumps({"__metadata__": metadata, **self.tensors} if metadata else self.tensors)

    @cached_property
    def whole(self) -> bytes:
        return self._joined(self.header.text.encode())

    def mutate(self, rng: Random) -> bytes:
        inner = [key for key, value in self.metadata.items() if isinstance(value, Text)]
        kind = rng.random()
        if inner and kind < 0.6:
            key = rng.choice(inner)
            text = self.metadata[key]
            assert isinstance(text, Text)
            plain = {k: self._plain(v) for k, v in self.metadata.items()}
            return self._joined(self._header({**plain, key: text.changed(rng)}).encode("utf-8", "surrogatepass"))
        if kind < 0.85:
            return self._joined(self.header.mutate(rng))
        if kind < 0.9:
            header = self.header.whole
            return (rng.choice((*WIDE, len(header) - 1, len(header) + 1))).to_bytes(8, "little") + header + self.data
        return self._joined(blind(rng, self.header.whole))

    def _joined(self, header: bytes) -> bytes:
        return len(header).to_bytes(8, "little") + header + self.data


@dataclass(frozen=True)
class Chunked:
    """A PNG: chunks of a length, a type, data and a checksum that fits."""

    chunks: tuple[tuple[bytes, bytes], ...]

    @cached_property
    def whole(self) -> bytes:
        return self._joined(self.chunks)

    @staticmethod
    def _joined(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
        parts = [
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

    def mutate(self, rng: Random) -> bytes:
        chunks = list(self.chunks)
        at = rng.randrange(len(chunks))
        kind, data = chunks[at]
        choice = rng.randrange(6)
        if choice == 0:
            other = rng.choice(
                (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"acTL", b"fcTL", b"tRNS", b"PLTE", b"eXIf", b"\0\0\0\0")
            )
            text = b"k\0\0" + zlib.compress(bytes(10_000_000)) if rng.random() < 0.02 else b"k\0\0xx"
            chunks.insert(max(1, at), (other, text))
        elif choice == 1:
            chunks.append(chunks.pop(at))
        elif choice == 2 and kind == b"IHDR":
            place = rng.choice((0, 4))
            chunks[at] = kind, data[:place] + struct.pack(">I", rng.choice(COUNTS)) + data[place + 4 :]
        else:
            chunks[at] = kind, blind(rng, data) if data else b"x"
        return self._joined(chunks)


def png(content: bytes) -> Chunked:
    """A PNG file."""
    chunks, at = [], 8
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    return Chunked(tuple(chunks))


@dataclass(frozen=True)
class Glb:
    """A binary glTF: a header, a chunk of JSON and one of data, with lengths that fit."""

    text: Text
    data: bytes

    @cached_property
    def whole(self) -> bytes:
        return self._joined(self.text.whole, self.data)

    @staticmethod
    def _joined(text: bytes, data: bytes) -> bytes:
        text += b" " * (-len(text) % 4)
        body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
        return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body

    def mutate(self, rng: Random) -> bytes:
        if rng.random() < 0.8:
            return self._joined(self.text.mutate(rng), self.data)
        return self._joined(self.text.whole, blind(rng, self.data))


def glb(content: bytes) -> Glb:
    """A .glb file with one chunk of data."""
    size = int.from_bytes(content[12:16], "little")
    return Glb(json_text(content[20 : 20 + size].decode().rstrip()), content[28 + size :])


@dataclass(frozen=True)
class Headed:
    """A header of text before bytes, as of a binary .ply."""

    header: Text
    data: bytes

    @cached_property
    def whole(self) -> bytes:
        return self.header.whole + self.data

    def mutate(self, rng: Random) -> bytes:
        if rng.random() < 0.7:
            return self.header.mutate(rng) + self.data
        return self.header.whole + blind(rng, self.data)


@dataclass(frozen=True)
class Counted:
    """Bytes with whole numbers at known places, as of a binary .stl."""

    whole: bytes
    places: tuple[tuple[int, int], ...]

    def mutate(self, rng: Random) -> bytes:
        place, width = rng.choice(self.places)
        number = (rng.choice(WIDE) % 256**width).to_bytes(width, "little")
        return self.whole[:place] + number + self.whole[place + width :]
