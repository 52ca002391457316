"""The packaged weights on test sets: means, the paired difference of the two schemes, the engines they ran in."""

from __future__ import annotations

from pathlib import Path

from qdr.rows import write_rows
from qdr.suite.evaluate.stats import Paired
from qdr.suite.report.tables.packaged import packaged_table


def test_means_difference_and_engines(project: Path) -> None:
    psnr = {"input": (10.0, 12.0), "W8A8": (20.0, 24.0), "W7A8": (19.5, 23.5)}
    engines = {"input": "none", "W8A8": "onnxruntime", "W7A8": "openvino"}
    rows = [
        {"profile": "smoke", "task": "derain", "split": "photos", "image": name, "bits": bits, "engine": engines[bits]}
        | {"metric": "psnr", "protocol": "rgb-full", "value": values[i]}
        for bits, values in psnr.items()
        for i, name in reversed(list(enumerate("ab")))  # matched by name, not by position
    ]
    write_rows(project / "packaged.csv", rows[::-1])
    table = packaged_table(project / "packaged.csv", Paired(0.95))
    assert table.rows == [["Rain", "2", "11.00", "22.00", "21.50", "-0.500 [-0.500, -0.500]", "onnxruntime, openvino"]]
