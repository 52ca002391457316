"""A video frame as RGB, and what was made of it as a frame again, without drift.

libswscale truncates: a round trip of 8-bit 4:2:0 through its default conversion loses 1.2 grey levels of brightness, full
range even with 4:4:4, and 10 bits in limited range 0.5 on the way to RGB alone. So both directions are computed here in
floating point and rounded once. Matrices and ranges: ITU-T H.273, 8.3 (K_R, K_B; 219 and 224 of 256 codes, or all); chroma
lies on the left of its luma samples, vertically between them (H.265, figure E.1, type 0), and is interpolated linearly.

What was changed is added to the samples of the frame itself: out = in + (f(restored) - f(given)), f from RGB to the frame's
format. So a model that changes nothing gives the frame back bit for bit, whatever was clipped or interpolated on the way,
and chroma keeps what its half resolution has. Only where the format changes, out = f(restored).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdr.errors import QdrError
from qdr.restore.tiles import Pixels

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Plane = NDArray[Any]  # float32
_K = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
_UNKNOWN = (0, 2, 3)  # RGB, unspecified, reserved: of YUV the player guesses
_PLANAR = re.compile(r"(?:gray|gbra?p|yuva?4\d\dp)(?:\d+le)?")
_ALL = "gray gray{} gbrp gbrp{} gbrap gbrap{} yuv420p yuv420p{} yuv422p yuv422p{} yuv444p yuv444p{} yuva420p yuva444p{}"


def planar(name: str) -> str:
    """The pixel format with a plane per component that holds what `name` holds: itself, or the nearest.

    >>> planar("nv12"), planar("bgr0"), planar("yuvj444p"), planar("gray10le")
    ('yuv420p', 'gbrp', 'yuv444p', 'gray10le')
    """
    from av.codec.codec import find_best_pix_fmt_of_list

    name = name.replace("yuvj", "yuv")
    if _PLANAR.fullmatch(name):
        return name
    best: Any = find_best_pix_fmt_of_list(_ALL.replace("{}", "16le").split(), name, has_alpha=True)[0]
    return str(best.name)


def matrix(frame: VideoFrame) -> int:
    """The number of the frame's matrix (H.273, table 4); where there is none what players take (BT.709 from 720 lines on).

    Raises:
        QdrError: when it is none of those that are known here.
    """
    if frame.colorspace in _UNKNOWN:
        return 1 if frame.width >= 1280 or frame.height > 576 else 5
    if frame.colorspace not in _K:
        raise QdrError(f"the colour matrix {int(frame.colorspace)} (H.273) is not read here: convert the video to BT.709")
    return int(frame.colorspace)


def is_full(frame: VideoFrame) -> bool:
    """Whether black is 0 and white the largest code."""
    name = frame.format.name
    return frame.color_range == 2 or name.startswith("yuvj") or (name.startswith("gray") and frame.color_range != 1)


def rgb(frame: VideoFrame) -> Pixels:
    """The frame as RGB [h, w, 3], uint8, or uint16 where it has more than 8 bits."""
    kind = planar(frame.format.name)
    planes, levels = _planes(frame, kind), 65535.0 if _bits(kind) > 8 else 255.0
    if kind.startswith("gb"):
        channels = [planes[i] * (levels / _top(kind)) for i in (2, 0, 1)]
    else:
        black, luma, grey, chroma = _codes(kind, is_full(frame))
        y = (planes[0] - black) * (levels / luma)
        channels = [y, y, y]
        if not kind.startswith("gray"):
            kr, kb = _K[matrix(frame)]
            blue, red = (_up((plane - grey) * (levels / chroma), *y.shape) for plane in planes[1:3])
            channels[0], channels[2] = y + red * (2 - 2 * kr), y + blue * (2 - 2 * kb)
            channels[1] = (y - channels[0] * kr - channels[2] * kb) / (1 - kr - kb)
    result = np.empty((*channels[0].shape, 3), np.uint16 if levels > 255 else np.uint8)
    for i, channel in enumerate(channels):
        result[..., i] = _rounded(channel, levels)
    return result


def frame_of(restored: Pixels, given: Pixels, frame: VideoFrame, name: str, height: int, width: int) -> VideoFrame:
    """A frame in format `name` of `height` x `width` (its last row and column repeated where that is more).

    Args:
        restored: RGB of the model, of the type of `given`.
        given: `rgb(frame)`.
        frame: the frame that was given.
        name: the pixel format.
        height: of the result in pixels.
        width: of the result in pixels.
    """
    from av import VideoFrame as Frame

    kind = planar(name)
    same = kind == planar(frame.format.name)
    change: Plane = (np.subtract(restored, given, dtype=np.int32) if same else restored).astype(np.float32)
    change = _extended(change, height, width)
    full = is_full(frame) and (same or not frame.format.is_rgb)
    made, base = Frame(width, height, kind), _planes(frame, kind) if same else []
    small: Plane | None = None
    for i, (plane, (weights, start)) in enumerate(zip(made.planes, _rows(kind, matrix(frame), full), strict=True)):
        size, values = (plane.height, plane.width), change
        if size != change.shape[:2]:
            values = small = _down(change, *size) if small is None else small
        values = values @ (weights / np.float32(np.iinfo(given.dtype).max))
        values += _extended(base[i], *size) if same else np.float32(start)
        _view(plane, kind)[...] = _rounded(values, _top(kind))
    if name.replace("yuvj", "yuv") != kind:
        made = made.reformat(format=name)  # another order of the same samples
    made.color_primaries, made.color_trc = frame.color_primaries, frame.color_trc
    made.colorspace = frame.colorspace if same else matrix(frame)
    made.color_range = frame.color_range if same else 1 + full
    return made


def _rows(kind: str, number: int, full: bool) -> list[tuple[NDArray[np.float32], float]]:
    """For each plane the weights of RGB in [0, 1], and the code of black."""
    black, luma, grey, chroma = _codes(kind, full)
    if kind.startswith("gb"):
        rows = [(np.eye(3)[i] * _top(kind), 0.0) for i in (1, 2, 0)]
    else:
        kr, kb = _K[number]
        y = np.array([kr, 1 - kr - kb, kb])
        rows = [(y * luma, black)]
        if not kind.startswith("gray"):
            rows += [((np.eye(3)[i] - y) / (2 - 2 * y[i]) * chroma, grey) for i in (2, 0)]
    if kind.startswith(("yuva", "gbra")):
        rows.append((np.zeros(3), _top(kind)))
    return [(weights.astype(np.float32), start) for weights, start in rows]


def _bits(kind: str) -> int:
    found = re.search(r"(\d+)le$", kind)
    return int(found[1]) if found else 8


def _top(kind: str) -> float:
    return 2.0 ** _bits(kind) - 1


def _codes(kind: str, full: bool) -> tuple[float, float, float, float]:
    """Code of black, codes of luma's range, code of grey chroma, codes of chroma's range."""
    unit, top = 2.0 ** (_bits(kind) - 8), _top(kind)
    return (0.0, top, 128 * unit, top) if full else (16 * unit, 219 * unit, 128 * unit, 224 * unit)


def _rounded(values: Plane, top: float) -> Plane:
    values = values + np.float32(0.5)
    return np.clip(values, 0, top, out=values)  # the conversion to integers cuts the rest off


def _view(plane: Any, kind: str) -> NDArray[Any]:
    samples = np.frombuffer(plane, np.uint8 if _bits(kind) == 8 else np.uint16)
    return samples.reshape(plane.height, -1)[:, : plane.width]


def _planes(frame: VideoFrame, kind: str) -> list[Plane]:
    if kind != frame.format.name.replace("yuvj", "yuv"):
        frame = frame.reformat(format=kind)
    return [_view(plane, kind).astype(np.float32) for plane in frame.planes]


def _extended(values: Plane, height: int, width: int) -> Plane:
    beyond = [(0, height - values.shape[0]), (0, width - values.shape[1]), (0, 0)][: values.ndim]
    return np.pad(values, beyond, mode="edge") if any(b for _, b in beyond) else values


def _up(chroma: Plane, height: int, width: int) -> Plane:
    """Chroma at every luma sample, by linear interpolation: columns lie on even ones of luma, rows between two."""
    while chroma.shape[1] < width:
        wide = np.repeat(chroma, 2, 1)
        wide[:, 1:-1:2] = (chroma[:, 1:] + chroma[:, :-1]) / 2
        chroma = wide
    while chroma.shape[0] < height:
        tall = np.repeat(chroma * np.float32(0.75), 2, 0)
        tall[0], tall[-1] = chroma[0], chroma[-1]
        quarter = chroma * np.float32(0.25)
        tall[2::2] += quarter[:-1]
        tall[1:-1:2] += quarter[1:]
        chroma = tall
    return chroma[:height, :width]


def _down(pixels: Plane, height: int, width: int) -> Plane:
    """RGB [h, w, 3] at chroma's samples: the mean of two rows, weights 1/4, 1/2, 1/4 of the columns around an even one."""
    while pixels.shape[0] > height:
        pixels = _extended(pixels, pixels.shape[0] + pixels.shape[0] % 2, pixels.shape[1])
        pixels = (pixels[::2] + pixels[1::2]) / 2
    while pixels.shape[1] > width:
        pixels = _extended(pixels, pixels.shape[0], pixels.shape[1] + pixels.shape[1] % 2)
        even, odd = pixels[:, ::2], pixels[:, 1::2]
        pixels = even / 2 + odd / 4
        pixels[:, 1:] += odd[:, :-1] / 4
        pixels[:, 0] += even[:, 0] / 4
    return pixels
