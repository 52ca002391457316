from __future__ import annotations

from pathlib import Path

import pytest

from qdr.cli import main

TEACH = ["train", "derain", "fp32"]


def quantize(pairs: Path, output: Path, *more: str) -> int:
    return main(["quantize", "--task", "derain", "--out", str(output), "--images", str(pairs / "train/input"), *more])


@pytest.mark.slow
def test_a_folder_of_images_without_targets(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TEACH) == 0
    assert quantize(pairs, tmp_path / "student.onnx") == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert float(said.rsplit(" ", 2)[1]) > 30
    assert not list((pairs.parents[2] / "work/unfinished").iterdir())
    assert (
        main(
            [
                "restore",
                str(pairs / "photos/input/im0.png"),
                str(tmp_path / "o.png"),
                "--model",
                str(tmp_path / "student.onnx"),
            ]
        )
        == 0
    )


@pytest.mark.slow
def test_targets_do_not_matter_without_labels_and_matter_with_them(pairs: Path, tmp_path: Path) -> None:
    main(TEACH)
    targets = ("--targets", str(pairs / "train/target"))
    quantize(pairs, tmp_path / "a.onnx")
    quantize(pairs, tmp_path / "b.onnx", *targets)
    quantize(pairs, tmp_path / "c.onnx", *targets, "--method", "qdr-output")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert (tmp_path / "a.onnx").read_bytes() != (tmp_path / "c.onnx").read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "qdr"], "needs clean targets"),
        (["--bits", "W4A4"], "no engine runs W4A4"),
        (["--method", "qrd"], "did you mean 'qdr'"),
        (["--targets", "nowhere"], "nowhere is no folder"),
    ],
)
def test_mistakes(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str) -> None:
    assert quantize(pairs, tmp_path / "student.onnx", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "student.onnx").exists()
