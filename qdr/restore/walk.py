"""The files of a folder: those that are restored, those that seem to be pictures or videos and are not, and the others."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from qdr.images import decode
from qdr.restore import pictures, video

_REMEDIES = {
    "HEIF": "needs a plug-in: pip install pillow-heif",
    "AVIF": "needs a Pillow with AVIF: pip install --upgrade pillow",
}
_RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".jxl")


@dataclass
class Found:
    """Files below a folder.

    Args:
        names: what is restored, relative to the folder, sorted.
        passed: what seems to be a picture or a video, and why it is passed over.
        left: everything else.
    """

    names: list[Path] = field(default_factory=list)
    passed: list[tuple[Path, str]] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)


def walk(source: Path, target: Path) -> Found:
    """Look through `source`, without hidden files and folders and without `target` if that lies inside."""
    found, inside, known = Found(), target.resolve(), pictures.formats()

    def unreadable(error: OSError) -> None:
        found.passed.append((Path(error.filename), f"cannot be read: {error.strerror}"))

    for folder, folders, files in os.walk(source, onerror=unreadable):
        here = Path(folder)
        links = sorted(name for name in folders if (here / name).is_symlink() and not name.startswith("."))
        found.passed += [(here / name, "is a link to a folder, which is not followed: name it as IN") for name in links]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and (here / name).resolve() != inside)
        for path in sorted(here / name for name in files if not name.startswith(".")):
            reason = _reason(path, known)
            if reason is None:
                found.left.append(path)
            elif reason:
                found.passed.append((path, reason))
            else:
                found.names.append(path.relative_to(source))
    found.names.sort()
    return found


def _reason(path: Path, known: Collection[str]) -> str | None:
    """Why a file is passed over; nothing if it is restored, None if it is no picture or video."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return "is a link to nothing" if path.is_symlink() else "is no file"
    if suffix in known or (suffix in video.SUFFIXES and video.is_there()):
        return ""
    if suffix in video.SUFFIXES:
        return f"needs PyAV, which is an extra: {video.EXTRA}"
    if suffix in pictures.PLUGINS:
        return _REMEDIES[pictures.PLUGINS[suffix][0]]
    kind = (mimetypes.guess_type(path.name)[0] or "").split("/")[0]
    if kind == "video":
        return f"is of a format that is not read here: convert it to {video.SUFFIXES[0]} or .mkv"
    if kind == "image" or suffix in _RAW or suffix in Image.registered_extensions():
        return "is of a format that is not read here: convert it to PNG"
    try:
        with Image.open(path, formats=decode.FORMATS) as image:
            return f"is a {image.format} without its suffix: rename it"
    except Exception:  # whatever a decoder makes of a file that is no picture
        return None
