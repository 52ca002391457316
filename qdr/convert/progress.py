"""What lets an interrupted `qdr quantize` go on where it was, with the same bits as one that was not interrupted.

Beside the output, in a folder `.NAME.onnx.progress`, lie states of what takes long: the training, every so many steps, and
the gain of every layer that was tried alone. A state is a file (`qdr.state`) with a fingerprint. It is replaced at once or
not at all. One with another fingerprint (of
inputs, options, versions) or a damaged one is passed over, and the folder goes when the output is there. Calibration takes
seconds and gives the same each time: it is done again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qdr import machine, state as states
from qdr.files import replacing
from qdr.images.pairs import images_in
from qdr.state import State


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
        with replacing(self.folder / name) as temporary, temporary.open("wb") as file:
            states.write(file, {"fingerprint": self.fingerprint, "state": state})

    def find(self, name: str) -> State | None:
        """The state of that name, None where there is none that fits."""
        try:
            found = states.read((self.folder / name).read_bytes())
            return found["state"] if found is not None and found["fingerprint"] == self.fingerprint else None
        except (OSError, *states.UNREADABLE):
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
