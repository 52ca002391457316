"""Restore one image file with an exported model: the engineer's first look."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from qdr.data.pairs import read_image
from qdr.paths import replacing
from qdr.runtimes.session import open_session, restore


def restore_file(model: Path, image: Path, output: Path, engine: str = "openvino") -> None:
    """Read `image` (any size, RGB), restore it and write `output` (format by its suffix).

    A file whose name says W8A8 runs in INT8, any other in FP32.

    Raises:
        QdrError: when a file is missing, damaged or cannot be written.
    """
    degraded = read_image(image)
    session = open_session(engine, model, "int8" if "W8A8" in model.name else "fp32")
    restored = restore(session, degraded)
    session.close()
    with replacing(output) as temporary:
        Image.fromarray(restored).save(temporary)
