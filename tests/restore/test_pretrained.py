"""Packaged weights give the exported integers, scales and biases back, bit for bit, and start without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage.data
from onnx import numpy_helper
from PIL import Image

from qdr.cli import main
from qdr.errors import QdrError
from qdr.restore import pretrained
from qdr.restore.pictures import read
from qdr.restore.restorer import Restorer

CAT = np.ascontiguousarray(skimage.data.chelsea()[:90, :131])
SECOND_CALL = """
import sys
from pathlib import Path
from qdr.restore import pretrained
pretrained.FOLDER = Path(sys.argv[1])
from qdr.cli import main
code = main(sys.argv[2:])
print(code, "torch" in sys.modules)
"""


@pytest.fixture
def weights(int8: Path, about: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packaged weights of the task derain, and a cache of the test's own."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pretrained.save(about, pretrained.initializers(int8, about), tmp_path / "weights" / "derain.safetensors")
    return tmp_path / "weights" / "derain.safetensors"


def initializers(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def test_the_file_is_the_exported_one_initializer_by_initializer(int8: Path, weights: Path) -> None:
    exported, rebuilt = initializers(int8), initializers(pretrained.onnx_file("derain"))
    assert exported.keys() == rebuilt.keys()
    for name, tensor in exported.items():
        assert rebuilt[name].dtype == tensor.dtype
        assert np.array_equal(rebuilt[name], tensor), name
    assert {"stem.integers", "stem.scales", "stem.bias", "point_in.scale"} <= exported.keys()
    assert onnx.load(int8).graph.node == onnx.load(pretrained.onnx_file("derain")).graph.node


def test_the_weights_are_integers_and_small(int8: Path, weights: Path) -> None:
    about, tensors = pretrained.load(weights)
    assert {str(t.dtype) for name, t in tensors.items() if name.endswith("integers")} == {"int8"}
    assert about["licence"] == "Apache-2.0"
    assert weights.stat().st_size < sum(t.size for t in tensors.values()) * 1.2
    assert weights.stat().st_size < 700_000


def test_the_same_weights_are_the_same_bytes(int8: Path, about: dict[str, str], weights: Path, tmp_path: Path) -> None:
    for i in range(4):  # safetensors' own order of entries differs from call to call
        pretrained.save(dict(reversed(about.items())), pretrained.initializers(int8, about), tmp_path / f"{i}.safetensors")
        assert (tmp_path / f"{i}.safetensors").read_bytes() == weights.read_bytes()


def test_a_task_restores_as_its_model_does(int8: Path, weights: Path, tmp_path: Path) -> None:
    Image.fromarray(CAT).save(tmp_path / "in.png")
    given = ["restore", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--task", "derain"]
    assert main(given) == 0
    with Restorer(model=int8) as model:
        assert np.array_equal(read(tmp_path / "out.png").pixels, model(CAT))


def test_the_second_call_imports_no_torch(weights: Path, tmp_path: Path) -> None:
    made = pretrained.onnx_file("derain")
    time = made.stat().st_mtime_ns
    Image.fromarray(CAT).save(tmp_path / "in.png")
    given = ["restore", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--task", "derain"]
    command = [sys.executable, "-c", SECOND_CALL, str(weights.parent), *given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"
    assert made.stat().st_mtime_ns == time
    assert list(made.parent.iterdir()) == [made]


def test_other_weights_are_another_file_of_the_cache(int8: Path, about: dict[str, str], weights: Path) -> None:
    first = pretrained.onnx_file("derain")
    _, tensors = pretrained.load(weights)
    pretrained.save(about, tensors | {"stem.bias": tensors["stem.bias"] + 1}, weights)
    assert pretrained.onnx_file("derain") != first


def test_fp32_of_integers_is_refused(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(CAT).save(tmp_path / "in.png")
    for precision in ("fp32", "bf16"):
        given = [
            "restore",
            str(tmp_path / "in.png"),
            str(tmp_path / "out.png"),
            "--task",
            "derain",
            "--precision",
            precision,
        ]
        assert main(given) == 2
        assert "packaged weights are INT8 and hold no FP32 model; leave --precision out" in capsys.readouterr().err


def test_without_weights_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    Image.fromarray(CAT).save(tmp_path / "in.png")
    assert main(["restore", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--task", "derain"]) == 2
    error = capsys.readouterr().err
    assert "no packaged weights for task 'derain'" in error
    assert "--model FILE.onnx, or train and pack them with `make repro` and `qdr release`" in error
    assert main(["restore", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--task", "derian"]) == 2
    assert "did you mean 'derain'" in capsys.readouterr().err


def test_damage_is_noticed(weights: Path) -> None:
    whole = weights.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    for content, reason in (
        (bytes(flipped), "its tensors are not those of its sha256"),
        (whole[: len(whole) // 2], "is damaged"),
        (b"", "is damaged"),
    ):
        weights.write_bytes(content)
        with pytest.raises(QdrError, match=reason):
            pretrained.load(weights)


def test_another_layout_or_model_is_named(int8: Path, pooled: Path, about: dict[str, str], weights: Path) -> None:
    _, tensors = pretrained.load(weights)
    pretrained.save(about | {"model_config": '{"channels": [16, 32], "blocks": [1, 1]}'}, tensors, weights)
    with pytest.raises(QdrError, match="do not fit efm"):
        pretrained.onnx_file("derain")
    with pytest.raises(QdrError, match=r"nafnet\.onnx is not an INT8 export of efm"):
        pretrained.initializers(pooled, about)
