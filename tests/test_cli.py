from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qdr.cli import main

HEAVY = ("torch", "numpy", "pandas", "matplotlib", "onnx", "openvino", "onnxruntime", "scipy", "skimage", "yaml")


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, qdr.cli; qdr.cli.parser().format_help(); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profile", "embeded"], "unknown profile 'embeded': did you mean 'embedded'"),
        (["prepare", "derian"], "unknown task 'derian': did you mean 'derain'"),
        (["train", "derain", "qrd"], "unknown method 'qrd': did you mean 'qdr'"),
        (["train", "derain", "qdr", "--bits", "W8A9"], "unknown bits 'W8A9': did you mean 'W8A8'"),
        (["train", "derain", "qdr", "--bits", "FP32"], "method 'qdr' does not go with bits 'FP32'"),
        (["train", "derain", "qdr", "--bits", "W8A8", "--images", "none"], "--images must be"),
        (["fetch", "photo"], "unknown source 'photo': did you mean 'photos'"),
        (["export"], "train it first"),
        (["restore", "no.png", "out.png", "--task", "derain"], "no.png does not exist"),
    ],
)
def test_mistakes_are_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_traceback_on_request(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDR_TRACEBACK", "1")
    with pytest.raises(Exception, match="derian"):
        main(["prepare", "derian"])


def test_profile_switches_and_keeps_the_old_one_on_a_mistake(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "public"]) == 0
    assert capsys.readouterr().out.startswith("public: ")
    active = (project / "params.yaml").read_bytes()
    (project / "profiles" / "broken.yaml").write_text("profile: broken\n")
    assert main(["profile", "broken"]) == 2
    assert (project / "params.yaml").read_bytes() == active


def test_no_permission(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "params.yaml")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert main(["profile", "embedded"]) == 2
    assert "check permissions" in capsys.readouterr().err
