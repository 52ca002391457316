"""A video comes back frame by frame: count, size, times, colours, sound."""

from __future__ import annotations

import builtins
import weakref
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

from qdr.cli import main
from qdr.errors import QdrError
from qdr.restore.restorer import Restorer
from qdr.restore.video import restore_video

av = pytest.importorskip("av")
CAT = skimage.data.chelsea()
FRAMES = 8


def clip(
    path: Path,
    codec: str,
    kind: str,
    size: tuple[int, int] = (96, 128),
    rate: int = 25,
    sound: str = "",
    turn: int = 0,
    **colour: int,
) -> Path:
    """A window moving over a photograph."""
    with av.open(str(path), "w") as made:
        stream = made.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, kind
        for name, value in colour.items():
            setattr(stream.codec_context, name, value)
        if turn:
            stream.set_display_rotation(turn)
        audio = made.add_stream(sound, rate=48000) if sound else None
        for i in range(FRAMES):
            pixels = np.ascontiguousarray(CAT[3 * i : 3 * i + size[0], 5 * i : 5 * i + size[1]])
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = frame.reformat(format=kind, **{f"dst_{name}": value for name, value in colour.items()})
            for name, value in colour.items():
                setattr(frame, name, value)
            frame.pts, frame.time_base = i, Fraction(1, rate)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
        if audio is not None:
            samples = np.sin(np.arange(48000 * FRAMES // rate) / 20).astype(np.float32)[None]
            tone = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            tone.sample_rate, tone.pts = 48000, 0
            made.mux(audio.encode(tone))
            made.mux(audio.encode(None))
    return path


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
    assert restore_video(source, tmp_path / f"out{suffix}", lambda pixels: pixels) == FRAMES
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
