"""IN and OUT: one picture, a folder that resumes, mistakes of one line."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from qdr.cli import main
from qdr.machine import has_bf16
from qdr.restore import jobs, pictures, video
from qdr.restore.pictures import Picture, read
from qdr.restore.restorer import Restorer
from tests.engines import skip_where_sums_saturate
from tests.restore.clips import clip

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
    assert "1 failed, 4 restored" in printed.err
    assert "no pictures or videos: " in printed.err
    assert "notes.txt" in printed.err
    assert files(out) == [jobs.RECORD, "a.png", "b.jpg", "sub/d.webp", "sub/deeper/c.tif"]

    times = {path: path.stat().st_mtime_ns for path in out.rglob("[!.]*.*") if path.is_file()}
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
    assert files(folder / "restored") == [jobs.RECORD, "a.png", "b.jpg", "sub/d.webp", "sub/deeper/c.tif"]


def test_an_interrupted_folder_leaves_whole_files_only(
    int8: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["restore", str(folder), str(folder.parent / "out"), "--model", str(int8)]
    written = jobs.pictures.write

    def stop(picture: Picture, path: Path) -> list[str]:
        if path.name == "b.jpg":
            raise KeyboardInterrupt
        return written(picture, path)

    with monkeypatch.context() as patched:
        patched.setattr(jobs.pictures, "write", stop)
        assert main(command) == 130
    assert files(folder.parent / "out") == [jobs.RECORD, "a.png"]
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


def test_a_model_that_sees_the_whole_image_says_so_where_tiles_are_used(
    pooled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((16, 300, 3), np.uint8)).save(tmp_path / "in.png")
    for tile, said in (("none", False), ("auto", False), ("256", True)):
        command = [
            "restore",
            str(tmp_path / "in.png"),
            str(tmp_path / f"{tile}.png"),
            "--model",
            str(pooled),
            "--tile",
            tile,
        ]
        assert main(command) == 0
        assert ("sees more than a tile holds, so tiles change its result" in capsys.readouterr().err) == said


def test_what_is_passed_over_is_named_and_the_exit_code_says_so(
    int8: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.gif", "sub/b.psd", "c.CR2", "d.flv"):
        (folder / name).write_bytes(b"x")
    shutil.copy(folder / "a.png", folder / "no_suffix")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "linked").symlink_to(folder / "sub")
    (folder / "f.heic").write_bytes(b"x")
    (folder / "v.mp4").write_bytes(b"x")
    monkeypatch.setattr(pictures, "_has_heif", lambda: False)
    monkeypatch.setattr(video, "is_there", lambda: False)
    command = ["restore", str(folder), str(folder.parent / "out"), "--model", str(int8)]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "4 restored" in printed.out
    for line in (
        f"passed over: {folder}/a.gif, {folder}/c.CR2, {folder}/sub/b.psd is of a format that is not read here",
        f"passed over: {folder}/d.flv is of a format that is not read here: convert it to .mp4 or .mkv",
        f"passed over: {folder}/no_suffix is a PNG without its suffix: rename it",
        f"passed over: {folder}/dangling.png is a link to nothing",
        f"passed over: {folder}/linked is a link to a folder, which is not followed: name it as IN",
        f"passed over: {folder}/f.heic needs a plug-in: pip install pillow-heif",
        f"passed over: {folder}/v.mp4 needs PyAV, which is an extra: {video.EXTRA}",
        f"note: no pictures or videos: {folder}/notes.txt",
        "9 passed over, 4 restored",
    ):
        assert line in printed.err
    assert main([*command, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["restored"], found["skipped"], len(found["passed"]), len(found["left"])) == (0, 4, 9, 1)


def test_a_folder_of_nothing_but_what_is_passed_over_names_it(
    int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.gif").write_bytes(b"x")
    assert main(["restore", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(int8)]) == 1
    assert "a.gif is of a format that is not read here" in capsys.readouterr().err


def test_another_task_does_not_take_files_for_its_own(
    int8: Path, fp32: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder.parent / "out"
    command = ["restore", str(folder), str(out), "--model"]
    assert main([*command, str(int8)]) == 0
    before = {path: path.read_bytes() for path in out.rglob("*.*") if path.name != jobs.RECORD}
    capsys.readouterr()
    assert main([*command, str(fp32)]) == 1
    printed = capsys.readouterr()
    assert "0 restored" in printed.out
    assert "a.png" in printed.err
    assert "made by int8.onnx" in printed.err
    assert "4 left as they are" in printed.err
    assert all(path.read_bytes() == data for path, data in before.items())
    assert main([*command, str(fp32), "--force"]) == 0
    assert main([*command, str(fp32)]) == 0
    assert "0 restored, 4 already there" in capsys.readouterr().out


def test_a_record_cannot_lie(int8: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder.parent / "out"
    command = ["restore", str(folder), str(out), "--model", str(int8)]
    assert main(command) == 0
    capsys.readouterr()
    Image.fromarray(CAT).save(out / "a.png")  # somebody else's
    Image.fromarray(CAT[::-1]).save(folder / "b.jpg")  # another input of the name
    with (out / jobs.RECORD).open("a") as file:
        file.write('{"file": "sub/d.webp", "fr')  # killed while it was written
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "0 restored, 2 already there" in printed.out
    assert f"{out}/a.png, made by something else" in printed.err
    assert f"{out}/b.jpg, made from another input of this name" in printed.err


def test_the_input_may_lie_inside_the_output(int8: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(folder / "sub", folder / "in" / "sub")  # OUT/in/sub is an input and the output of in/sub/in/sub
    shutil.copytree(folder / "sub", folder / "in" / "in" / "sub")
    before = {path: path.read_bytes() for path in (folder / "in").rglob("*") if path.is_file()}
    command = ["restore", str(folder / "in"), str(folder), "--model", str(int8), "--force"]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "2 restored" in printed.out
    assert "d.webp is an input too, which is never overwritten" in printed.err
    assert all(path.read_bytes() == data for path, data in before.items())


def test_names_as_long_as_they_can_be(int8: Path, tmp_path: Path) -> None:
    names = ["x" * 251 + ".png", "雨" * 83 + "ab.png", "y" * 251 + ".mkv"]
    (tmp_path / "in").mkdir()
    for name in names[:2]:
        Image.fromarray(CAT).save(tmp_path / "in" / name)
    if video.is_there():
        clip(tmp_path / "in" / names[2], "ffv1", "gray", size=(16, 16))
    assert main(["restore", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(int8)]) == 0
    assert files(tmp_path / "out") == [jobs.RECORD, *files(tmp_path / "in")]


def test_a_folder_that_cannot_be_written_is_found_before_the_model_is_opened(
    int8: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("qdr.files.tempfile.TemporaryFile", refuse)
    monkeypatch.setattr(Restorer, "__init__", lambda *_: pytest.fail("opened"))
    for source, target in ((folder, folder.parent / "out"), (folder / "a.png", folder.parent / "b.png")):
        assert main(["restore", str(source), str(target), "--model", str(int8)]) == 2
        assert "Read-only file system; check permissions" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_stdout_cannot_print(int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    Image.fromarray(CAT).save(tmp_path / "in.png")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    for name in ("雨.png", os.fsdecode(b"\xff.png")):
        assert main(["restore", str(tmp_path / "in.png"), str(tmp_path / name), "--model", str(int8)]) == 0
        assert (tmp_path / name).is_file()
    sys.stdout.flush()
    assert b"1 restored" in written.getvalue()


def test_a_folder_holds_videos_too(int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    (tmp_path / "in").mkdir()
    clip(tmp_path / "in" / "a.mp4", "libx264", "yuv420p", size=(32, 48))
    Image.fromarray(CAT).save(tmp_path / "in" / "b.png")
    whole = (tmp_path / "in" / "a.mp4").read_bytes()
    (tmp_path / "in" / "c.mp4").write_bytes(whole[: len(whole) // 2])  # its index is at the end
    command = ["restore", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(int8)]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "2 restored" in printed.out
    assert "a.mp4: 8 frames; from one to the next" in printed.out
    assert "c.mp4 cannot be made into c.mp4" in printed.err
    (tmp_path / "in" / "c.mp4").unlink()
    assert main(command) == 0
    assert "0 restored, 2 already there" in capsys.readouterr().out


@pytest.mark.parametrize(("file", "precision"), [("fp32", "bf16"), ("fp32", None), ("int8", None), ("int8", "int8")])
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_and_precisions(request: pytest.FixtureRequest, file: str, precision: str | None, engine: str) -> None:
    if precision == "bf16" and not has_bf16():
        pytest.skip("this processor has no bf16")
    if file == "int8":
        skip_where_sums_saturate(engine)
    if engine == "onnxruntime" and precision == "bf16":
        pytest.skip("OpenVINO only")
    with Restorer(model=request.getfixturevalue(file), engine=engine, precision=precision) as model:
        assert model(CAT).shape == CAT.shape
