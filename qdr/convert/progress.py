"""What lets an interrupted `qdr quantize` go on where it was, with the same bits as one that was not interrupted.

Beside the output, in a folder `.NAME.onnx.progress`, lie states of what takes long: the training, every so many steps, and
the gain of every layer that was tried alone. A state is a file: the sha256 of what follows, then a fingerprint and the
values as torch saves them, read with `weights_only`. It is replaced at once or not at all. One with another fingerprint (of
inputs, options, versions) or a damaged one is passed over, and the folder goes when the output is there. Calibration takes
seconds and gives the same each time: it is done again.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from qdr import machine
from qdr.files import replacing
from qdr.images.pairs import images_in

_DIGEST = hashlib.sha256().digest_size
State = dict[str, Any]


class Progress:
    """States of an unfinished run.

    Args:
        out: the file that is made.
        fingerprint: of all that decides its bits (`fingerprint`).
    """

    def __init__(self, out: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = out.parent / f".{out.name}.progress", fingerprint

    def keep(self, name: str, state: State) -> None:
        """Save a state of tensors, numbers and texts."""
        content = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint, "state": state}, content)
        with replacing(self.folder / name) as temporary:
            temporary.write_bytes(hashlib.sha256(content.getbuffer()).digest() + content.getvalue())

    def find(self, name: str) -> State | None:
        """The state of that name, None where there is none that fits."""
        try:
            content = (self.folder / name).read_bytes()
            if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                return None
            found = torch.load(io.BytesIO(content[_DIGEST:]), weights_only=True, map_location="cpu")
            state: State | None = found["state"] if found["fingerprint"] == self.fingerprint else None
            return state
        except (OSError, UnpicklingError, RuntimeError, EOFError, LookupError, TypeError):
            return None

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def fingerprint(about: Iterable[Any], files: Iterable[Path], folders: Iterable[Path], tensors: dict[str, Tensor]) -> str:
    """One text for options, the content of files, images of folders, tensors, processor and versions."""
    digest = hashlib.sha256(json.dumps([list(map(str, about)), machine.versions(), machine.processor()]).encode())
    images = [path for folder in folders for path in images_in(folder).values()]
    for path in (*files, *images):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    for name, tensor in tensors.items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
