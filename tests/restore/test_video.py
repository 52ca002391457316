"""A video comes back frame by frame: count, size, times, colours, sound."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import weakref
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdr.cli import main
from qdr.errors import QdrError
from qdr.restore import video
from qdr.restore.restorer import Restorer
from qdr.restore.video import restore_video
from tests.restore.clips import CAT, FRAMES, clip

av = pytest.importorskip("av")


def look(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as given:
        stream = given.streams.video[0]
        frames = list(given.decode(video=0))
        first = frames[0]
        return {
            "pixels": [frame.to_ndarray(format="rgb24") for frame in frames],
            "times": [float(frame.time) for frame in frames],
            "rate": stream.average_rate,
            "codec": stream.codec_context.name,
            "colour": (first.colorspace, first.color_range),
            "turn": first.rotation,
            "format": first.format.name,
        }


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as given:
        return [bytes(packet) for packet in given.demux(audio=0) if packet.dts is not None]


def test_frames_are_those_of_single_pictures(int8: Path, tmp_path: Path) -> None:
    clip(tmp_path / "in.mkv", "ffv1", "bgr0", size=(90, 131))
    command = ["restore", str(tmp_path / "in.mkv"), str(tmp_path / "out.mkv"), "--model", str(int8)]
    assert main(command) == 0
    given, made = look(tmp_path / "in.mkv"), look(tmp_path / "out.mkv")
    assert len(made["pixels"]) == FRAMES
    for key in ("times", "rate", "codec", "format"):
        assert made[key] == given[key]
    with Restorer(model=int8) as model:
        for before, after in zip(given["pixels"], made["pixels"], strict=True):
            assert np.array_equal(after, model(before))
    assert main(command) == 2  # it exists


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
@pytest.mark.parametrize("size", [(96, 128), (95, 127)])
def test_size_times_and_rotation_are_kept(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    source = clip(tmp_path / "in.mkv", "ffv1", "yuv420p", size, rate=30, turn=90)
    assert restore_video(source, tmp_path / f"out{suffix}", lambda pixels: pixels).frames == FRAMES
    given, made = look(source), look(tmp_path / f"out{suffix}")
    even = size if suffix == ".mkv" else tuple(length + length % 2 for length in size)  # ffv1 takes odd sizes
    assert [pixels.shape[:2] for pixels in made["pixels"]] == [even] * FRAMES
    assert made["rate"] == given["rate"] == 30
    assert np.allclose(made["times"], given["times"], atol=1e-3)
    assert made["turn"] == given["turn"] == 90
    for before, after in zip(given["pixels"], made["pixels"], strict=True):
        assert np.abs(after[: size[0], : size[1]].astype(int) - before).mean() < 4


def test_irregular_times_are_kept(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as made:
        stream = made.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "bgr0"
        stream.codec_context.time_base = Fraction(1, 1000)
        for at in (0, 40, 55, 300):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(CAT[:32, :48]), format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    for name in ("out.mkv", "out.mp4"):
        restore_video(source, tmp_path / name, lambda pixels: pixels)
        assert np.allclose(look(tmp_path / name)["times"], [0, 0.04, 0.055, 0.3], atol=1e-3)


@pytest.mark.parametrize("matrix", [1, 5])
@pytest.mark.parametrize("full", [1, 2])
def test_colours_are_not_shifted(tmp_path: Path, matrix: int, full: int) -> None:
    source = clip(tmp_path / "in.mkv", "ffv1", "yuv444p", colorspace=matrix, color_range=full)
    restore_video(source, tmp_path / "out.mkv", lambda pixels: pixels)
    given, made = look(source), look(tmp_path / "out.mkv")
    assert made["colour"] == given["colour"] == (matrix, full)
    for before, after in zip(given["pixels"], made["pixels"], strict=True):
        assert abs((after.astype(float) - before).mean()) < 0.5
        assert np.abs(after.astype(int) - before).mean() < 1


def test_ten_bits_go_through_in_sixteen(tmp_path: Path) -> None:
    seen = []
    source = clip(tmp_path / "in.mkv", "ffv1", "yuv420p10le")

    def restore(pixels: np.ndarray) -> np.ndarray:
        seen.append(pixels.dtype)
        return pixels

    restore_video(source, tmp_path / "out.mkv", restore)
    assert set(seen) == {np.dtype(np.uint16)}
    assert look(tmp_path / "out.mkv")["format"] == "yuv420p10le"


def test_sound_is_copied_as_it_is(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", "libx264", "yuv420p", sound="aac")
    restore_video(source, tmp_path / "out.mp4", lambda pixels: pixels)
    assert packets(tmp_path / "out.mp4") == packets(source)
    with pytest.raises(QdrError, match=r"out\.webm cannot hold the aac audio of .*: write \.mkv"):
        restore_video(source, tmp_path / "out.webm", lambda pixels: pixels)


def test_frames_are_not_gathered(tmp_path: Path) -> None:
    source, made, most = clip(tmp_path / "in.mkv", "ffv1", "bgr0"), weakref.WeakSet(), []

    class Frame(np.ndarray):
        __hash__ = object.__hash__

    def restore(pixels: np.ndarray) -> np.ndarray:
        result = pixels.copy().view(Frame)
        made.add(result)
        most.append(len(made))
        return result

    restore_video(source, tmp_path / "out.mkv", restore)
    assert len(most) == FRAMES
    assert max(most) <= 2


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100])
def test_what_is_no_video_is_named(int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (tmp_path / "in.mp4").write_bytes(content)
    assert main(["restore", str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"), "--model", str(int8)]) == 2
    error = capsys.readouterr().err
    assert "in.mp4 cannot be made into out.mp4" in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


def test_without_pyav_the_extra_is_named(
    int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imported = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return imported(name, *rest)

    (tmp_path / "in.mp4").write_bytes(b"x")
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert main(["restore", str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"), "--model", str(int8)]) == 2
    assert "PyAV, which is an extra: pip install -c constraints.txt -e '.[video]'" in capsys.readouterr().err


def same(pixels: np.ndarray) -> np.ndarray:
    return pixels


def tagged(path: Path, subtitle: str = "srt") -> Path:
    """Two named audio tracks, a subtitle track, two chapters, a title and a date."""
    with av.open(str(path), "w") as made:
        made.metadata.update(title="Harbour", creation_time="2024-01-02T03:04:05.000000Z", comment="rain")
        stream = made.add_stream("libx264", rate=24)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.metadata["language"] = "eng"
        sounds = [made.add_stream("aac", rate=48000) for _ in range(2)]
        for sound, language, name in zip(sounds, ("fre", "ger"), ("Commentary", "Original"), strict=True):
            sound.metadata.update(language=language, title=name, handler_name=name)
        text = made.add_mux_stream("subrip" if subtitle == "srt" else subtitle)
        text.metadata.update(language="spa", title="Spanish", handler_name="Spanish")
        second = Fraction(1, 1000)
        made.set_chapters(
            [
                {"id": i, "start": 150 * i, "end": 150 * i + 150, "time_base": second, "metadata": {"title": name}}
                for i, name in enumerate(("Out", "Home"))
            ]
        )
        for i in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(CAT[i : i + 48, :64]), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 24)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
        for sound in sounds:
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
            tone.sample_rate, tone.pts = 48000, 0
            made.mux([*sound.encode(tone), *sound.encode(None)])
        packet = av.Packet(b"Hola" if subtitle == "srt" else b"\0\4Hola")
        packet.stream, packet.pts, packet.dts, packet.duration, packet.time_base = text, 50, 50, 200, second
        made.mux(packet)
    return path


@pytest.mark.parametrize(("suffix", "subtitle"), [(".mkv", "srt"), (".mp4", "mov_text")])
def test_titles_chapters_tracks_and_subtitles_are_kept(tmp_path: Path, suffix: str, subtitle: str) -> None:
    source = tagged(tmp_path / f"in{suffix}", subtitle)
    assert restore_video(source, tmp_path / f"out{suffix}", same).notes == []
    with av.open(str(source)) as given, av.open(str(tmp_path / f"out{suffix}")) as made:
        for name in ("title", "creation_time"):
            assert made.metadata[name] == given.metadata[name]
        assert [chapter["metadata"] for chapter in made.chapters()] == [{"title": "Out"}, {"title": "Home"}]
        assert [stream.type for stream in made.streams] == [stream.type for stream in given.streams]
        assert [stream.language for stream in made.streams] == [stream.language for stream in given.streams]
        assert [stream.disposition for stream in made.streams] == [stream.disposition for stream in given.streams]
        names = [stream.metadata.get("handler_name", stream.metadata.get("title")) for stream in made.streams.audio]
        assert names == ["Commentary", "Original"]
        texts = [bytes(packet) for packet in made.demux(made.streams.subtitles[0]) if packet.size]
        assert any(b"Hola" in text for text in texts)


def test_what_a_container_cannot_hold_is_named(tmp_path: Path) -> None:
    source = tagged(tmp_path / "in.mkv")
    (note,) = restore_video(source, tmp_path / "out.mp4", same).notes
    assert note == "out.mp4 does not hold subtitle track 1 (srt)"
    (note,) = restore_video(source, tmp_path / "out.avi", same).notes
    for part in ("creation_time", "chapter 'Out', chapter 'Home'", "subtitle track 1 (srt)"):
        assert part in note


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_avi_holds_variable_times_where_they_come_back(tmp_path: Path, codec: str) -> None:
    source, at = tmp_path / "in.mkv", [0, 2, 4, 9, 14, 15]
    with av.open(str(source), "w") as made:
        stream = made.add_stream(codec, rate=30)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, tick in enumerate(at):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(CAT[9 * i : 9 * i + 32, :48]), format="rgb24")
            frame.pts, frame.time_base = 20 * tick, Fraction(1, 1000)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    if codec == "libx264":
        with pytest.raises(QdrError, match=r"AVI cannot hold the variable frame times of in\.mkv: write \.mkv"):
            restore_video(source, tmp_path / "out.avi", same)
        return
    restore_video(source, tmp_path / "out.avi", same)
    restore_video(tmp_path / "out.avi", tmp_path / "back.mp4", same)
    for name in ("out.avi", "back.mp4"):
        assert np.allclose(look(tmp_path / name)["times"], np.array(at) / 50, atol=1e-4)


def test_a_turned_video_is_not_made_into_avi(tmp_path: Path) -> None:
    turned = clip(tmp_path / "turned.mkv", "ffv1", "yuv420p", turn=90)
    with pytest.raises(QdrError, match=r"AVI holds no rotation .*: write \.mkv"):
        restore_video(turned, tmp_path / "turned.avi", same)
    assert not any(path.name.startswith((".", "turned.avi")) for path in tmp_path.iterdir())


def test_losses_of_depth_colour_and_size_are_told(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mkv", "ffv1", "gbrp12le", (47, 63))
    notes = restore_video(source, tmp_path / "out.mp4", same).notes
    assert notes == [
        "12 bits per sample became 10",
        "colour has half the resolution (gbrp12le became yuv420p10le)",
        "63x47 became 64x48, because yuv420p10le needs even sides",
    ]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_file_says_how_many_frames_there_were(
    int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    whole = tmp_path / f"whole{suffix}"
    with av.open(str(whole), "w", options={"movflags": "faststart"} if suffix == ".mp4" else {}) as made:
        stream = made.add_stream("libx264", rate=24, options={"g": "1"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for i in range(24):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(CAT[i : i + 48, :64]), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 24)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    assert restore_video(whole, tmp_path / f"all{suffix}", same).missing == 0
    data = whole.read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) // 2])
    command = ["restore", str(tmp_path / f"cut{suffix}"), str(tmp_path / f"out{suffix}"), "--model", str(int8)]
    assert main(command) == 1
    frames = len(look(tmp_path / f"out{suffix}")["times"])
    assert 5 < frames < 20
    assert f"cut{suffix} holds {frames} of its 24 frames" in capsys.readouterr().err


def interrupted(frame: int, seen: list[int]) -> Any:
    def restore(pixels: np.ndarray) -> np.ndarray:
        seen.append(1)
        if len(seen) == frame:
            raise KeyboardInterrupt
        return 255 - pixels

    return restore


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "libx264"), (".webm", "libvpx-vp9"), (".mkv", "ffv1"), (".avi", "libx264")]
)
def test_a_stopped_video_goes_on_and_equals_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, codec: str
) -> None:
    monkeypatch.setattr(video, "SEGMENT", 3)
    source = clip(tmp_path / f"in{suffix}", codec, "yuv420p", size=(48, 64))
    restore_video(source, tmp_path / f"whole{suffix}", lambda pixels: 255 - pixels)
    with pytest.raises(KeyboardInterrupt):
        restore_video(source, tmp_path / f"out{suffix}", interrupted(5, []))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"in{suffix}", f"out{suffix}.part", f"whole{suffix}"]
    made = restore_video(source, tmp_path / f"out{suffix}", interrupted(0, seen := []))
    assert len(seen) == FRAMES - 3
    assert made.frames == FRAMES
    assert (tmp_path / f"out{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert not (tmp_path / f"out{suffix}.part").exists()
    late = 0.04 if suffix == ".avi" else 0  # as FFmpeg reads H.264 there
    assert np.allclose(look(tmp_path / f"out{suffix}")["times"], np.arange(FRAMES) / 25 + late, atol=1e-3)


def test_segments_of_another_model_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "SEGMENT", 3)
    source = clip(tmp_path / "in.mkv", "ffv1", "yuv420p", size=(48, 64))
    with pytest.raises(KeyboardInterrupt):
        restore_video(source, tmp_path / "out.mkv", interrupted(5, []), made_by="a")
    restore_video(source, tmp_path / "out.mkv", interrupted(0, seen := []), made_by="b")
    assert len(seen) == FRAMES


def test_a_killed_process_is_followed_by_one_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = clip(tmp_path / "in.mp4", "libx264", "yuv420p", size=(48, 64))
    code = (
        "import os, signal, sys; from pathlib import Path; from qdr.restore import video; video.SEGMENT = 3; seen = []\n"
        "def restore(pixels):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return 255 - pixels\n"
        "video.restore_video(Path(sys.argv[1]), Path(sys.argv[2]), restore)"
    )
    ended = subprocess.run([sys.executable, "-c", code, source, tmp_path / "out.mp4"], env=os.environ | {"PYTHONPATH": "."})
    assert ended.returncode == -signal.SIGKILL
    monkeypatch.setattr(video, "SEGMENT", 3)
    restore_video(source, tmp_path / "out.mp4", interrupted(0, seen := []))
    assert len(seen) == FRAMES - 3
    restore_video(source, tmp_path / "whole.mp4", lambda pixels: 255 - pixels)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]


def test_sigterm_leaves_nothing_hidden(int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = clip(tmp_path / "in.mp4", "libx264", "yuv420p", size=(48, 64))

    def stop(self: Restorer, pixels: np.ndarray) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGTERM)
        return pixels

    monkeypatch.setattr(Restorer, "__call__", stop)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["restore", str(source), str(tmp_path / "out.mp4"), "--model", str(int8)]) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_flicker_is_measured(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mkv", "ffv1", "gray", size=(48, 64))
    flat = [np.full((48, 64, 3), 100 + 10 * (i % 2), np.uint8) for i in range(FRAMES)]
    made = restore_video(source, tmp_path / "out.mkv", lambda pixels: flat.pop())
    steps = [np.abs(b[::2, ::2].astype(int) - a[::2, ::2]).mean() for a, b in pairwise(look(source)["pixels"])]
    assert made.change[0] == pytest.approx(np.mean(steps), abs=0.01)
    assert made.change[1] == pytest.approx(10)
    assert (
        restore_video(source, tmp_path / "same.mkv", same).change[0]
        == restore_video(source, tmp_path / "b.mkv", same).change[1]
    )
