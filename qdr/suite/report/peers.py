"""The networks that a profile trained in one budget: what each costs, restores and takes.

Quality comes from quality.csv, on the first real test set of the task that latency was measured on; latency from
latency.csv, OpenVINO; parameters and MACs from costs.csv.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qdr.errors import QdrError
from qdr.suite.config import Config
from qdr.suite.methods import catalogue, recipe
from qdr.suite.report.load import COSTS, LATENCY, load
from qdr.suite.report.quality import INPUT, QDR, Quality, Setting, Values, label, set_label

OWN = "efm"


@dataclass(frozen=True)
class Peer:
    """One network: parameters, MACs at the side that was timed, PSNR per image, and median latency in ms by precision."""

    name: str
    label: str
    parameters: int
    macs: int
    fp32: Values
    int8: Values
    milliseconds: dict[str, float]

    @property
    def speed_up(self) -> float:
        """FP32 over INT8 latency."""
        return self.milliseconds["fp32"] / self.milliseconds["int8"]


@dataclass(frozen=True)
class Peers:
    """The networks, the EFM first, what they were measured on, and QDR's INT8 EFM ([] where it was not trained)."""

    networks: list[Peer]
    degraded: Values
    qdr: Values
    profile: str
    test_set: str
    side: int
    threads: int
    calls: int

    @property
    def own(self) -> Peer:
        """The EFM."""
        return self.networks[0]


def find_peers(config: Config, quality: Quality, latency: Path) -> Peers | None:
    """The networks of a profile's results; None where no other network than the EFM was timed."""
    frame = load(latency, LATENCY)
    frame = frame[(frame["engine"] == "openvino") & (frame["height"] == frame["height"].iloc[0])]
    task = config.bench.task
    pairs = {name: _settings(quality, task, name) for name in dict.fromkeys(frame["model"])}
    timed = set(frame[frame["precision"] == "int8"]["model"])  # where 8-bit weights are wrong, there is no such row
    found = {name: pair for name, pair in pairs.items() if pair is not None and name in timed}
    if OWN not in found or len(found) < 2:
        return None
    split, first = quality.real(task)[0], frame.iloc[0]
    costs = load(latency.with_name("costs.csv"), COSTS)
    costs = costs[(costs["height"] == first["height"]) & (costs["width"] == first["width"])]
    sizes = {name: (int(p), int(m)) for name, p, m in costs[["model", "parameters", "macs"]].itertuples(index=False)}
    if missing := sorted(found.keys() - sizes.keys()):
        size = f"{first['height']}x{first['width']}"
        raise QdrError(f"costs.csv has no row of {missing[0]} at {size}: run `dvc repro kernels`")
    networks = []
    for name, (fp32, int8) in found.items():
        rows = frame[frame["model"] == name]
        networks.append(
            Peer(
                name,
                _network_label(fp32.method),
                *sizes[name],
                quality.values(task, split, "psnr", fp32),
                quality.values(task, split, "psnr", int8),
                dict(zip(rows["precision"].tolist(), rows["median_ms"].tolist(), strict=True)),
            )
        )
    degraded, qdr = (quality.values(task, split, "psnr", setting) for setting in (INPUT, QDR))
    about = (config.profile, set_label(task, split), int(first["height"]), int(first["threads"]), int(first["calls"]))
    return Peers(networks, degraded, qdr, *about)


def _settings(quality: Quality, task: str, model: str) -> tuple[Setting, Setting] | None:
    """The FP32 model of a network and its INT8 one by calibration alone; None where either was not measured."""
    measured = quality.settings(task, ("FP32", "W8A8"))
    own = [s for s in measured if s.method in catalogue() and recipe(s.method).model == model and s.images == "all"]
    teachers = [s for s in own if recipe(s.method).scratch and s.bits == "FP32"]
    calibrated = [
        s for s in own if not recipe(s.method).trains and recipe(s.method).quantizer != "none" and s.bits == "W8A8"
    ]
    return (teachers[0], calibrated[0]) if teachers and calibrated else None


def _network_label(method: str) -> str:
    """What the FP32 method of a network calls it: "DnCNN FP32" is DnCNN, "FP32 - LDG" the EFM without LDG."""
    name = label(method)
    return f"EFM{name.removeprefix('FP32')}" if name.startswith("FP32") else name.removesuffix("FP32").rstrip()
