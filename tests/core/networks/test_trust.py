"""A file does not choose by itself which function is imported and called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from netspace_models.errors import InputFileError

from netspace_cli.core.files.safetensors_file import read_safetensors, write_safetensors
from netspace_cli.core.networks.trust import check_trusted, trusting
from netspace_cli.core.spaces.space import load_space
from tests.worlds import Tiny, space_file

CANARY = """
from pathlib import Path
def make(io=None):
    Path({canary!r}).touch()
    raise SystemExit("called")
"""


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once the factory `canary_module:make` has been called."""
    (tmp_path / "canary_module.py").write_text(CANARY.format(canary=str(tmp_path / "canary")))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "canary"


def test_a_space_cannot_name_a_factory_that_the_user_has_not(tiny: Tiny, tmp_path: Path, canary: Path) -> None:
    tensors, metadata = read_safetensors(space_file(tiny.single_space))
    record = json.loads(metadata["netspace.space"]) | {"architectures": ["canary_module:make"]}
    path = tmp_path / "hostile.safetensors"
    write_safetensors(path, tensors, {**metadata, "netspace.space": json.dumps(record)}, force=False)
    with pytest.raises(
        InputFileError, match=r'it names the factory canary_module:make, .*`trusting\("canary_module:make"\)`'
    ):
        load_space(path)
    assert not canary.exists()


def test_a_zoo_cannot_name_a_factory_that_the_user_has_not(tiny: Tiny, canary: Path) -> None:
    instances = tuple(replace(i, arch="canary_module:make") for i in tiny.single_zoo.instances)
    with pytest.raises(InputFileError, match="names the factory canary_module:make"):
        replace(tiny.single_zoo, instances=instances).architectures()
    assert not canary.exists()


def test_what_the_user_names_is_trusted_and_no_longer_than_asked() -> None:
    with trusting("a.b:make"):
        check_trusted("a.b:make", "file")
        with pytest.raises(InputFileError, match="c:make"):
            check_trusted("c:make", "file")
    with pytest.raises(InputFileError, match="a.b:make"):
        check_trusted("a.b:make", "file")
    check_trusted("lenetlike", "file")
