from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from qdr.convert.network import build, channels, load
from qdr.errors import QdrError

CODE = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))

def broken():
    raise ValueError("no such width")

def number():
    return 3
"""


@pytest.fixture
def factory(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(CODE)
    return f"{tmp_path / 'net.py'}:build"


@pytest.mark.parametrize("inside", ["", "params", "params_ema", "state_dict", "safetensors"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_way_a_state_dict_is_kept(tmp_path: Path, factory: str, inside: str, prefix: str) -> None:
    model = build(factory)
    state = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    path = tmp_path / ("net.safetensors" if inside == "safetensors" else "net.pth")
    if inside == "safetensors":
        save_file(state, path)
    else:
        torch.save({inside: state, "epoch": 3} if inside else state, path)
    found = load(path, factory)
    assert not found.training
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), model.parameters(), strict=True))
    assert channels(found) == 3


def test_keys_that_do_not_fit_are_listed(tmp_path: Path, factory: str) -> None:
    state = build(factory).state_dict()
    state["head.weight"] = state.pop("2.weight")
    state["0.bias"] = torch.zeros(5)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(
        QdrError, match=r"1 missing: 2\.weight; 1 not in the network: head\.weight; 1 of another shape: 0\.bias"
    ):
        load(tmp_path / "net.pth", factory)


class Harmful:
    """What a pickle can do when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def test_a_checkpoint_runs_nothing(tmp_path: Path, factory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"params": Harmful()}, "net.pth")
    with pytest.raises(QdrError, match="cannot be read as a checkpoint of tensors"):
        load(Path("net.pth"), factory)
    assert not Path("harm").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.py:buidl", "no callable 'buidl': did you mean 'build'"),
        ("net.py:broken", "fails: ValueError: no such width"),
        ("net.py:number", "returns int, no torch"),
        ("nowhere.py:build", r"nowhere\.py does not exist"),
        ("no.such.package:build", "cannot be imported: ModuleNotFoundError"),
        ("build", "package.module:callable or file.py:callable"),
    ],
)
def test_factories_that_make_no_network(
    tmp_path: Path, factory: str, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QdrError, match=message):
        build(name)


def test_a_factory_of_a_package() -> None:
    assert isinstance(build("qdr.models.peers.dncnn:DnCNN"), nn.Module)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_what_is_no_checkpoint(tmp_path: Path, factory: str, content: bytes | None) -> None:
    path = tmp_path / "net.pth"
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    with pytest.raises(QdrError, match=r"cannot be read as a checkpoint|holds no state dict"):
        load(path, factory)
