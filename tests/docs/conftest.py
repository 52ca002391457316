"""Every extension of the pages add-*.md, applied as they say."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from qdr.distill import balancers, distances, points
from qdr.models import peers
from qdr.quant import quantizers
from qdr.suite import zoo
from tests.docs.pages import block, entry, place

METHODS = ("add-a-quantizer", "add-a-distillation", "add-a-balancer", "add-a-model")

ROOMS = (("qdr.quant.quantizers", "pow2"), ("qdr.distill.balancers", "rlw"))


@pytest.fixture
def extended(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the quantizer, distance, place, balancer and model of the pages, and their methods."""
    place(block("add-a-quantizer", "python"), quantizers, "pow2", project, monkeypatch)
    place(block("add-a-balancer", "python"), balancers, "rlw", project, monkeypatch)
    pow2, rlw = (importlib.import_module(f"{room}.{name}") for room, name in ROOMS)
    for name, module in entry(block("add-a-quantizer", "text"), {"pow2": pow2}).items():
        monkeypatch.setitem(quantizers.QUANTIZERS, name, module)
    for name, balance in entry(block("add-a-balancer", "text"), {"rlw": rlw}).items():
        monkeypatch.setitem(balancers.BALANCERS, name, balance)
    place(block("add-a-model", "python"), peers, "srcnn", project, monkeypatch)
    srcnn = importlib.import_module("qdr.models.peers.srcnn")
    for name, network in entry(block("add-a-model", "text"), vars(srcnn)).items():
        monkeypatch.setitem(zoo.NETWORKS, name, network)
    names = dict(vars(distances))
    exec(block("add-a-distillation", "python"), names)
    for name, distance in entry(block("add-a-distillation", "text"), names).items():
        monkeypatch.setitem(distances.DISTANCES, name, distance)
    for name, parts in entry(block("add-a-distillation", "text", 1), {}).items():
        monkeypatch.setitem(points.PLACES, name, parts)
    with (project / "methods.yaml").open("a") as file:
        file.write("\n" + "\n".join(block(page, "yaml") for page in METHODS))
    return project
