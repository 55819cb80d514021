"""Who may import whom, what no module may call, and what `netspace --help` may cost."""

from __future__ import annotations

import ast
import re
import resource
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeGuard

import pytest

from netspace_cli.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"netspace_cli": "netspace_cli", "models": "netspace_models"}
TERMINAL = ("click", "rich")
UPPER = tuple(f"netspace_cli.{name}" for name in ("commands", "views", "terminal", "cli", "options", "__main__"))
# The rooms of the library: each imports those before it alone.
CORE_ROOMS = (
    *("runtime", "files", "data", "networks", "shapes", "kinds", "zoos", "spaces", "training", "encoding"),
    "sampling",
    *("paths", "search", "merging", "evaluation", "requests", "experiments"),
)
UNPICKLERS = re.compile(r"(pickle|cloudpickle|dill)\.(load|loads|Unpickler)|joblib\.load")
# What parses files, and the only modules that call it: what a stranger's file could do to it is looked after there.
PARSERS = (
    (r"json\.(load|loads|JSONDecoder)|tomllib\.\w+", ("files.structure",)),
    (r"zipfile\.(ZipFile|is_zipfile)", ("files.zip_file", "files.numpy_file")),
    (r"numpy\.(load|lib\.(npyio|format)\..*)|numpy\.(fromfile|memmap)", ()),
    (r"torch\.load", ("files.torch_file",)),
    (r"safetensors\..*(load|load_file|safe_open)", ("files.safetensors_file",)),
    (r"PIL\.Image\.open", ("files.picture_file",)),
    (r"trimesh\.(load\w*|exchange\..*)", ("shapes.mesh_reading", "shapes.binvox")),
)
FLAG = re.compile(r"(?<![\w-])(--[a-z]|-[hoqsv](?![\w-]))")
DEVICE = re.compile(r"(cuda|mps)(:\d+)?")
HELP_SECONDS = 0.3
# Of netspace_models likewise.
MODEL_ROOMS = (
    *(
        "wording",
        "errors",
        "allowance",
        "unset",
        "problems",
        "sending",
        "network_io",
        "parameters",
        "architectures",
        "second_order",
    ),
    *("heads", "sampling", "backbones", "space_model", "training"),
)


@dataclass(frozen=True)
class Module:
    """A parsed source file under its import name."""

    name: str
    tree: ast.Module
    is_package: bool = False

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All of the tree."""
        return list(ast.walk(self.tree))

    def imports(self) -> Iterator[str]:
        """Every module this one imports, and every name it imports from one, dotted and absolute."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in node.names)

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parents = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parents, *([node.module] if node.module else [])])

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Every call, by the dotted name of what is called, import aliases undone."""
        aliases = self._aliases()
        for node in self.nodes:
            if isinstance(node, ast.Call):
                first, _, rest = _dotted(node.func).partition(".")
                full = aliases.get(first, first)
                yield (f"{full}.{rest}" if rest else full), node

    def _aliases(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                found |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
        return found


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of an expression; what is no name (a call, a subscript) becomes "?"."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def wrong_imports(module: Module) -> list[str]:
    """Imports against the direction commands -> core -> models -> torch, and of `models` by that name."""
    banned: tuple[str, ...] = ("models",)
    if _is_in(module.name, ("netspace_models",)):
        banned += (*TERMINAL, "netspace_cli")
    if _is_in(module.name, ("netspace_cli.core",)):
        banned += (*TERMINAL, *UPPER)
    return [f"{module.name} imports {name}" for name in module.imports() if _is_in(name, banned)]


def unsafe_loads(module: Module) -> list[str]:
    """Calls that can run code from a file."""
    faults = []
    for name, call in module.calls():
        literals = {each.arg: getattr(each.value, "value", None) for each in call.keywords}
        unsafe_torch = name in ("torch.load", "torch.serialization.load") and (literals.get("weights_only") is not True)
        unsafe_numpy = name == "numpy.load" and literals.get("allow_pickle", False) is not False
        if unsafe_torch or unsafe_numpy or UNPICKLERS.fullmatch(name):
            faults.append(f"{module.name}:{call.lineno} calls {name}")
    return faults


def stray_parsers(module: Module) -> list[str]:
    """Parsers of files that are called anywhere but in the modules that bound them."""
    if not _is_in(module.name, ("netspace_models", "netspace_cli")):
        return []
    own = module.name.removeprefix("netspace_cli.core.")
    return [
        f"{module.name}:{call.lineno} calls {name}"
        for name, call in module.calls()
        if any(re.fullmatch(pattern, name) and own not in homes for pattern, homes in PARSERS)
    ]


def chosen_devices(module: Module) -> list[str]:
    """Devices named anywhere but in the runner, in a layer that follows its inputs' device."""
    if not _is_in(module.name, ("netspace_models", "netspace_cli.core")) or module.name.endswith(".runner"):
        return []
    faults = [
        f"{module.name}:{node.lineno} names the device {node.value}"
        for node in module.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and DEVICE.fullmatch(node.value)
    ]
    return faults + [
        f"{module.name}:{call.lineno} calls {name}"
        for name, call in module.calls()
        if name.endswith(".cuda") or name.startswith("torch.cuda.")
    ]


