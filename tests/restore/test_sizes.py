"""Pictures of any size come back in that size, down to one pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdr.restore.restorer import Restorer
from tests.faults.models import identity


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1), (1, 77, 3), (33, 1), (17, 31, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_small_and_odd(tmp_path: Path, shape: tuple[int, ...], kind: type) -> None:
    (tmp_path / "m.onnx").write_bytes(identity().SerializeToString())
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, shape).astype(kind)
    with Restorer(model=tmp_path / "m.onnx", engine="onnxruntime", threads=1) as restore:
        assert np.array_equal(restore(pixels), pixels)
