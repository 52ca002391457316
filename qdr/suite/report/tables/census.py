"""The table of layers: what each engine runs, in which precision, as the engine itself reports it."""

from __future__ import annotations

from pathlib import Path

from qdr.suite.report.load import CENSUS, load
from qdr.suite.report.tables.table import RULE, Table

COLUMNS = ("int8", "bf16", "fp32")


def census_table(path: Path) -> Table:
    """Layers by kind and precision, per model, engine and requested precision."""
    frame = load(path, CENSUS)
    header = ["Model", "Engine", "Asked for", "Layer", "in INT8", "in BF16", "in FP32"]
    rows: list[list[str]] = []
    for case, part in frame.groupby(["model", "engine", "precision"], sort=False):
        rows += [RULE] if rows else []
        for kind, group in sorted(part.groupby("kind"), key=lambda item: (-len(item[1]), str(item[0]))):
            counts = [int((group["runs_in"] == precision).sum()) for precision in COLUMNS]
            rows.append([*map(str, case), str(kind), *(str(count) if count else "—" for count in counts)])
    caption = "Layers each engine runs after its own fusion, by the precision of what they read, told by the engine."
    note = "Names of layers are the engine's. In ONNX Runtime MatMulIntegerToFloat is a convolution whose result stays FP32."
    return Table("census", caption, header, rows, [note])
