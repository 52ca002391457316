"""The report of licences: what is installed passes, what is not on the list does not."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

REPORT = runpy.run_path(str(Path(__file__).resolve().parents[2] / ".ci" / "licences"))


def test_what_is_installed_is_on_the_list() -> None:
    found = REPORT["needed"]("qdr")
    assert {"torch", "dvc", "pillow", "hypothesis"} <= found.keys()
    assert [name for name, about in found.items() if REPORT["refused"](name, REPORT["licence"](about))] == []


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("MIT", False),
        ("Apache-2.0 OR GPL-2.0-or-later", False),
        ("BSD-3-Clause AND MIT", False),
        ("MIT AND GPL-3.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("Other/Proprietary License", True),
        ("unknown", True),
    ],
)
def test_the_list(text: str, refused: bool) -> None:
    assert REPORT["refused"]("some-package", text) is refused


def test_cuda_comes_with_pytorch() -> None:
    assert not REPORT["refused"]("nvidia-cublas", "LicenseRef-NVIDIA-Proprietary")
    assert not REPORT["refused"]("cuda-toolkit", "unknown")
    assert REPORT["refused"]("nvidia-modelopt", "LicenseRef-NVIDIA-Proprietary")
