"""Mutators of files that are not text: arrays, pickles, archives, pictures and meshes, part by part."""

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

from .mutations import COUNTS, WIDE, Span, Template, Text, blind, json_text


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
