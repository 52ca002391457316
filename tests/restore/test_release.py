"""`qdr release` packs what was trained, exported and measured, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from qdr.cli import main
from qdr.errors import QdrError
from qdr.restore import pretrained
from qdr.rows import write_json, write_rows
from qdr.suite import config, paths
from qdr.suite.export.engines import engine_file
from qdr.suite.release import measured, release, validated
from qdr.suite.train.plan import Run, plan, run_folder, teacher
from tests.restore.conftest import random_model

TASKS = ("lowlight", "dehaze", "derain", "denoise")
VALUES = {("input", "FP32"): 20.25, ("fp32", "FP32"): 26.5, ("qdr", "W8A8"): 26.125, ("qdr", "W7A8"): 26.0}


@pytest.fixture
def finished(project: Path, int8: Path, settings: config.Config) -> config.Config:
    """A project whose runs are made up of one random model; its quality rows are made up too."""
    rows = []
    for task in TASKS:
        for kind in ("input", "target"):
            folder = _made(paths.prepared(task, "val") / kind)
            for name, level in (("bright", 200), ("dark", 40)):
                Image.new("RGB", (64, 64), (level, level, level)).save(folder / f"{name}.png")
        for bits in pretrained.SCHEMES:
            run = Run(task, "qdr", bits, "all", 0)
            record = {"model": vars(settings.model), "schedule": vars(settings.tune)}
            write_json(paths.runs(task) / run.name / "run.json", record)
            for candidate in [run for run in plan(settings, task) if (run.bits, run.images) == (bits, "all")]:
                if candidate.recipe.tool == "none":  # those of published tools are made at export and have no log
                    _validated(candidate, 26.5 if candidate == run else 26.0)
            engine_file(run).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(int8, engine_file(run))
        for split in ("photos", "scenes"):
            for image, offset in (("a", -1.0), ("b", 1.0)):
                for (method, bits), value in VALUES.items():
                    for metric, scale in (("psnr", 1.0), ("ssim", 0.01)):
                        rows.append(_row(task, split, image, method, bits, metric, scale * (value + offset)))
        save_file(random_model().state_dict(), _made(run_folder(teacher(task, "fp32"))) / "model.safetensors")
    write_rows(paths.results("smoke") / "quality.csv", rows)
    write_json(paths.results("smoke") / "provenance.json", {"git_revision": "0123abc"})
    return settings


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _validated(run: Run, psnr: float) -> None:
    folder = run_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 0}) + "\n" + json.dumps({"step": 9, "val_psnr": psnr}) + "\n")


def _row(task: str, split: str, image: str, method: str, bits: str, metric: str, value: float) -> dict[str, object]:
    about = {"profile": "smoke", "task": task, "split": split, "image": image, "method": method}
    about |= {"bits": bits, "images": "all", "seed": 0, "engine": "openvino"}
    return about | {"metric": metric, "protocol": "rgb-full", "value": value}


def test_two_files_and_a_card_per_task(finished: config.Config, int8: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    made = release(finished, folder)
    names = ("W8A8.onnx", "W7A8.onnx", "FP32.safetensors")
    assert [path.name for path in made] == [f"{task}-{name}" for task in TASKS for name in names]
    assert onnx.load(folder / "derain-W7A8.onnx").graph == onnx.load(int8).graph
    about = pretrained.about(folder / "derain-W8A8.onnx")
    assert about["revision"] == "0123abc"
    assert json.loads(about["scores"])[0] == {
        "split": "photos",
        "images": 2,
        **{"psnr_input": 20.25, "psnr_fp32": 26.5, "psnr_int8": 26.125},
        **{"ssim_input": 0.2025, "ssim_fp32": 0.265, "ssim_int8": 0.26125},
    }
    text = (folder / "derain.md").read_text()
    assert "| photos | 2 | 20.25 / 0.203 | 26.50 / 0.265 | 26.12 / 0.261 | 26.00 / 0.260 |" in text
    clean = json.loads(about["clean"])
    assert clean["images"] == 2
    assert 0 < clean["median"] <= clean["largest"]  # random weights
    assert f"by {clean['median']:.2f} grey levels in the median, {clean['largest']:.2f} at most" in text
    for part in ("removes rain", "12 procedural scenes of 128x128", "revision 0123abc", "Apache-2.0"):
        assert part in text


def test_the_verb(finished: config.Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", "--into", str(tmp_path / "weights")]) == 0
    assert capsys.readouterr().out.count("its card beside it") == 12


def test_fp32_weights_carry_their_network(finished: config.Config, tmp_path: Path) -> None:
    release(finished, tmp_path)
    with safe_open(tmp_path / "derain-FP32.safetensors", "pt") as file:
        arguments = json.loads(file.metadata()["network"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert arguments == vars(finished.model)
    for name, weight in random_model().state_dict().items():
        assert torch.allclose(weights[name].float(), weight, rtol=1e-3, atol=1e-6)


def test_a_trained_model_that_is_worse_than_its_calibration_stays_here(finished: config.Config, tmp_path: Path) -> None:
    run = Run("derain", "ptq", "W8A8", "all", 0)
    _validated(run, 27.0)
    with pytest.raises(QdrError, match=r"ptq-W8A8-all-s0/run\.json does not exist"):
        release(finished, tmp_path / "weights")
    assert max(validated(finished, "derain", "W8A8").items(), key=lambda item: item[1]) == (run, 27.0)


def test_nothing_is_packed_that_was_not_measured(finished: config.Config, tmp_path: Path) -> None:
    quality = paths.results("smoke") / "quality.csv"
    lines = quality.read_text().splitlines()
    quality.write_text("\n".join(line for line in lines if ",denoise," not in line or ",qdr," not in line) + "\n")
    with pytest.raises(QdrError, match="no psnr of qdr W8A8 on photos for task 'denoise'"):
        release(finished, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()
    with pytest.raises(QdrError, match="no rows of task"):
        measured(quality, Run("derain", "qdr", "W8A8", "2", 0))


def test_another_profiles_runs_are_refused(finished: config.Config, tmp_path: Path) -> None:
    folder = paths.runs("dehaze") / "qdr-W8A8-all-s0"
    write_json(folder / "run.json", {"model": vars(finished.model), "schedule": vars(finished.fp32)})
    with pytest.raises(QdrError, match="another schedule than profile 'smoke'"):
        release(finished, tmp_path / "weights")
    shutil.rmtree(folder)
    with pytest.raises(QdrError, match=r"metrics\.jsonl has no PSNR of dehaze-qdr-W8A8"):
        release(finished, tmp_path / "weights")
