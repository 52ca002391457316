"""docs/metrics.md: its numbers are those of the generated table, its example runs. Its oracles: tests/metrics."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from qdr.metrics.protocol import PROTOCOLS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()


def test_its_numbers_are_the_generated_ones() -> None:
    with (ROOT / "paper_tables" / "embedded" / "quality" / "conventions.csv").open(newline="") as file:
        made = {row["Protocol"]: (row["PSNR (dB)"], row["SSIM"]) for row in csv.DictReader(file)}
    shown = {
        name: values for name, *values in re.findall(r"^\| ([\w-]+) \| (\d+\.\d\d) \| (0\.\d{4}) \|", PAGE, re.MULTILINE)
    }
    assert {name: tuple(values) for name, values in shown.items()} == {name: made[name] for name in PROTOCOLS}
    spread = [f"{float(made['spread'][0]):.1f} dB", f"{float(made['spread'][1]):.2f} of SSIM"]
    assert f"{spread[0]} and {spread[1]} lie between" in PAGE


def test_its_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    exec("\n".join(line.removeprefix("   ") for line in code.splitlines()), {"restored": image, "target": image})
