from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import qdr
from qdr.convert.program import read_program
from qdr.errors import QdrError


class Many(nn.Module):
    """Every kind of layer that is put back, one of them twice, and an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm, self.b = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2)
        self.mix, self.up = nn.Linear(8, 8), nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.same, self.out = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.a(x)))
        z = self.mix(torch.relu(self.b(y)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y = y + self.same(self.same(torch.relu(self.up(z))))
        return x + self.out(y)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    torch.manual_seed(0)
    model = Many().eval()
    free = {axis: 2 * torch.export.Dim(name, min=2, max=512) for axis, name in ((2, "H"), (3, "W"))}
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    torch.export.save(torch.export.export(model, (torch.rand(1, 3, 64, 96),), dynamic_shapes=(free,)), path)
    return path, model


def test_layers_are_put_back(saved: tuple[Path, nn.Module]) -> None:
    path, model = saved
    program = read_program(path)
    assert (program.channels, program.side, program.batch) == (3, None, 1)
    kinds = {name: type(module).__name__ for name, module in program.model.named_modules() if name}
    assert kinds == {name: type(module).__name__ for name, module in model.named_modules() if name}
    image = torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        assert torch.equal(program.model(image), model(image))
    report = qdr.quantize(program.model, [image])
    assert report.floats == []
    assert report.folded == {"norm": "a"}


def test_a_program_of_one_size(tmp_path: Path, saved: tuple[Path, nn.Module]) -> None:
    model = saved[1]
    torch.export.save(torch.export.export(model, (torch.rand(1, 3, 64, 64),)), tmp_path / "fixed.pt2")
    assert read_program(tmp_path / "fixed.pt2").side == 64
    torch.export.save(torch.export.export(model, (torch.rand(1, 3, 64, 32),)), tmp_path / "fixed.pt2")
    with pytest.raises(QdrError, match="exported for images of 64x32"):
        read_program(tmp_path / "fixed.pt2")


class Harmful:
    """What a pickle can do when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def pickled(content: bytes) -> bytes:
    config = json.loads(content)
    next(iter(config["config"].values()))["use_pickle"] = True
    return json.dumps(config).encode()


def sample(_: bytes) -> bytes:
    file = io.BytesIO()
    torch.save(Harmful(), file)
    return file.getvalue()


def sizes(content: bytes) -> bytes:
    return content.replace(b"Mul(Integer(2)", b"os.mkdir('harm'", 1)


def copied(source: Path, target: Path, part: str, change: Callable[[bytes], bytes], added: str = "") -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name.endswith(part) else content)
        if added:
            new.writestr(f"{old.namelist()[0].split('/')[0]}/{added}", b"")
    return target


@pytest.mark.parametrize(
    ("part", "change", "added", "message"),
    [
        ("weights_config.json", pickled, "", "which could run code when it is read"),
        ("sample_inputs/model.pt", sample, "", "is no torch.export program"),
        ("models/model.json", sizes, "", "more than arithmetic"),
        ("-", bytes, "data/aotinductor/model.so", "neither graph nor tensor"),
        ("-", bytes, "data/weights/model.pt", "holds pickled tensors"),
        ("models/model.json", lambda _: b"{", "", "is no torch.export program"),
    ],
    ids=["pickle", "sample", "sizes", "compiled", "legacy", "torn"],
)
def test_what_torch_would_execute_is_refused(
    saved: tuple[Path, nn.Module],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    change: Callable[[bytes], bytes],
    added: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QdrError, match=message):
        read_program(copied(saved[0], tmp_path / "net.pt2", part, change, added))
    assert not Path("harm").exists()


def test_what_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(b"no program")
    with pytest.raises(QdrError, match=r"is no torch\.export program"):
        read_program(tmp_path / "net.pt2")
