"""docs/add-a-quantizer.md, followed to the letter: the new quantizer ends in the table."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from qdr import config, paths
from qdr.evaluate.restore import evaluate
from qdr.evaluate.stats import Bootstrap
from qdr.export.models import export_all
from qdr.quant import quantizers
from qdr.report.quality import REAL, Quality
from qdr.report.tables.quality import main_table
from qdr.train.run import make_runs, make_teachers

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "add-a-quantizer.md").read_text()


def block(language: str, number: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[number]


def test_the_page_is_true(project: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = block("python")
    assert len(code.splitlines()) < 40
    (project / "parts").mkdir()
    (project / "parts" / "pow2.py").write_text(code)
    monkeypatch.setattr(quantizers, "__path__", [*quantizers.__path__, str(project / "parts")])
    monkeypatch.delitem(sys.modules, "qdr.quant.quantizers.pow2", raising=False)
    with (project / "methods.yaml").open("a") as file:
        file.write(block("yaml"))
    params = yaml.safe_load((project / "params.yaml").read_text())
    methods = [name for name in yaml.safe_load(block("yaml", 1))["w8a8"]["methods"] if name in ("ptq", "qat", "qat-pow2")]
    about = {"tasks": ["derain"], "methods": methods, "bits": ["W8A8"], "images": ["all"], "seeds": [0]}
    (project / "params.yaml").write_text(yaml.safe_dump(params | {"blocks": {"w8a8": about}, "tasks": ["derain"]}))

    settings = config.load()
    make_teachers(settings, "derain")
    make_runs(settings, "derain")
    export_all(settings)
    evaluate(settings, "derain")
    table = main_table(Quality(paths.rows("quality", "derain")), REAL, Bootstrap(200, 0.95))
    (row,) = [row for row in table.rows if row and row[1] == "QAT (power of two)"]
    assert row[3] == "openvino"
    assert float(row[4]) > 15
