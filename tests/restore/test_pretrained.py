"""Packaged weights are the exported files themselves, start without PyTorch, and are taken where they are right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage.data
from PIL import Image

from qdr.cli import main
from qdr.errors import QdrError
from qdr.export.file import read_onnx
from qdr.restore import pretrained
from qdr.restore.pictures import read
from qdr.restore.restorer import Restorer
from qdr.runtimes import session as sessions, verify
from qdr.runtimes.session import Session
from tests.engines import skip_where_sums_saturate

CAT = np.ascontiguousarray(skimage.data.chelsea()[:90, :131])
CALL = """
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
    """A folder of packaged weights of the task derain, and a cache of the test's own."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verify, "_said", set())
    for scheme in pretrained.SCHEMES:
        (folder / f"derain-{scheme}.onnx").write_bytes(pretrained.pack(read_onnx(int8), about | {"bits": scheme}))
    return folder


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    Image.fromarray(CAT).save(tmp_path / "in.png")
    return ["restore", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--task", "derain"]


def test_the_graph_is_the_exported_one(int8: Path, weights: Path, about: dict[str, str]) -> None:
    first, second = pretrained.packaged("derain")
    assert onnx.load(first).graph == onnx.load(second).graph == onnx.load(int8).graph
    assert pretrained.about(second) == about | {"bits": "W7A8"}
    assert first.stat().st_size < 800_000


def test_a_task_restores_as_its_model_does(int8: Path, weights: Path, arguments: list[str], tmp_path: Path) -> None:
    assert main(arguments) == 0
    with Restorer(model=int8) as model:
        assert np.array_equal(read(tmp_path / "out.png").pixels, model(CAT))


def test_strength_mixes_the_models_picture_with_the_input(weights: Path, arguments: list[str], tmp_path: Path) -> None:
    assert main(arguments) == 0
    whole = read(tmp_path / "out.png").pixels.astype(float)
    for share in (0.0, 0.25):
        assert main([*arguments, "--strength", str(share), "--force"]) == 0
        assert np.abs(read(tmp_path / "out.png").pixels - (CAT + share * (whole - CAT))).max() <= 0.5


def test_a_strength_is_a_share(weights: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--strength", "1.5"]) == 2
    assert "--strength 1.5: name a number from 0" in capsys.readouterr().err


def test_no_torch_and_nothing_built(weights: Path, arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", CALL, str(weights), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"
    assert [path.name for path in (tmp_path / "cache" / "qdr").iterdir()] == ["verdicts"]


def test_the_other_scheme_where_the_first_is_wrong(
    weights: Path,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """OpenVINO is made wrong for W8A8, as it is without VNNI: the picture is the exact one within the gate."""
    skip_where_sums_saturate("openvino")
    original = sessions.open_session

    def opened(engine: str, path: Path, *more: object) -> Session:
        found = original(engine, path, *more)  # type: ignore[arg-type]
        if engine == "openvino" and "W8A8" in path.name:
            right = found.run
            found.run = lambda image: np.minimum(right(image), np.float32(0.5))  # type: ignore[method-assign]
        return found

    monkeypatch.setattr(verify, "open_session", opened)
    monkeypatch.setattr(verify, "saturates", lambda engine: False)
    assert main([*arguments, "--engine", "openvino"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "openvino computes derain-W8A8.onnx wrongly on this processor" in line
    assert "taking openvino with derain-W7A8.onnx, " in line
    with Restorer(task="derain", engine="exact") as exact:
        levels = np.abs(read(tmp_path / "out.png").pixels.astype(int) - exact(CAT))
    assert levels.mean() <= 0.5
    assert main([*arguments[:-1], "derain", "--force"]) == 0
    monkeypatch.setattr(pretrained, "SCHEMES", ("W8A8",))
    assert main([*arguments, "--engine", "openvino", "--force"]) == 2
    assert "take --engine exact or a W7A8 file" in capsys.readouterr().err


def test_fp32_of_integers_is_refused(weights: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for precision in ("fp32", "bf16"):
        assert main([*arguments, "--precision", precision]) == 2
        assert "packaged weights are INT8 and hold no FP32 model; leave --precision out" in capsys.readouterr().err
    assert main([*arguments, "--model", str(weights / "derain-W8A8.onnx")]) == 2
    assert "or --model FILE.onnx (not both)" in capsys.readouterr().err


def test_without_weights_the_remedy_is_named(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "no packaged weights for task 'derain'" in error
    assert "--model FILE.onnx, or train and pack them with `make repro` and `qdr release`" in error
    assert main([*arguments[:-1], "derian"]) == 2
    assert "did you mean 'derain'" in capsys.readouterr().err


def test_damage_is_noticed(weights: Path) -> None:
    path = weights / "derain-W8A8.onnx"
    whole = path.read_bytes()
    model = onnx.load(path)
    integers = next(tensor for tensor in model.graph.initializer if tensor.name == "stem.integers")
    integers.raw_data = bytes([integers.raw_data[0] ^ 1]) + integers.raw_data[1:]
    for content in (model.SerializeToString(), whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(QdrError, match=r"is damaged .*: install qdr again"):
            pretrained.packaged("derain")


def test_the_doctor_names_every_engine(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["doctor", *(str(path) for path in pretrained.packaged("derain")), "--threads", "1", "--json"]
    assert main(given) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["engine"] for file in found for entry in file["engines"]] == list(verify.ORDER) * 2
    assert all(entry["milliseconds"] > 0 for file in found for entry in file["engines"])


def test_the_doctor_of_packaged_weights(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("qdr.models.TASKS", ("derain",))
    assert main(["doctor", "--threads", "1"]) == 0
    text = capsys.readouterr().out
    assert all(words in text for words in ("W8A8", "W7A8", "openvino", "onnxruntime", "exact", "Right"))
