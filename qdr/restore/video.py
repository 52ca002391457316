"""Video: one frame at a time from decoder to encoder, so that memory does not depend on the length.

PyAV (BSD-3) is an optional extra: its wheels carry FFmpeg with GPL encoders (x264, x265), which is the user's to choose.
Encoded: losslessly in the input's own codec where that is lossless (ffv1), otherwise VP9 in .webm and H.264 (constant
quality 16) elsewhere, in the input's pixel format where the encoder has it, else in 4:2:0. Where chroma is subsampled, odd
sizes are extended by a repeated row or column. Frames of more than 8 bits go through the model in 16 (`qdr.restore.colour`).

Kept: frame times and rate, rotation, colour tags, title and the like, chapters, and every other stream as it is, with its
language and name. The output is read again, and what it does not hold is told, as is what the pixel format takes away.

Frames are encoded in segments of `SEGMENT`, each by an encoder of its own, into the folder `<OUT>.part`, which is deleted in
the end. A job that was killed goes on after its last whole segment, and gives the same packets as one that was not.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdr.errors import QdrError, check_choice
from qdr.files import WRITE_ERRORS, replacing
from qdr.machine import processor
from qdr.restore import colour
from qdr.restore.tiles import Pixels

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet as _Packet
    from av.video.frame import VideoFrame

    Packet = _Packet[Any]

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
EXTRA = "pip install -c constraints.txt -e '.[video]'"
SEGMENT = 250  # frames, x264's own distance of key frames
LOSSLESS = ("ffv1", "ffvhuff", "huffyuv")
_ANY_CODEC = (".mkv", ".avi")
_QUALITY = {"libx264": {"crf": "16"}, "libvpx-vp9": {"crf": "18", "b": "0"}}
_OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration", "vendor_id")
_SIDE_DATA = ("MASTERING", "CONTENT_LIGHT", "DYNAMIC_HDR", "DOVI", "A53")  # HDR metadata and closed captions in frames
_SHORTEST = Fraction(1, 1000)  # seconds: the shortest tick that is written into .avi
Restore = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Made:
    """What became of a video.

    Args:
        frames: how many were restored.
        missing: how many more the file promises: it was cut.
        damaged: how many could not be decoded or were in part.
        change: mean absolute difference between consecutive frames in grey levels of 8 bits, of the input and of the output;
            their ratio tells whether restoring frame by frame makes it flicker.
        notes: what the output does not hold of the input, a clause each.
    """

    frames: int
    missing: int = 0
    damaged: int = 0
    change: tuple[float, float] = (0.0, 0.0)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Plan:
    """How the output is encoded."""

    codec: str
    options: dict[str, str]
    format: str
    height: int
    width: int
    rate: Fraction
    tick: Fraction
    tags: tuple[int, int, int, int]  # matrix, range, primaries, transfer

    def configure(self, context: Any) -> Any:
        """Set an encoder up: the one of the output's header and the one of every segment alike."""
        context.width, context.height, context.pix_fmt = self.width, self.height, self.format
        context.time_base, context.framerate, context.options = self.tick, self.rate, dict(self.options)
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = self.tags
        return context


def is_there() -> bool:
    """Whether PyAV is installed."""
    try:
        _library()
    except QdrError:
        return False
    return True


def is_video(path: Path) -> bool:
    """Whether the suffix is that of a video."""
    return path.suffix.lower() in SUFFIXES


def check_output(path: Path) -> None:
    """Refuse a suffix that stands for no video that can be written, and a missing PyAV."""
    check_choice(f"video format of {path}", path.suffix.lower(), SUFFIXES)
    _library()


def restore_video(
    source: Path, target: Path, restore: Restore, advance: Callable[[float], None] | None = None, made_by: str = ""
) -> Made:
    """Restore every frame of the best video stream. `advance` is told the share done.

    Args:
        source: the video.
        target: the video to write, another file.
        restore: RGB [h, w, 3], uint8 or uint16, to the same.
        advance: told the share done, in (0, 1].
        made_by: what `restore` is: segments of another one are not used.

    Raises:
        QdrError: when PyAV is missing, `source` is damaged or no video, or `target` cannot hold its audio, rotation, times.
    """
    av = _library()
    part = target.with_name(target.name + ".part")
    if len(part.name.encode()) > 255:
        part = target.with_name(hashlib.sha256(target.name.encode()).hexdigest()[:16] + ".part")
    try:
        job = _Job(av, source, target, part)
        job.begin(made_by)
        job.encode(restore, advance or (lambda share: None))
        made = job.finish()
        shutil.rmtree(part)
        return made
    except av.FFmpegError as error:
        raise QdrError(f"{source} cannot be made into {target.name} ({error.strerror}): check that it plays") from error
    except OSError as error:
        if error.errno not in WRITE_ERRORS:
            raise
        raise QdrError(f"cannot write {part}: {error.strerror}; check permissions and free space, run it again") from error
    finally:
        if not any(part.glob("*.npz")):
            shutil.rmtree(part, ignore_errors=True)


