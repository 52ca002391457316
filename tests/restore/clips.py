"""A small video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import skimage.data

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
    import av

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
