"""What the networks that are timed cost: results/<profile>/costs.csv, counted from the networks, no measurement."""

from __future__ import annotations

from functools import partial

from qdr.models.cost import cost
from qdr.rows import write_rows
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.zoo import build_model

OWN = ("efm", "efm-no-ldg")


def write_costs(config: Config) -> None:
    """Write parameters and MACs of the EFM, with gates and without, and of the profile's networks, at every side."""
    rows = []
    for name in dict.fromkeys((*OWN, *config.bench.models)):
        for side in config.bench.sides:
            found = cost(partial(build_model, name, config.model), side, side)
            rows.append({"model": name, "height": side, "width": side, "parameters": found.parameters, "macs": found.macs})
    write_rows(paths.results(config.profile) / "costs.csv", rows)