def prints(module: Module) -> list[str]:
    """Words to the terminal from a layer that knows of none."""
    if not _is_in(module.name, ("netspace_models", "netspace_cli.core")):
        return []
    return [f"{module.name}:{call.lineno} prints" for name, call in module.calls() if name == "print"]


def flags(module: Module) -> list[str]:
    """A command line's flags in texts of a layer that knows of none: `setting` names them to everyone."""
    if not _is_in(module.name, ("netspace_models", "netspace_cli.core")):
        return []
    told = {id(vars(node.body[0])["value"]) for node in module.nodes if _has_docstring(node)}
    return [
        f"{module.name}:{node.lineno} names {found[0]}"
        for node in module.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
        if (found := FLAG.search(node.value))
    ]


def _has_docstring(node: ast.AST) -> TypeGuard[ast.Module]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node) is not None


def early_words(module: Module) -> list[str]:
    """Settings that are named while a module is imported, when nobody has said yet in which words."""
    later = [n for n in module.nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    bodies = [part for n in later for part in (n.body if isinstance(n.body, list) else [n.body])]
    inside = {id(node) for part in bodies for node in ast.walk(part)}
    words = ("netspace_models.wording.setting", "netspace_models.wording.Call")
    return [
        f"{module.name}:{call.lineno} words it early"
        for n, call in module.calls()
        if n in words and id(call) not in inside
    ]


def room_order_faults(modules: Sequence[Module], package: str, order: Sequence[str]) -> list[str]:
    """Imports from one room of a package into a later one, and modules that are in no room.

    Args:
        modules: parsed, of any packages.
        package: dotted name of the one whose rooms are looked at; its own `__init__` is in none.
        order: names of its folders and modules; each may import those before it, and itself.
    """

    def room(name: str) -> str:
        return name.removeprefix(f"{package}.").partition(".")[0] if name.startswith(f"{package}.") else ""

    faults = []
    for module in modules:
        here = room(module.name)
        if here and here not in order:
            faults.append(f"{module.name} is in no room of {package}")
        elif here:
            later = order[order.index(here) + 1 :]
            faults += [f"{module.name} imports {name}" for name in module.imports() if room(name) in later]
    return faults


RULES = (wrong_imports, unsafe_loads, stray_parsers, chosen_devices, prints, flags, early_words)


def cycles(modules: Sequence[Module]) -> list[list[str]]:
    """Modules that import each other in a circle while they are loaded: imports within functions do not count."""
    graph: dict[str, set[str]] = {m.name: set() for m in modules}
    for module in modules:
        top = ast.Module([n for n in module.tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])
        found = set(Module(module.name, top, module.is_package).imports())
        graph[module.name] = {name for name in found if name in graph and name != module.name}
    order = TopologicalSorter(graph)
    try:
        order.prepare()
    except CycleError as failure:
        return [failure.args[1]]
    return []


@cache
def _read(path: Path) -> Module:
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    parts = [PACKAGES.get(folder, folder), *rest]
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    return Module(name, ast.parse(path.read_text(encoding="utf-8"), str(path)), is_package)


def _modules(*folders: str) -> list[Module]:
    return [_read(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rules(rule: Callable[[Module], list[str]]) -> None:
    modules = _modules("netspace_cli", "models", "examples")
    assert len(modules) > 10
    assert [fault for module in modules for fault in rule(module)] == []


def test_rooms_import_one_way() -> None:
    assert room_order_faults(_modules("netspace_cli"), "netspace_cli.core", CORE_ROOMS) == []
    assert cycles(_modules("netspace_cli", "models")) == []


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(m.name for m in _modules("netspace_cli", "models") if m.is_package)


def test_every_room_says_what_it_is() -> None:
    for package in (p for p in _modules("netspace_cli") if p.is_package):
        words = ast.get_docstring(package.tree)
        assert words and words.partition("\n")[0].endswith("."), package.name


def test_a_circle_is_found() -> None:
    a, b = (Module(f"p.{x}", ast.parse(f"from p import {y}")) for x, y in (("a", "b"), ("b", "a")))
    assert cycles([a, b]) != [] == cycles([a])


def test_rooms_import_those_before_them() -> None:
    modules = _modules("models")
    assert {name.partition(".")[0] for name in (m.name.removeprefix("netspace_models.") for m in modules)} >= set(
        MODEL_ROOMS
    )
    assert room_order_faults(modules, "netspace_models", MODEL_ROOMS) == []


@pytest.mark.parametrize(
    ("name", "source", "faults"),
    [
        ("pkg.low.a", "from ..high import b", ["pkg.low.a imports pkg.high", "pkg.low.a imports pkg.high.b"]),
        ("pkg.low.a", "def f():\n    import pkg.high.b", ["pkg.low.a imports pkg.high.b"]),
        ("pkg.low.a", "from .. import high", ["pkg.low.a imports pkg.high"]),
        ("pkg.low.a", "from .b import high\nfrom other.high import x", []),
        ("pkg.high", "from .low import a\nimport torch", []),
        ("pkg.attic.a", "import torch", ["pkg.attic.a is in no room of pkg"]),
        ("other.low.a", "from pkg import high", []),
        ("pkg", "from .high import b", []),
    ],
)
def test_a_way_back_between_rooms_is_found(name: str, source: str, faults: list[str]) -> None:
    module = Module(name, ast.parse(source), is_package=name == "pkg")
    assert room_order_faults([module], "pkg", ("low", "high")) == faults


def test_no_test_imports_models_by_its_folder() -> None:
    assert [fault for module in _modules("tests") for fault in wrong_imports(module)] == []


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (wrong_imports, "netspace_models.codec", "import click"),
        (wrong_imports, "netspace_models.codec", "def f():\n    from rich.table import Table"),
        (wrong_imports, "netspace_models.codec", "from netspace_cli.core import files"),
        (wrong_imports, "netspace_cli.core.encoding.encode", "from netspace_cli import terminal"),
        (wrong_imports, "netspace_cli.core.encoding.encode", "from ...options import space"),
        (wrong_imports, "netspace_cli.core.encoding.encode", "from ... import cli"),
        (wrong_imports, "netspace_models.parameters.prep_grid", "import click"),
        (wrong_imports, "netspace_models.parameters.prep_grid", "def f():\n    from rich.table import Table"),
        (wrong_imports, "netspace_models.parameters.prep_grid", "from netspace_cli.core import files"),
        (wrong_imports, "netspace_cli.commands.encode", "import models.codec"),
        (wrong_imports, "tests.test_codec", "from models import codec"),
        (unsafe_loads, "netspace_cli.core.data.images", "import torch\ntorch.load(path)"),
        (unsafe_loads, "netspace_cli.core.data.images", "import torch as t\nt.load(path, weights_only=False)"),
        (unsafe_loads, "netspace_cli.core.data.images", "from torch import load\nload(path, weights_only=safe)"),
        (unsafe_loads, "netspace_cli.core.data.images", "import pickle\npickle.load(file)"),
        (unsafe_loads, "netspace_cli.core.data.images", "from pickle import loads as read\nread(data)"),
        (unsafe_loads, "netspace_cli.core.data.images", "import numpy as np\nnp.load(path, allow_pickle=True)"),
        (stray_parsers, "netspace_cli.core.zoos.zoo", "import json\njson.loads(text)"),
        (stray_parsers, "netspace_cli.core.zoos.zoo", "from json import load\nload(file)"),
        (stray_parsers, "netspace_cli.core.spaces.recipe", "import tomllib as t\nt.loads(text)"),
        (stray_parsers, "netspace_cli.core.data.images", "import numpy as np\nnp.load(path, allow_pickle=False)"),
        (stray_parsers, "netspace_cli.core.data.images", "def f():\n    from PIL import Image\n    Image.open(path)"),
        (stray_parsers, "netspace_cli.core.training.run", "import torch\ntorch.load(path, weights_only=True)"),
        (stray_parsers, "netspace_cli.core.shapes.scans", "import trimesh\ntrimesh.load(path)"),
        (stray_parsers, "netspace_cli.core.files.torch_file", "from zipfile import ZipFile\nZipFile(path)"),
        (chosen_devices, "netspace_cli.core.encoding.encode", "x.cuda()"),
        (chosen_devices, "netspace_cli.core.encoding.encode", "f(x)[0].cuda()"),
        (chosen_devices, "netspace_models.parameters.prep_grid", "def f(device='cuda:0'): ..."),
        (chosen_devices, "netspace_models.parameters.prep_grid", "import torch\ntorch.cuda.is_available()"),
        (prints, "netspace_cli.core.encoding.encode", "print('done')"),
        (flags, "netspace_cli.core.encoding.encode", "raise ConfigError('No.', 'Leave out --teacher.')"),
        (flags, "netspace_cli.core.encoding.encode", "hint = f'Use (--refine {steps}).'"),
        (flags, "netspace_cli.core.encoding.encode", "hint = f'Choose another folder with -o.'"),
        (flags, "netspace_models.losses", "def f(hint='-s train.images=64'): ..."),
        (early_words, "netspace_models.losses", "from .wording import setting\nHINT = f'Lower {setting(\"lr\")}.'"),
        (early_words, "netspace_models.losses", "from .wording import setting\ndef f(hint=setting('lr')): ..."),
        (early_words, "netspace_models.losses", "from .wording import Call\nclass A:\n    hint = str(Call('encode'))"),
    ],
)
def test_the_rules_find_what_they_are_for(rule: Callable[[Module], list[str]], name: str, source: str) -> None:
    assert rule(Module(name, ast.parse(source))) != []


@pytest.mark.parametrize(
    ("name", "source", "is_package"),
    [
        ("netspace_models.parameters.prep_grid", "from .spec import Spec\nfrom torch.cuda import amp", False),
        ("netspace_models.architectures", "from . import registry\nfrom ..errors import DoesNotFit", True),
        ("netspace_cli.core.encoding.encode", "from . import files\nfrom netspace_models import codec", False),
        ("netspace_cli.core.runtime.runner", "import torch\ntorch.cuda.is_available()\nname = 'cuda'", False),
        ("netspace_cli.core.files.torch_file", "import torch\ntorch.load(path, weights_only=True)", False),
        ("netspace_cli.core.files.checkpoint", "import json\njson.dumps(record)\nmodule.load(path)", False),
        ("netspace_cli.commands.encode", "import click\nfrom netspace_cli.core import encode", False),
        ("netspace_cli.commands.encode", "hint = 'Leave out --teacher.'", False),
        ("netspace_cli.core.data.images", "'''What --data names.'''\nx = 'a-b --- resnet20-a (-a: ReLU) a--b'", False),
        ("netspace_cli.core.data.images", "def f():\n    '''For --data.'''", False),
        ("netspace_models.losses", "from .wording import setting\ndef f():\n    return setting('lr')", False),
    ],
)
def test_the_rules_leave_the_rest_alone(name: str, source: str, is_package: bool) -> None:
    module = Module(name, ast.parse(source), is_package)
    assert [fault for rule in RULES for fault in rule(module)] == []


HELP = """
import sys
from netspace_cli.cli import cli
cli.main({words}, prog_name="netspace", standalone_mode=False)
print(*({{"torch", "numpy", "rich"}} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=["netspace", *COMMANDS])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = HELP.format(words=[*words, "--help"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_help_is_quick() -> None:
    command = [sys.executable, "-m", "netspace_cli", "--help"]

    def seconds() -> float:
        """Of the processor: on a machine with other work to do, the clock would tell of that."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < HELP_SECONDS
