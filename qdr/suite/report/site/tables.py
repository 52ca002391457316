"""The tables of the paper as pieces draw them: the functions of qdr/suite/report/tables, given the results of a profile."""

from __future__ import annotations

from qdr.suite.report.peers import find_peers
from qdr.suite.report.site.parts import Given
from qdr.suite.report.tables import jetson, others, quality
from qdr.suite.report.tables.census import census_table
from qdr.suite.report.tables.detection import detection_table
from qdr.suite.report.tables.packaged import packaged_table
from qdr.suite.report.tables.peers import peers_table
from qdr.suite.report.tables.roofline import roofline_table
from qdr.suite.report.tables.table import Table


def summary(given: Given) -> Table:
    """A line per test set."""
    return quality.summary_table(given.quality, given.kind, given.stats)


def main(given: Given) -> Table:
    """Every method at FP32 and W8A8."""
    return quality.main_table(given.quality, given.kind, given.stats)


def main_scenes(given: Given) -> Table | None:
    """The same on held-out scenes, where they are not what `main` shows."""
    return quality.main_table(given.quality, given.other, given.stats) if given.other else None


def low_bit(given: Given) -> Table:
    """Few bits, few images."""
    return quality.low_bit_table(given.quality, given.kind, given.stats)


def low_bit_scenes(given: Given) -> Table | None:
    """The same on held-out scenes."""
    return quality.low_bit_table(given.quality, given.other, given.stats) if given.other else None


def ablation(given: Given) -> Table:
    """QDR without one of its parts."""
    return quality.ablation_table(given.quality, given.kind, given.stats)


def ranking(given: Given) -> Table:
    """Mean ranks."""
    return others.ranking_table(given.quality, given.kind, given.config.stats.confidence)


def detection(given: Given) -> Table:
    """What a detector finds."""
    return detection_table(given.detection, given.stats, given.config.detect.resamples)


def packaged(given: Given) -> Table | None:
    """The weights that come with qdr."""
    path = given.folder / "packaged.csv"
    return packaged_table(path, given.stats) if path.is_file() else None


def sensitivity(given: Given) -> Table:
    """The layers that lose most alone."""
    return others.sensitivity_table(given.folder / "sensitivity.csv")


def parity(given: Given) -> Table:
    """Engines against fake quantization."""
    return others.parity_table(given.folder / "parity.csv")


def latency(given: Given) -> Table:
    """Milliseconds of every engine."""
    return others.latency_table(given.folder / "latency.csv", given.folder / "jetson.json")


def peers(given: Given) -> Table | None:
    """Networks trained in one budget; None where there is but one."""
    found = find_peers(given.config, given.quality, given.folder / "latency.csv")
    return None if found is None else peers_table(found, given.stats)


def roofline(given: Given) -> Table:
    """How near the convolutions are to the machine's peak."""
    return roofline_table(given.folder / "roofline.csv")


def census(given: Given) -> Table:
    """Layers by precision."""
    return census_table(given.folder / "census.csv")


def on_jetson(given: Given) -> Table | None:
    """What was measured on a Jetson and brought back; None where nothing was."""
    return jetson.jetson_table(given.folder / "jetson.json")


def target(given: Given) -> Table:
    """Predicted: which model reaches the paper's frames per second where."""
    return jetson.target_table(jetson.read_kernels(given.folder / "kernels.csv"))


def prediction(given: Given) -> Table:
    """Predicted: the profile's model on every Orin."""
    return jetson.prediction_table(jetson.read_kernels(given.folder / "kernels.csv"), "base")


def protocols(_: Given) -> Table:
    """How images are compared."""
    return others.protocol_table()
