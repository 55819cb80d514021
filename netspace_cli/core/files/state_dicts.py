"""Find the one state dict in a checkpoint's content, and bring its names into one form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from netspace_models.errors import CheckpointError
from netspace_models.wording import Call, setting
from torch import Tensor

from .tensor_names import check_names, shown
from .torch_file import StandIn

Place: TypeAlias = tuple[str, ...]

WRAPPERS = ("module.", "_orig_mod.")
# Lightning and other trainers hold the network as an attribute of their own module.
TRAINERS = ("model.", "net.")

_CONTAINERS = (
    *("state_dict_ema", "model_ema", "state_dict", "model", "net", "params", "net_state"),
    *("model_state_dict", "model_state", "network", "weights", "module"),
    *("params_ema", "ema", "ema_state_dict"),
)
_DEEPEST_CONTAINER = 3
_EXTRA_STATE = "_extra_state"
# torch.optim.swa_utils.AveragedModel keeps how many networks it averaged beside the network, its `module`.
_AVERAGED, _AVERAGED_MODULE = "n_averaged", "module."


def find_state(path: Path, content: object, key: str | None) -> tuple[Place, Mapping[Any, object]]:
    """Find the one state dict in a file's content.

    Args:
        path: the file, for messages.
        content: what was saved.
        key: where to look, with dots between levels; None for the usual places.
    Returns:
        Its place, a key for each level and none for the top; and the state dict.
    Raises:
        CheckpointError: none is found, or more than one.
    """
    place: Place = ()
    if key is not None:
        at_key = _at_key(content, key)
        if at_key is None:
            raise CheckpointError(path, f"there is no key {key!r} in it.", f"It has {_listed(content)}.")
        place, content = at_key
    candidates = list(_candidates(content, place, set()))
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        places = ", ".join(shown(".".join(place)) for place, _ in candidates[:8])
        raise CheckpointError(
            path,
            f"there are {len(candidates)} state dicts in it: {places}.",
            f"Choose one, e.g. {setting('key', '.'.join(candidates[0][0]))} "
            f"(of a teacher: {Call('read_teacher', key=None)}).",
        )
    what = f"what is under {key!r}" if key else "it"
    raise CheckpointError(
        path,
        f"{what} is not a state dict (tensors by name), and the usual places hold none: {_listed(content)}.",
        f"Save model.state_dict() alone, or name its place with {setting('key')} "
        f"(of a teacher: {Call('read_teacher', key=None)}).",
    )


def _at_key(content: object, key: str) -> tuple[Place, object] | None:
    """The value under a dotted key; keys that have dots themselves are found too."""
    if not isinstance(content, Mapping):
        return None
    for name, value in content.items():
        if str(name) == key:
            return (key,), value
        if key.startswith(f"{name}."):
            deeper = _at_key(value, key[len(str(name)) + 1 :])
            if deeper:
                return (str(name), *deeper[0]), deeper[1]
    return None


def _candidates(content: object, place: Place, seen: set[int]) -> Iterator[tuple[Place, Mapping[Any, object]]]:
    """State dicts in the usual places, each once; failing those, clear ones one level down."""
    # A pickle can hold a dict within itself: look at each only once.
    if not isinstance(content, Mapping) or id(content) in seen:
        return
    seen.add(id(content))
    if _is_state_dict(content):
        yield place, content
        return
    if len(place) >= _DEEPEST_CONTAINER:
        return
    found = False
    for name in _CONTAINERS:
        for candidate in _candidates(content.get(name), (*place, name), seen):
            found = True
            yield candidate
    if not found:
        for name, value in content.items():
            if isinstance(value, Mapping) and id(value) not in seen and _is_state_dict(value):
                seen.add(id(value))
                yield (*place, str(name)), value


def _is_state_dict(content: Mapping[Any, object]) -> bool:
    """Whether a mapping has only tensors by name."""
    tensors = 0
    for name, value in content.items():
        if not isinstance(name, str):
            return False
        if isinstance(value, Tensor):
            tensors += 1
        elif not name.endswith(_EXTRA_STATE):
            return False
    return tensors > 0


def _listed(content: object) -> str:
    """A few entries of a mapping for a message, those that are not tensors first."""
    if not isinstance(content, Mapping):
        return f"a {_type_name(content)}"
    entries = sorted(content.items(), key=lambda entry: isinstance(entry[1], Tensor))
    listed = [f"{shown(str(name))} ({_type_name(value)})" for name, value in entries[:6]]
    more = f" and {len(entries) - 6} more" if len(entries) > 6 else ""
    return ", ".join(listed) + more if listed else "nothing at all"


def _type_name(value: object) -> str:
    return value.origin if isinstance(value, StandIn) else type(value).__name__


def checked_entries(path: Path, found: Mapping[Any, object], notes: list[str]) -> dict[str, Tensor]:
    """Check names of a state dict's tensors; left-out entries are added to the notes.

    Raises:
        CheckpointError: nothing in it, or a name that no network has.
    """
    if not found:
        raise CheckpointError(path, "there are no tensors in it.", "Check what was saved.")
    try:
        check_names(found)
    except ValueError as problem:
        raise CheckpointError(path, f"{problem}.", "Rename it, or do not trust the file.") from problem
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if len(tensors) < len(found):
        notes.append(f"{len(found) - len(tensors)} entries of extra state were left out.")
    others = [name for name in tensors if name != _AVERAGED]
    if _AVERAGED in tensors and others and all(name.startswith(_AVERAGED_MODULE) for name in others):
        del tensors[_AVERAGED]
        notes.append(f"The counter {_AVERAGED!r} of weight averaging was left out.")
    return tensors


def without_prefixes(tensors: Mapping[str, Tensor], prefixes: Sequence[str]) -> tuple[str, dict[str, Tensor]]:
    """Cut prefixes off, repeatedly, as long as all names have them.

    Returns:
        All that was cut off, and the tensors by the rest of their names.
    """
    cut = 0
    while found := _common_prefix([name[cut:] for name in tensors], prefixes):
        cut += len(found)
    return next(iter(tensors))[:cut], {name[cut:]: tensor for name, tensor in tensors.items()}


def _common_prefix(names: Sequence[str], prefixes: Sequence[str]) -> str | None:
    for prefix in prefixes:
        if all(name.startswith(prefix) and name != prefix for name in names):
            return prefix
    return None
