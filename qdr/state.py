"""States of unfinished work as one file: the sha256 of what follows, then values as torch saves them.

Read with `weights_only`, so that a file holds tensors, numbers and texts and runs nothing.
"""

from __future__ import annotations

import hashlib
import io
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch

State = dict[str, Any]
UNREADABLE = (
    UnpicklingError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
)  # what `read` raises
_DIGEST = hashlib.sha256().digest_size


def write(file: BinaryIO, state: State) -> None:
    """Write a state to an open file."""
    content = io.BytesIO()
    torch.save(state, content)
    file.write(hashlib.sha256(content.getbuffer()).digest())
    file.write(content.getbuffer())


def read(content: bytes) -> State | None:
    """The state that a file's content is; None where it is damaged. Whole content that is no state raises `UNREADABLE`."""
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    state: State = torch.load(io.BytesIO(content[_DIGEST:]), weights_only=True, map_location="cpu")
    return state
