"""Models of another machine are taken up where they differ in the machine alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from qdr.cli import main
from qdr.suite import config, paths
from qdr.suite.train.adopt import adopt
from qdr.suite.train.plan import run_folder, teacher
from qdr.suite.train.run import make


@pytest.fixture
def elsewhere(settings: config.Config, pairs: Path, tmp_path: Path) -> Path:
    """The folder work/ of a machine with another device, which has trained a teacher; nothing of it is left here."""
    run = teacher("derain", "fp32")
    make(settings, run)
    work = paths.teachers("derain").parents[1]
    _rewrite(run_folder(run) / "run.json", device="a card", torch="1.0")
    shutil.copytree(work, tmp_path / "elsewhere")
    shutil.rmtree(work)
    return tmp_path / "elsewhere"


def _rewrite(path: Path, **changes: str) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_adopted_model_is_not_trained_again(
    elsewhere: Path, settings: config.Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = (elsewhere / "teachers/derain/fp32-FP32-all-s0/model.safetensors").read_bytes()
    assert main(["adopt", str(elsewhere)]) == 0
    assert "derain-fp32-FP32-all-s0: adopted" in capsys.readouterr().out
    record = json.loads((run_folder(teacher("derain", "fp32")) / "run.json").read_text())
    assert record["adopted"] == {"device": "a card", "torch": "1.0"}
    monkeypatch.setattr("qdr.suite.train.run.train_model", None)  # would be called to train
    make(settings, teacher("derain", "fp32"))
    assert (run_folder(teacher("derain", "fp32")) / "model.safetensors").read_bytes() == theirs


def test_a_teachers_validation_is_measured_here(elsewhere: Path, settings: config.Config) -> None:
    log = elsewhere / "teachers/derain/fp32-FP32-all-s0/metrics.jsonl"
    *before, last = log.read_text().splitlines()
    here = json.loads(last)["val_psnr"]
    log.write_text("\n".join([*before, json.dumps(json.loads(last) | {"val_psnr": 99.0})]) + "\n")
    adopt(settings, elsewhere)
    adopted = (run_folder(teacher("derain", "fp32")) / "metrics.jsonl").read_text().splitlines()
    assert json.loads(adopted[-1])["val_psnr"] == pytest.approx(here, abs=1e-4)
    assert len(adopted) == len(before) + 1


def test_another_code_is_refused(elsewhere: Path, settings: config.Config, capsys: pytest.CaptureFixture[str]) -> None:
    _rewrite(elsewhere / "teachers/derain/fp32-FP32-all-s0/run.json", code="other", data="other")
    assert main(["adopt", str(elsewhere)]) == 2
    assert "trained with another data and another code than this project has" in capsys.readouterr().err
    assert not run_folder(teacher("derain", "fp32")).exists()


def test_an_empty_folder_is_refused(settings: config.Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adopt", str(tmp_path / "nothing")]) == 2
    assert "holds no model of profile" in capsys.readouterr().err
