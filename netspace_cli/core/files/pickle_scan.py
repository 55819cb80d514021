"""Read pickles without executing them: what they import, and what would crash or fill memory if they were loaded."""

from __future__ import annotations

import pickletools
import re
import warnings
from collections.abc import Sequence
from typing import IO, NamedTuple

_DEEPEST_TUPLE = 100
_LONGEST_TEXT = 1000  # of all in a tuple: what names a storage is short
# What makes room for as many values or bytes as its argument says.
_ALLOCATES = re.compile(r"torch\.\w*(Tensor|Storage)|builtins\.(bytearray|bytes|list|set)")
_REBUILT = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3")
# What a damaged pickle leads `globals_in` to raise, whose own is ValueError.
BROKEN_PICKLE = (ValueError, IndexError, KeyError, TypeError, OverflowError)


class _Item(NamedTuple):
    """What is known of a value on a pickle's stack.

    Attributes:
        depth: of tuples within tuples.
        number: the largest whole number in it.
        text: a text, the name of a global, or all of these in a tuple.
        parts: what is in a tuple.
    """

    depth: int = 0
    number: int = 0
    text: str = ""
    parts: tuple[_Item, ...] = ()


_MARK, _PLAIN = _Item(-1), _Item()


def globals_in(stream: IO[bytes], most_values: int) -> set[str]:
    """Read one pickle without executing it, to find the globals in it.

    Args:
        most_values: values that its storages may have together: the bytes of its file.
    Raises:
        ValueError: damaged, tuples so deeply nested that taking their hash would overflow the C stack, or storages of
            more values. Damage may raise another of `BROKEN_PICKLE`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd escapes in a damaged file's texts
        scan = _Scan(most_values)
        for operation, argument, _ in pickletools.genops(stream):
            scan.follow(operation, argument)
        return scan.found


class _Scan:
    """A pickle's stack and memo while its operations are followed."""

    def __init__(self, most_values: int) -> None:
        self.found: set[str] = set()
        self._most = most_values
        self._words: list[str] = []
        self._stack: list[_Item] = []
        self._memo: dict[object, _Item] = {}
        self._storages: dict[str, int] = {}
        self._stored = 0

    def follow(self, operation: pickletools.OpcodeInfo, argument: object) -> None:
        """Apply an operation to the stack."""
        name = operation.name
        if name == "MEMOIZE" or name.endswith("PUT"):
            self._memo[len(self._memo) if argument is None else argument] = self._stack[-1]
        elif name.endswith("GET"):
            self._stack.append(self._memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            if argument is None:
                imported = ".".join(self._words[-2:])
                del self._stack[-2:]
            else:
                imported = str(argument).replace(" ", ".").replace("__builtin__.", "builtins.")
            self.found.add(imported)
            self._stack.append(_Item(text=imported))
        elif isinstance(argument, str):
            self._words = [*self._words[-1:], argument]
            self._stack.append(_Item(0, 0, argument))
        elif isinstance(argument, int) and not operation.stack_before:
            self._stack.append(_Item(0, argument))
        else:
            self._apply(operation)

    def _apply(self, operation: pickletools.OpcodeInfo) -> None:
        taken = self._taken(operation)
        if operation.name.startswith("TUPLE"):
            self._stack.append(_tuple_of(taken))
            return
        if operation.name == "BINPERSID":
            self._count_storage(taken[0])
        elif operation.name in ("REDUCE", "NEWOBJ") and _ALLOCATES.fullmatch(taken[-1].text):
            self._check_values(taken[0].number)
        elif operation.name == "REDUCE" and taken[-1].text in _REBUILT:
            self._check_values(_extent(taken[0].parts))
        self._stack += [_MARK if after is pickletools.markobject else _PLAIN for after in operation.stack_after]

    def _taken(self, operation: pickletools.OpcodeInfo) -> list[_Item]:
        """Take what an operation uses off the stack, the last first."""
        taken: list[_Item] = []
        if pickletools.markobject in operation.stack_before:
            while (top := self._stack.pop()) is not _MARK:
                taken.append(top)
        for before in operation.stack_before:
            if before not in (pickletools.markobject, pickletools.stackslice):
                taken.append(self._stack.pop())
        return taken

    def _count_storage(self, described: _Item) -> None:
        # Tied tensors name one storage several times.
        self._stored += described.number - self._storages.get(described.text, 0)
        self._storages[described.text] = described.number
        self._check_values(self._stored)

    def _check_values(self, number: int) -> None:
        if number > self._most:
            raise ValueError(f"storages of {min(number, 2**64):,} values or more in {self._most:,} bytes")


def _extent(arguments: Sequence[_Item]) -> int:
    """Values from the start of its storage to a tensor's last one; torch makes a storage as large as that."""
    if len(arguments) < 4:
        return 0
    _, offset, size, stride = arguments[:4]
    sizes = [part.number for part in size.parts]
    if 0 in sizes:
        return 0
    return offset.number + 1 + sum((n - 1) * s.number for n, s in zip(sizes, stride.parts, strict=False))


def _tuple_of(items: Sequence[_Item]) -> _Item:
    """A tuple, from what is in it, the last first."""
    depth = 1 + max([item.depth for item in items], default=0)
    if depth > _DEEPEST_TUPLE:
        raise ValueError(f"tuples nested more than {_DEEPEST_TUPLE} deep")
    number = max([item.number for item in items], default=0)
    text = ""
    for item in items:
        if len(text) > _LONGEST_TEXT:
            break
        text += f"/{item.text}" if item.text else ""
    return _Item(depth, number, text, tuple(reversed(items)))
