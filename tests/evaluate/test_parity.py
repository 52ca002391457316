from __future__ import annotations

import pytest

from qdr.evaluate.parity import beyond_gate


def row(delta: float, maximum: int, mean: float, method: str = "qdr") -> dict[str, object]:
    return {
        "method": method,
        "bits": "W8A8",
        "engine": "openvino",
        "image": "china",
        "delta_psnr_db": f"{delta:.6f}",
        "max_level": maximum,
        "mean_level": f"{mean:.6f}",
    }


def test_within_the_gate() -> None:
    assert beyond_gate([row(0.02, 12, 0.5), row(-0.01, 0, 0.0)]) == []


def test_peers_are_held_to_the_psnr_alone() -> None:
    assert beyond_gate([row(0.003, 5, 0.84, "ptq-restormer")]) == []
    assert len(beyond_gate([row(0.011, 5, 0.84, "ptq-restormer")])) == 1
    assert len(beyond_gate([row(0.003, 5, 0.84, "ptq-nano")])) == 1  # an EFM


@pytest.mark.parametrize(
    ("bad", "message"),
    [(row(0.011, 1, 0.1), r"\+0\.0110 dB"), (row(0, 4, 0.6), "0.600000 grey levels")],
)
def test_beyond_the_gate(bad: dict[str, object], message: str) -> None:
    import re

    lines = beyond_gate([bad])
    assert len(lines) == 1
    assert re.search(message, lines[0])
    assert lines[0].startswith("qdr W8A8 in openvino")
