from __future__ import annotations

import os
from pathlib import Path

import pytest

from qdr.errors import QdrError
from qdr.files import read_text


def test_text_comes_back_with_its_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("é\r\nb\n".encode())
    assert read_text(tmp_path / "a") == "é\r\nb\n"


def test_what_is_no_text_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b"ab\xe9")
    (tmp_path / "large").write_bytes(b"12345")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    for name, said in {
        "none": "none does not exist: make it",
        "gone": "gone does not exist: make it",
        "pipe": "pipe is no file: make it",
        ".": "is no file: make it",
        "latin": r"latin is not text in UTF-8 \(byte 2\): mend it",
        "large": "large has more than 4 bytes, which no such file has: mend it",
    }.items():
        with pytest.raises(QdrError, match=said):
            read_text(tmp_path / name, "make it", "mend it", largest=4)
