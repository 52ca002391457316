"""How near the convolutions of the model are to what the machine can do."""

from __future__ import annotations

from pathlib import Path

from qdr.errors import QdrError
from qdr.suite.report.load import ROOFLINE, load, read_machine
from qdr.suite.report.tables.table import Table

GOAL = 0.75


def roofline_table(path: Path) -> Table:
    """All convolutions together: their rate against the GEMM peak, and the time that is spent beside them."""
    frame, machine = load(path, ROOFLINE), read_machine(path.with_name("machine.json"))
    header = ["Side", "Precision", "GMAC", "Convolutions (ms)", "Other layers (ms)", "GOPS", "Peak (GOPS)", "Share of peak"]
    rows = []
    for (side, precision), part in frame.groupby(["height", "precision"], sort=True):
        convolutions = part[part["macs"] > 0]
        macs, spent = convolutions["macs"].sum() / 1e9, convolutions["microseconds"].sum() / 1e3
        if not spent:
            raise QdrError(f"{path} has no convolution of {precision} at {side}: run `dvc repro bench`")
        peak = float(part["peak_gops"].iloc[0])
        rate = 2e3 * macs / spent
        other = part["microseconds"].sum() / 1e3 - spent
        cells = [str(side), str(precision), f"{macs:.2f}", f"{spent:.2f}", f"{other:.2f}"]
        rows.append([*cells, f"{rate:.0f}", f"{peak:.0f}", f"{100 * rate / peak:.0f} %"])
    caption = (
        f"Share of the machine's measured GEMM peak that all convolutions of the model reach together, OpenVINO, "
        f"{machine['threads']} threads. CPU: {machine['cpu']}, power mode {machine['power']}."
    )
    notes = [f"Goal for INT8: {100 * GOAL:.0f} %. An operation is a multiplication or an addition."]
    return Table("roofline", caption, header, rows, [*notes, "Times: of OpenVINO's own profile, the fastest block of runs."])
