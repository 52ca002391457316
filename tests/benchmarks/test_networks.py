"""The tables of networks in docs/quantize.md are what results/networks gives; every factory makes its network."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks.networks import BUDGETS, NETWORKS, Network, tables
from qdr.convert import network

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results/networks/networks.csv"


def test_the_page_has_the_tables_of_the_results() -> None:
    assert tables(RESULTS) in (ROOT / "docs/quantize.md").read_text(encoding="utf-8")


def test_results_are_whole() -> None:
    table = pd.read_csv(RESULTS)
    assert set(table["network"]) <= set(NETWORKS)
    assert not table.duplicated(["network", "scheme", "variant"]).any()
    for _, rows in table.groupby("network"):
        assert {f"max-drop {most:g}" for most in BUDGETS} <= set(rows["variant"])
        assert (rows.loc[rows["scheme"] == "W4A4", "engine"] == "fake-quant").all()
        assert (rows.loc[rows["scheme"].isin(["W8A8", "W7A8"]), "engine"] != "fake-quant").all()


@pytest.mark.parametrize("about", NETWORKS.values(), ids=list(NETWORKS))
def test_every_factory_makes_its_network(about: Network) -> None:
    factory = str(ROOT / "examples" / about.factory)
    model, image = network.build(factory).eval(), torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        assert model(image).shape == image.shape
