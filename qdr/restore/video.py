"""Video: one frame at a time from decoder to encoder, so that memory does not depend on the length.

PyAV (BSD-3) is an optional extra: its wheels carry FFmpeg with GPL encoders (x264, x265), which is the user's to choose.
Kept: size, frame times and rate, rotation, colour tags, audio streams as they are. Encoded: losslessly in the input's own
codec where that is lossless (ffv1), otherwise VP9 in .webm and H.264 (constant quality 16) elsewhere, in the input's pixel
format where the encoder has it. Where chroma is subsampled, odd sizes are extended by a repeated row or column. Frames of
more than 8 bits go through the model in 16.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdr.errors import QdrError, check_choice
from qdr.paths import replacing
from qdr.restore.tiles import Pixels

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
EXTRA = "pip install -c constraints.txt -e '.[video]'"
LOSSLESS = ("ffv1", "ffvhuff", "huffyuv")
_ANY_CODEC = (".mkv", ".avi")
_QUALITY = {"libx264": {"crf": "16"}, "libvpx-vp9": {"crf": "18", "b": "0"}}


def is_video(path: Path) -> bool:
    """Whether the suffix is that of a video."""
    return path.suffix.lower() in SUFFIXES


def check_output(path: Path) -> None:
    """Refuse a suffix that stands for no video that can be written, and a missing PyAV."""
    check_choice(f"video format of {path}", path.suffix.lower(), SUFFIXES)
    _library()


def restore_video(
    source: Path, target: Path, restore: Callable[[Pixels], Pixels], advance: Callable[[float], None] | None = None
) -> int:
    """Restore every frame of the first video stream; returns their number. `advance` is told the share done, if known.

    Args:
        source: the video.
        target: the video to write, another file.
        restore: RGB [h, w, 3], uint8 or uint16, to the same.
        advance: told the share done, in (0, 1], where the container says how many frames there are.

    Raises:
        QdrError: when PyAV is missing, `source` is damaged or no video, or `target` cannot hold the audio.
    """
    av = _library()
    with replacing(target) as temporary:
        try:
            return _copy(av, source, temporary, restore, advance)
        except av.FFmpegError as error:
            raise QdrError(f"{source} cannot be made into {target.name} ({error.strerror}): check that it plays") from error


def _copy(
    av: Any, source: Path, target: Path, restore: Callable[[Pixels], Pixels], advance: Callable[[float], None] | None
) -> int:
    with ExitStack() as stack:
        given: InputContainer = stack.enter_context(av.open(str(source)))
        if not given.streams.video:
            raise QdrError(f"{source} holds no video stream: give a video or a picture")
        stream = given.streams.video[0]
        stream.thread_type = "AUTO"
        first = _first(av, source)
        made: OutputContainer = stack.enter_context(av.open(str(target), "w"))
        encoder = _encoder(av, made, stream, first, target.suffix.lower())
        sounds = {sound.index: _sound(made, sound, source, target) for sound in given.streams.audio}
        frames = 0
        for packet in given.demux([stream, *given.streams.audio]):
            if packet.stream.index in sounds:
                if packet.dts is not None:
                    packet.stream = sounds[packet.stream.index]
                    made.mux(packet)
                continue
            for frame in packet.decode():
                made.mux(encoder.encode(_restored(av, frame, stream, encoder, restore)))  # type: ignore[arg-type]
                frames += 1
                if advance is not None and stream.frames:
                    advance(min(1.0, frames / stream.frames))
        made.mux(encoder.encode(None))
        return frames


def _first(av: Any, source: Path) -> VideoFrame:
    """The first frame: size, pixel format, rotation and colours as they are and not as a header says."""
    with av.open(str(source)) as given:
        frame: VideoFrame | None = next(iter(given.decode(video=0)), None)
    if frame is None:
        raise QdrError(f"{source} holds no frames: check that it plays")
    return frame


def _encoder(av: Any, made: OutputContainer, stream: VideoStream, first: VideoFrame, suffix: str) -> VideoStream:
    name = stream.codec_context.name
    if name not in LOSSLESS or suffix not in _ANY_CODEC:
        name = "libvpx-vp9" if suffix == ".webm" else "libx264"
    encoder: Any = made.add_stream(name, rate=stream.average_rate, options=dict(_QUALITY.get(name, {})))
    formats = [kind.name for kind in av.codec.Codec(name, "w").video_formats]
    encoder.pix_fmt = first.format.name if first.format.name in formats else "yuv420p"
    kind = av.VideoFormat(encoder.pix_fmt)
    even = (False, False) if name in LOSSLESS else (kind.chroma_width(2) == 1, kind.chroma_height(2) == 1)
    encoder.width, encoder.height = first.width + first.width % 2 * even[0], first.height + first.height % 2 * even[1]
    context = encoder.codec_context
    context.time_base = _grid(stream)
    if stream.sample_aspect_ratio:
        context.sample_aspect_ratio = stream.sample_aspect_ratio
    context.colorspace, context.color_range = first.colorspace, first.color_range
    context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
    if first.rotation:
        encoder.set_display_rotation(first.rotation)
    video: VideoStream = encoder
    return video


def _sound(made: OutputContainer, sound: Any, source: Path, target: Path) -> Any:
    try:
        return made.add_stream_from_template(sound)
    except ValueError as error:
        kind = sound.codec_context.name
        raise QdrError(f"{target.name} cannot hold the {kind} audio of {source}: write .mkv, which holds any") from error


def _grid(stream: Any) -> Fraction:
    """The coarsest time base that has both the input's times and the frames of its average rate."""
    tick, rate = Fraction(stream.time_base), stream.average_rate
    if not rate:
        return tick
    common = math.gcd(tick.numerator * rate.numerator, rate.denominator * tick.denominator)
    return Fraction(common, tick.denominator * rate.numerator)


def _time(at: Fraction, stream: Any) -> Fraction:
    """The time of a frame in seconds, freed of the container's rounding (Matroska's milliseconds) at a constant rate."""
    rate = stream.average_rate
    exact = round(at * rate) / rate if rate else at
    return exact if abs(exact - at) <= stream.time_base else at


def _restored(
    av: Any, frame: VideoFrame, stream: VideoStream, encoder: VideoStream, restore: Callable[[Pixels], Pixels]
) -> VideoFrame:
    wide = max(component.bits for component in frame.format.components) > 8
    kind = "rgb48le" if wide else "rgb24"
    pixels = restore(frame.to_ndarray(format=kind))
    beyond = [(0, encoder.height - pixels.shape[0]), (0, encoder.width - pixels.shape[1]), (0, 0)]
    made = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.pad(pixels, beyond, mode="edge")), format=kind)
    made = made.reformat(format=encoder.pix_fmt, dst_colorspace=frame.colorspace, dst_color_range=frame.color_range)
    if frame.pts is not None and frame.time_base is not None:
        grid = _grid(stream)
        made.pts, made.time_base = round(_time(Fraction(frame.pts) * frame.time_base, stream) / grid), grid
    made.colorspace, made.color_range = frame.colorspace, frame.color_range
    result: VideoFrame = made
    return result


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        raise QdrError(f"video needs PyAV, which is an extra: {EXTRA}") from error
    return av