class _Job:
    """One video: looked at, encoded in segments, put together."""

    def __init__(self, av: Any, source: Path, target: Path, part: Path) -> None:
        self.av, self.source, self.target, self.part = av, source, target, part
        self.first = self._first(source)
        self.times, self.missing = self._look()
        self.plan = self._plan()
        self.damaged = 0

    def begin(self, made_by: str) -> None:
        """Make the folder of the segments, or find it; what the container cannot hold is refused before it is computed."""
        with self.source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        key = repr((digest, made_by, self.plan, SEGMENT, self.av.__version__))
        state = self.part / "key"
        if not state.is_file() or state.read_text(encoding="utf-8") != key:
            shutil.rmtree(self.part, ignore_errors=True)
            with replacing(state) as temporary:
                temporary.write_text(key, encoding="utf-8")
        header = self.part / f"header{self.target.suffix}"
        self.all_streams = True
        try:
            with self._opened(header) as (_, made, _, _):
                made.start_encoding()
        except self.av.FFmpegError:
            self.all_streams = False  # a stream that this container takes in general, but not so
            with self._opened(header) as (_, made, _, _):
                made.start_encoding()
        header.unlink(missing_ok=True)

    def encode(self, restore: Restore, advance: Callable[[float], None]) -> None:
        """Encode every segment that is not there yet."""
        done = 0

        def counted(frames: Iterator[tuple[VideoFrame, int]]) -> Iterator[tuple[VideoFrame, int]]:
            nonlocal done
            for frame in frames:
                yield frame
                done += 1
                advance(min(1.0, done / max(len(self.times), 1)))

        frames = counted(self._frames())
        for number, head in enumerate(frames):
            path, segment = self.part / f"{number:06d}.npz", chain([head], islice(frames, SEGMENT - 1))
            if path.is_file() and path.with_suffix(".bin").stat().st_size == np.load(path)["sizes"].sum():
                for _ in segment:  # decoding is the cheap part; seeking is not exact in every container
                    pass
            else:
                self._segment(segment, restore, path)

    def finish(self) -> Made:
        """Put the segments and the other streams together, and see what the output does not hold."""
        parts = [dict(np.load(path)) for path in sorted(self.part.glob("*.npz"))]
        with replacing(self.target) as temporary:
            with self._opened(temporary) as (given, made, encoder, copies):
                made.start_encoding()
                others = (packet for packet in _demuxed(self.av, given, [given.streams[i] for i in copies]))
                for packet in heapq.merge(self._packets(parts), others, key=_decoded_at):
                    packet.stream = copies[packet.stream.index] if packet.stream is not None else encoder
                    made.mux(packet)
            lost = self._lost(temporary, {index: stream.index for index, stream in copies.items()})
        notes = self._taken() + ([f"{self.target.name} does not hold {', '.join(lost)}"] if lost else [])
        before, after, pairs = np.sum([part["change"] for part in parts], axis=0)
        change = (before / pairs, after / pairs) if pairs else (0.0, 0.0)
        frames = sum(len(part["pts"]) for part in parts)
        missing = max(0, len(self.times) - frames) + self.missing if self.missing or self.damaged else 0
        return Made(frames, missing, self.damaged, change, notes)

    def _first(self, path: Path) -> VideoFrame:
        """The first frame: size, pixel format, rotation and colours as they are and not as a header says."""
        with self.av.open(str(path)) as given:
            if not given.streams.video:
                raise QdrError(f"{path} holds no video stream: give a video or a picture")
            frame: VideoFrame | None = next(iter(given.decode(given.streams.best("video"))), None)
        if frame is None:
            raise QdrError(f"{path} holds no frames: check that it plays")
        return frame

    def _unfilled(self) -> Any:
        """The input without times that FFmpeg guesses: AVI has none, and for H.264 the guess is a frame late."""
        return self.av.open(str(self.source), options={"fflags": "nofillin"} if self.source.suffix.lower() == ".avi" else {})

    def _look(self) -> tuple[list[int], int]:
        """The times of all frames in ticks of the stream, and how many frames its header promises beyond them."""
        with self._unfilled() as given:
            stream = given.streams.best("video")
            times, reached = [], Fraction(0)
            for packet in _demuxed(self.av, given, list(given.streams)):
                at = packet.dts if packet.pts is None else packet.pts
                if at is None or not packet.size:  # empty: AVI's way to show the frame before longer
                    continue
                reached = max(reached, (at + (packet.duration or 0)) * packet.time_base)
                if packet.stream.index == stream.index:
                    times.append(at)
            times.sort()
            tag = next((value for name, value in stream.metadata.items() if name.upper() == "DURATION"), None)
            step = sorted(b - a for a, b in pairwise(times))[len(times) // 2 - 1] * stream.time_base if len(times) > 1 else 1
            end = times[-1] * stream.time_base + step if times else 0
            if stream.duration:
                missing = ((stream.start_time or 0) + stream.duration) * stream.time_base - end
            elif tag is not None:
                hours, minutes, seconds = tag.split(":")
                missing = int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds) - end
            else:  # the longest stream's
                missing = min(Fraction(given.duration or 0, self.av.time_base) - time for time in (reached, end))
            return times, round(missing / step) if missing > 1.5 * step else 0

    def _plan(self) -> _Plan:
        with self.av.open(str(self.source)) as given:
            stream = given.streams.best("video")
            name, rate, tick = stream.codec_context.name, stream.average_rate, _grid(stream)
            times = [_time(at * stream.time_base, stream) for at in self.times] if self._is_avi() else []
        first = self.first
        if name not in LOSSLESS or self.target.suffix.lower() not in _ANY_CODEC:
            name = "libvpx-vp9" if self.target.suffix.lower() == ".webm" else "libx264"
        options = dict(_QUALITY.get(name, {}))
        if name == "libx264" and "avx512f" in processor()["cpu_flags"]:
            options["x264-params"] = "asm=avx2"  # its AVX-512 code reads what it never wrote: one input, several outputs
        if self._is_avi():  # it has no times, but empty frames: a tick is what all times are multiples of
            if first.rotation:
                raise QdrError(
                    f"{self.target.name}: AVI holds no rotation ({first.rotation} degrees here): write .mkv or .mp4"
                )
            tick = _common([at - times[0] for at in times] + [1 / rate if rate else tick])
            steps = {b - a for a, b in pairwise(times)}
            if tick < _SHORTEST or (len(steps) > 1 and name == "libx264"):  # which readers of AVI show a frame late
                raise QdrError(
                    f"{self.target.name}: AVI cannot hold the variable frame times of {self.source.name}: write .mkv"
                )
            rate, options = 1 / tick, options | ({"bf": "0"} if name == "libx264" else {})
        pixels = colour.rgb(first)
        kind = self._format([kind.name for kind in self.av.codec.Codec(name, "w").video_formats])
        chroma = self.av.VideoFormat(kind)
        even = (False, False) if name in LOSSLESS else (chroma.chroma_height(2) == 1, chroma.chroma_width(2) == 1)
        height, width = (length + length % 2 * both for length, both in zip(pixels.shape[:2], even, strict=True))
        made = colour.frame_of(pixels, pixels, first, kind, height, width)
        tags = int(made.colorspace), int(made.color_range), int(made.color_primaries), int(made.color_trc)
        return _Plan(name, options, kind, height, width, rate or Fraction(24), tick, tags)

    def _is_avi(self) -> bool:
        return self.target.suffix.lower() == ".avi"

    def _format(self, formats: list[str]) -> str:
        name = self.first.format.name
        deep = ["yuv420p10le"] if _bits(self.first.format) > 8 else []
        return next(kind for kind in [colour.planar(name), name, *deep, "yuv420p"] if kind in formats)

    def _taken(self) -> list[str]:
        """What the pixel format takes away."""
        first, plan, notes = self.first, self.plan, []
        given, made = first.format, self.av.VideoFormat(plan.format)
        if _bits(made) < _bits(given):
            notes.append(f"{_bits(given)} bits per sample became {_bits(made)}")
        if not made.is_rgb and any(
            getattr(made, at)(64) < getattr(given, at)(64) for at in ("chroma_width", "chroma_height")
        ):
            notes.append(f"colour has half the resolution ({given.name} became {made.name})")
        if _has_alpha(given) and not _has_alpha(made):
            notes.append("transparency was dropped")
        if (plan.height, plan.width) != (first.height, first.width):
            notes.append(
                f"{first.width}x{first.height} became {plan.width}x{plan.height}, because {made.name} needs even sides"
            )
        if first.interlaced_frame:
            notes.append("interlaced frames were restored and written as whole ones: deinterlace the video first")
        kinds = sorted({data.type.name for data in list[Any](first.side_data)})
        return notes + [f"{kind} of the frames was dropped" for kind in kinds if kind.startswith(_SIDE_DATA)]

    @contextmanager
    def _opened(self, path: Path) -> Iterator[tuple[InputContainer, OutputContainer, Any, dict[int, Any]]]:
        """The input, the output with all its streams, the one that is encoded, and copies by the input's index."""
        options = {"fflags": "+bitexact"}  # no random numbers in Matroska: the same job gives the same file
        with self.av.open(str(self.source)) as given, self.av.open(str(path), "w", options=options) as made:
            main = given.streams.best("video")
            encoder = made.add_stream(self.plan.codec, rate=self.plan.rate)
            self.plan.configure(encoder.codec_context)
            if main.sample_aspect_ratio:
                encoder.codec_context.sample_aspect_ratio = main.sample_aspect_ratio
            if self.first.rotation:
                encoder.set_display_rotation(self.first.rotation)
            self.flags = encoder.codec_context.flags
            copies: dict[int, Any] = {}
            for stream in given.streams:
                if stream is main:
                    _describe(stream, encoder)
                elif stream.type == "audio" or (self.all_streams and stream.type not in ("data", "attachment")):
                    try:
                        copies[stream.index] = made.add_stream_from_template(stream)
                        _describe(stream, copies[stream.index])
                    except ValueError as error:
                        if stream.type == "audio":
                            what = f"the {stream.codec_context.name} audio of {self.source}"
                            raise QdrError(f"{self.target.name} cannot hold {what}: write .mkv, which holds any") from error
            made.metadata.update({k: v for k, v in given.metadata.items() if k.lower() not in _OWN_TAGS})
            made.set_chapters(given.chapters())
            yield given, made, encoder, copies

    def _frames(self) -> Iterator[tuple[VideoFrame, int]]:
        """Every frame with its time in ticks of the plan, each later than the one before."""
        with self._unfilled() as given:
            stream = given.streams.best("video")
            stream.thread_type = "AUTO"
            tick, last, times = self.plan.tick, -(10**18), iter(self.times)
            for packet in chain(_demuxed(self.av, given, [stream]), [None]):
                try:
                    frames = stream.decode(packet)
                except self.av.InvalidDataError:
                    self.damaged += 1
                    continue
                for frame in frames:
                    at, self.damaged = next(times, last + 1), self.damaged + frame.is_corrupt
                    at = at if frame.pts is None else frame.pts
                    last = max(last + 1, round(_time(at * stream.time_base, stream) / tick))
                    yield frame, last

    def _segment(self, frames: Iterator[tuple[VideoFrame, int]], restore: Restore, path: Path) -> None:
        context = self.plan.configure(self.av.CodecContext.create(self.plan.codec, "w"))
        context.flags = self.flags
        rows: list[tuple[int, int, int, bool]] = []
        before: list[Pixels] = []
        change, pairs = np.zeros(2), 0
        with path.with_suffix(".bin").open("wb") as file:

            def keep(packets: list[Packet]) -> None:
                for packet in packets:
                    file.write(bytes(packet))
                    rows.append((packet.size, packet.pts or 0, packet.duration or 0, packet.is_keyframe))

            for frame, at in frames:
                if (frame.height, frame.width) != (self.first.height, self.first.width):
                    raise QdrError(
                        f"{self.source} changes its size after {self.first.width}x{self.first.height}: split it there"
                    )
                given = colour.rgb(frame)
                restored = restore(given)
                made = colour.frame_of(restored, given, frame, self.plan.format, self.plan.height, self.plan.width)
                made.pts, made.time_base = at, self.plan.tick
                keep(context.encode(made))
                now = [pixels[::2, ::2].astype(np.int32) for pixels in (given, restored)]
                if before:
                    change += [
                        np.abs(b - a).mean() / (np.iinfo(given.dtype).max / 255) for a, b in zip(before, now, strict=True)
                    ]
                    pairs += 1
                before = now
                del given, restored, made
            keep(context.encode(None))
        sizes, pts, durations, keys = (np.array(column) for column in zip(*rows, strict=True))
        with replacing(path) as temporary, temporary.open("wb") as index:
            np.savez(index, sizes=sizes, pts=pts, durations=durations, keys=keys, change=np.array([*change, pairs]))

    def _packets(self, parts: list[dict[str, Any]]) -> Iterator[Packet]:
        """The packets of all segments in the order of decoding, with decoding times that only grow."""
        pts = np.concatenate([part["pts"] for part in parts])
        shown = np.sort(pts)
        delay = int((np.arange(len(pts)) - np.searchsorted(shown, pts)).max())
        dts = np.concatenate([shown[:delay] + shown[0] - shown[delay], shown[: len(pts) - delay]])
        at = 0
        for number, part in enumerate(parts):
            with (self.part / f"{number:06d}.bin").open("rb") as file:
                for size, duration, key in zip(part["sizes"], part["durations"], part["keys"], strict=True):
                    packet: Packet = self.av.Packet(file.read(int(size)))
                    packet.pts, packet.dts, packet.time_base = int(pts[at]), int(dts[at]), self.plan.tick
                    packet.duration, packet.is_keyframe = int(duration), bool(key)
                    at += 1
                    yield packet

    def _lost(self, made: Path, copies: dict[int, int]) -> list[str]:
        """What the input has and the output, which is read again, has not."""
        with self.av.open(str(self.source)) as a, self.av.open(str(made)) as b:
            has = {name.lower(): value for name, value in b.metadata.items()}
            lost = [
                f"{name} {value!r}"
                for name, value in a.metadata.items()
                if name.lower() not in _OWN_TAGS and has.get(name.lower()) != value
            ]
            titles = [chapter["metadata"].get("title") for chapter in b.chapters()]
            lost += [
                f"chapter {chapter['metadata'].get('title')!r}"
                for chapter in a.chapters()
                if chapter["metadata"].get("title") not in titles
            ]
            copies = copies | {a.streams.best("video").index: 0}
            for stream in a.streams:
                kind = stream.codec_context.name if stream.codec_context else "data"
                name = f"{stream.type} track {1 + [s for s in a.streams if s.type == stream.type].index(stream)}"
                if stream.index in copies:
                    other = _named(b.streams[copies[stream.index]])
                    lost += [
                        f"{what} {value!r} of {name}" for what, value in _named(stream).items() if other.get(what) != value
                    ]
                elif stream.type != "data" or len(b.streams.data) < len(a.streams.data):  # chapters are one in .mp4
                    lost.append(f"{name} ({kind})")
        return lost


