"""The packaged weights on every test set: W8A8, and what weights of 7 bits cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from qdr.metrics.protocol import PROTOCOL
from qdr.suite.config import SCENES
from qdr.suite.evaluate.stats import Bootstrap
from qdr.suite.report.load import PACKAGED, load
from qdr.suite.report.quality import Values, set_label
from qdr.suite.report.tables.table import Table, brackets, difference

SCHEMES = ("W8A8", "W7A8")


def packaged_table(path: Path, stats: Bootstrap) -> Table:
    """A row per test set: mean PSNR of the input and of both files, their paired difference, the engines."""
    frame = load(path, PACKAGED)
    frame = frame[(frame["protocol"] == PROTOCOL) & (frame["split"] != SCENES)]
    header = ["Test set", "Images", "Degraded input", *SCHEMES, "W7A8 - W8A8", "Engines"]
    rows = []
    for (task, split), part in frame.groupby(["task", "split"], sort=False):
        values = {bits: _values(part, bits) for bits in ("input", *SCHEMES)}
        text = difference(stats.difference(values["W7A8"], values["W8A8"]), 3)
        engines = [str(part[part["bits"] == bits]["engine"].iloc[0]) for bits in SCHEMES]
        means = [f"{one.mean():.2f}" for one in values.values()]
        start = [set_label(str(task), str(split)), str(len(values["input"]))]
        rows.append([*start, *means, text, ", ".join(dict.fromkeys(engines))])
    caption = (
        f"Packaged weights, PSNR (dB), protocol {PROTOCOL}, profile {frame['profile'].iloc[0]}, 1 seed per model; "
        f"{brackets(stats)}; n.s.: not significant."
    )
    note = "The files of `qdr restore --task`; their cards beside them say what they were trained on."
    return Table("packaged", caption, header, rows, [note])


def _values(frame: pd.DataFrame, bits: str) -> Values:
    """PSNR in the order of the images' names."""
    rows = frame[frame["bits"] == bits].sort_values("image")
    return np.asarray(rows["value"], np.float64)
