"""IN and OUT: one picture, a folder that resumes, mistakes of one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from qdr.cli import main
from qdr.restore import jobs
from qdr.restore.pictures import read
from qdr.restore.restorer import Restorer

CAT = np.ascontiguousarray(skimage.data.chelsea()[:90, :131])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.jpg", "sub/deeper/c.tif", "sub/d.webp", ".trash/e.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(CAT).save(path)
    (tmp_path / "in" / "notes.txt").write_text("not a picture")
    return tmp_path / "in"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_one_picture(int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(CAT).save(tmp_path / "in.png")
    assert main(["restore", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--model", str(int8)]) == 0
    with Restorer(model=int8) as model:
        assert np.array_equal(read(tmp_path / "out.png").pixels, model(CAT))
    assert "1 restored" in capsys.readouterr().out


def test_one_picture_into_a_folder_keeps_its_name(int8: Path, tmp_path: Path) -> None:
    Image.fromarray(CAT).save(tmp_path / "in.png")
    (tmp_path / "out").mkdir()
    assert main(["restore", str(tmp_path / "in.png"), str(tmp_path / "out"), "--model", str(int8)]) == 0
    assert files(tmp_path / "out") == ["in.png"]


def test_a_folder_with_a_corrupt_file(int8: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "sub" / "bad.png").write_bytes((folder / "a.png").read_bytes()[:1000])
    out = folder.parent / "out"
    command = ["restore", str(folder), str(out), "--model", str(int8)]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "4 restored" in printed.out
    assert "bad.png cannot be read as a picture" in printed.err
    assert "1 of" in printed.err
    assert files(out) == ["a.png", "b.jpg", "sub/d.webp", "sub/deeper/c.tif"]

    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.is_file()}
    (out / "b.jpg").unlink()
    Image.fromarray(CAT).save(folder / "sub" / "bad.png")
    assert main(command) == 0  # goes on where it was
    assert "2 restored, 3 already there" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path.name != "b.jpg")
    assert main(command) == 0
    assert "0 restored, 5 already there" in capsys.readouterr().out
    assert main([*command, "--force"]) == 0
    assert "5 restored" in capsys.readouterr().out


def test_a_folder_inside_the_input_is_not_restored_again(int8: Path, folder: Path) -> None:
    command = ["restore", str(folder), str(folder / "restored"), "--model", str(int8)]
    assert main(command) == 0
    assert main(command) == 0
    assert files(folder / "restored") == ["a.png", "b.jpg", "sub/d.webp", "sub/deeper/c.tif"]


def test_an_interrupted_folder_leaves_whole_files_only(
    int8: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["restore", str(folder), str(folder.parent / "out"), "--model", str(int8)]
    written = jobs.pictures.write

    def stop(picture: object, path: Path) -> None:
        if path.name == "b.jpg":
            raise KeyboardInterrupt
        written(picture, path)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(jobs.pictures, "write", stop)
        assert main(command) == 130
    assert files(folder.parent / "out") == ["a.png"]
    assert main(command) == 0
    assert "3 restored, 1 already there" in capsys.readouterr().out


def test_nothing_is_written_over(int8: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = folder / "a.png", folder / "b.jpg"
    before = target.read_bytes()
    given = ["--model", str(int8)]
    assert main(["restore", str(source), str(target), *given]) == 2
    assert "b.jpg exists: name another file, or add --force" in capsys.readouterr().err
    assert target.read_bytes() == before
    for same in (source, folder, folder / "sub" / ".." / "a.png"):
        assert main(["restore", str(source), str(same), *given, "--force"]) == 2
        assert "never overwritten" in capsys.readouterr().err
    assert main(["restore", str(folder), str(folder), *given, "--force"]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert main(["restore", str(source), str(target), *given, "--force"]) == 0
    assert target.read_bytes() != before


def test_a_link_to_the_input_is_not_written_over(int8: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder.parent / "out"
    out.mkdir()
    (out / "a.png").hardlink_to(folder / "a.png")
    before = (folder / "a.png").read_bytes()
    assert main(["restore", str(folder), str(out), "--model", str(int8), "--force"]) == 1
    assert "never overwritten" in capsys.readouterr().err
    assert (folder / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.png", "out.png"], "no.png does not exist"),
        (["in/a.png", "out.gif"], "unknown picture format of out.gif"),
        (["in/a.png", "out"], "unknown picture format of out"),
        (["in", "in/a.png"], "in/a.png is a file, but in is a folder"),
        (["in/.trash/..", "out", "--engine", "openvno"], "did you mean 'openvino'"),
        (["in/a.png", "out.png", "--tile", "17"], "--tile 17 is too small"),
        (["in/a.png", "out.png", "--precision", "fp32"], "is an INT8 (Q/DQ) file: --precision fp32 does not go with it"),
        (["empty", "out"], "empty holds no pictures"),
    ],
)
def test_mistakes_are_one_line(
    int8: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("empty").mkdir()
    assert main(["restore", *arguments, "--model", str(int8)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("out.png").exists()


def test_a_model_must_be_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", str(folder), str(folder.parent / "out")]) == 2
    assert "--task lowlight, dehaze, derain or denoise, or --model" in capsys.readouterr().err


def test_a_model_that_sees_the_whole_image_says_so(pooled: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", str(folder / "a.png"), str(folder.parent / "o.png"), "--model", str(pooled)]) == 0
    assert "sees the whole image" in capsys.readouterr().err
    with Restorer(model=pooled) as model:
        assert not model.exact


@pytest.mark.parametrize(("file", "precision"), [("fp32", "bf16"), ("fp32", None), ("int8", None), ("int8", "int8")])
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_and_precisions(request: pytest.FixtureRequest, file: str, precision: str | None, engine: str) -> None:
    if engine == "onnxruntime" and precision == "bf16":
        pytest.skip("OpenVINO only")
    with Restorer(model=request.getfixturevalue(file), engine=engine, precision=precision) as model:
        assert model(CAT).shape == CAT.shape
