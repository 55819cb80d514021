"""Find the one state dict in a checkpoint's content, and bring its names into one form."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
OWN_METADATA = "netspace."
# torch.optim.swa_utils.AveragedModel keeps how many networks it averaged beside the network, its `module`.
_AVERAGED, _AVERAGED_MODULE = "n_averaged", "module."
# What a trainer's own module has beside the network: a loss with its weights, metrics with their counters.
_BESIDE = re.compile(
    r"(?:\w+_)?(?:criterion|criteria|loss|losses|loss_fn|loss_func|loss_function|metric|metrics|acc|accuracy|auroc|f1"
    r"|f1_?score|precision|recall|confusion|confmat|confusion_matrix)\d*"
)
_ACCURACY = re.compile(r"(?:best_?)?(?:(?:test|val|valid)_?)?(?:acc|accuracy|prec|top)_?@?1?")
# Parts of names that only quantised networks have: torch's own (packed, or trained for it), then others'.
_QUANTISED = {"_packed_params", "weight_fake_quant", "activation_post_process", "qweight", "qzeros", "SCB"}


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
    for held in _mappings(content, set()):
        check_not_quantised(path, held)
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


def recorded_accuracy(content: object) -> float | None:
    """The accuracy that a trainer saved beside a network, as a fraction; None if it saved none.

    A number above 1 is taken for per cent. Of several the last is taken, which is the best one in most files.
    """
    found = None
    for name, value in content.items() if isinstance(content, Mapping) else ():
        if not isinstance(name, str) or not _ACCURACY.fullmatch(name.lower()):
            continue
        number = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        if isinstance(number, int | float) and not isinstance(number, bool) and 0 < number <= 100:
            found = number / 100 if number > 1 else float(number)
    return found


def with_metadata(
    state: Mapping[str, Tensor], metadata: Mapping[str, str], versions: Mapping[str, int] | None = None
) -> OrderedDict[str, Tensor]:
    """A state dict that carries text: in its `_metadata`, where torch's own have the versions of modules.

    Args:
        versions: of modules, by name, which some refuse to be loaded without; None for none but the whole's.
    """
    carrying = OrderedDict(state)
    if metadata or versions:
        entries: dict[str, dict[str, object]] = {name: {"version": v} for name, v in sorted((versions or {}).items())}
        entries[""] = {"version": 1, **entries.get("", {}), **dict(sorted(metadata.items()))}
        carrying._metadata = OrderedDict(sorted(entries.items()))  # type: ignore[attr-defined]
    return carrying


def own_metadata(state: object) -> dict[str, str]:
    """The text that `with_metadata` put into a state dict: what is netspace's own, of whatever else is there."""
    recorded = getattr(state, "_metadata", None)
    entries = recorded.get("") if isinstance(recorded, Mapping) else None
    if not isinstance(entries, Mapping):
        return {}
    texts = {name: text for name, text in entries.items() if isinstance(name, str) and isinstance(text, str)}
    return {name: text for name, text in texts.items() if name.startswith(OWN_METADATA)}


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


def check_not_quantised(path: Path, names: Iterable[object]) -> None:
    """Refuse a quantised network by the names in its state dict.

    Raises:
        CheckpointError: names the first that shows it.
    """
    telling = [name for name in names if isinstance(name, str) and not _QUANTISED.isdisjoint(name.split("."))]
    if telling:
        raise CheckpointError(
            path,
            f"it is the state dict of a quantised network ({len(telling)} names such as {shown(telling[0])}); netspace "
            "needs its weights as plain numbers.",
            "Give the network as it was before quantisation.",
        )


def _mappings(content: object, seen: set[int], depth: int = 0) -> Iterator[Mapping[Any, object]]:
    """A mapping and those within it, down to where state dicts are looked for, each once."""
    if not isinstance(content, Mapping) or id(content) in seen or depth > _DEEPEST_CONTAINER:
        return
    seen.add(id(content))
    yield content
    for value in content.values():
        yield from _mappings(value, seen, depth + 1)


def without_others(tensors: Mapping[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Leave out the tensors that a trainer's module has beside its network, a loss or metrics; notes say which.

    Only where all others are under one of `TRAINERS`; else nothing is left out.
    """
    own = next((prefix for prefix in TRAINERS if any(name.startswith(prefix) for name in tensors)), None)
    others = [name for name in tensors if own is not None and not name.startswith(own)]
    if not all("." in name and _BESIDE.fullmatch(name.partition(".")[0]) for name in others):
        return dict(tensors)
    if others:
        names = ", ".join(shown(name).strip("'") for name in others[:4])
        more = f" and {len(others) - 4} more" if len(others) > 4 else ""
        notes.append(f"Left out, as they are beside the network: {names}{more}.")
    return {name: tensor for name, tensor in tensors.items() if name not in set(others)}


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