def _demuxed(av: Any, given: InputContainer, streams: list[Any]) -> Iterator[Packet]:
    """The packets up to where the file is cut or damaged beyond reading."""
    try:
        for packet in given.demux(streams) if streams else ():
            if packet.dts is not None or packet.pts is not None:
                yield packet
    except av.FFmpegError:
        return


def _decoded_at(packet: Packet) -> Fraction:
    at = packet.dts if packet.dts is not None else packet.pts
    return (at or 0) * (packet.time_base or Fraction(1))


def _named(stream: Any) -> dict[str, Any]:
    """Language, name and role of a stream, where they say something."""
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    title = next((tags[name] for name in ("title", "name", "handler_name") if name in tags), "")
    found = {"language": stream.language, "name": title, "role": int(stream.disposition) & ~1}
    return {name: value for name, value in found.items() if value and value != "und" and not str(value).endswith("Handler")}


def _describe(stream: Any, made: Any) -> None:
    """Give a stream the tags and the role of another."""
    named = _named(stream)
    made.metadata.update({name: value for name, value in stream.metadata.items() if name.lower() not in _OWN_TAGS})
    if "name" in named:
        made.metadata.update(title=named["name"], handler_name=named["name"])
    made.disposition = stream.disposition


def _bits(kind: Any) -> int:
    return max(int(component.bits) for component in kind.components)


def _has_alpha(kind: Any) -> bool:
    return any(component.is_alpha for component in kind.components)


def _grid(stream: Any) -> Fraction:
    """The coarsest time base that has both the input's times and the frames of its average rate."""
    tick = Fraction(stream.time_base)
    return _common([tick, 1 / stream.average_rate]) if stream.average_rate else tick


def _common(times: list[Fraction]) -> Fraction:
    """The longest tick of which all these times are multiples."""
    below = math.lcm(*(time.denominator for time in times))
    return Fraction(math.gcd(*(int(time * below) for time in times)), below)


def _time(at: Fraction, stream: Any) -> Fraction:
    """The time of a frame in seconds, freed of the container's rounding (Matroska's milliseconds) at a constant rate."""
    rate = stream.average_rate
    exact = round(at * rate) / rate if rate else at
    return exact if abs(exact - at) <= stream.time_base else at


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        raise QdrError(f"video needs PyAV, which is an extra: {EXTRA}") from error
    return av
