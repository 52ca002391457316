"""The methods of the pages add-*.md through the pipeline: all of them end in the table, one run for all pages."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from qdr.suite import config, paths
from qdr.suite.evaluate.restore import evaluate
from qdr.suite.evaluate.stats import Paired
from qdr.suite.export.models import export_all
from qdr.suite.methods import catalogue
from qdr.suite.report.quality import REAL, Quality, label
from qdr.suite.report.tables.quality import main_table
from qdr.suite.train.pool import make_tasks
from tests.docs.pages import block

PAGES = ("add-a-quantizer", "add-a-distillation", "add-a-balancer", "add-a-model")


@pytest.mark.slow
def test_the_pages_are_true(extended: Path, pairs: Path) -> None:
    added = {name: about for page in PAGES for name, about in yaml.safe_load(block(page, "yaml")).items()}
    named = yaml.safe_load(block("add-a-quantizer", "yaml", 1))["w8a8"]["methods"]
    assert set(named) <= catalogue().keys()
    methods = ["qat", *(name for name in added if catalogue()[name].quantized)]
    about = {"tasks": ["derain"], "methods": methods, "bits": ["W8A8"], "images": ["all"], "seeds": [0]}
    params = yaml.safe_load((extended / "params.yaml").read_text())
    (extended / "params.yaml").write_text(yaml.safe_dump(params | {"blocks": {"w8a8": about}, "tasks": ["derain"]}))

    settings = config.load()
    make_tasks(settings, ["derain"])
    export_all(settings)
    evaluate(settings, "derain")
    table = main_table(Quality(paths.rows("quality", "derain")), REAL, Paired(0.95))
    rows = {row[1]: row for row in table.rows if row}
    for name in methods:
        row = rows[catalogue()[name].label]
        assert row[3] == "openvino", name
        assert float(row[4]) > float(rows[label("input")][4]), name
