"""Every path of the project, once.

All paths are relative to the project root: the nearest folder at or above the working directory that holds
`params.yaml`, so that DVC stages, tests in a temporary folder and the command line agree.
"""

from __future__ import annotations

from pathlib import Path

from qdr.errors import QdrError


def project_root(start: Path | None = None) -> Path:
    """Return the nearest folder at or above `start` (default: the working directory) that holds params.yaml."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise QdrError(f"no params.yaml in {here} or above it: run qdr inside the project, or `qdr profile embedded`")


def manifest() -> Path:
    """The list of data sources (out of data.dvc)."""
    return project_root() / "data" / "manifest.json"


def hashes() -> Path:
    """Checksums of sources whose publisher gives none, as first fetched."""
    return project_root() / "data" / "hashes.json"


def downloads() -> Path:
    """Archives as downloaded or placed by hand, and unfinished transfers."""
    return project_root() / "data" / "downloads"


def raw(source: str) -> Path:
    """Files of one source as fetched."""
    return project_root() / "data" / "raw" / source


def scenes(split: str) -> Path:
    """Procedural clean scenes: `<name>.png` and `<name>.depth.png`."""
    return project_root() / "data" / "scenes" / split


def prepared(task: str, split: str) -> Path:
    """Image pairs of a task: folders `input/`, `target/` and `truth/` (the degradation map)."""
    return project_root() / "data" / "prepared" / task / split


def teachers(task: str) -> Path:
    """FP32 models of a task, trained from scratch, one folder per run."""
    return project_root() / "work" / "teachers" / task


def runs(task: str) -> Path:
    """The other models of a task, one folder per run."""
    return project_root() / "work" / "runs" / task


def store(fingerprint: str) -> Path:
    """A finished model, under the fingerprint of all that determines it; may be deleted at any time."""
    return project_root() / "work" / "store" / fingerprint[:32]


def unfinished(fingerprint: str) -> Path:
    """State of a model that still trains; outside the runs' folders, which DVC deletes before a stage starts."""
    return project_root() / "work" / "unfinished" / f"{fingerprint[:32]}.pt"


def engines(task: str) -> Path:
    """Exported ONNX files of a task."""
    return project_root() / "work" / "engines" / task


def rows(kind: str, task: str) -> Path:
    """Measured rows of one task before they are collected (`kind`: quality, parity, features, sensitivity, detection)."""
    return project_root() / "work" / kind / f"{task}.csv"


def detector() -> Path:
    """The small detector that the pipeline trains."""
    return project_root() / "work" / "detector"


def detection_pictures() -> Path:
    """Restored images with what a detector found, of sources whose images are not committed."""
    return project_root() / "work" / "detection-pictures"


def calls() -> Path:
    """Every timed call behind results/latency.csv."""
    return project_root() / "work" / "latency" / "calls.csv"


def tensorrt_engines() -> Path:
    """TensorRT engines built on this machine."""
    return project_root() / "work" / "tensorrt"


def samples(profile: str, task: str) -> Path:
    """One restored photograph per method, for the before-after figure."""
    return results(profile) / "samples" / task


def gates(profile: str, task: str) -> Path:
    """LDG's gate maps on the same photograph."""
    return results(profile) / "gates" / task


def detection_samples(profile: str, task: str) -> Path:
    """One labelled scene degraded and restored, with what the detector found, for the figure with boxes."""
    return results(profile) / "detection" / task


def results(profile: str) -> Path:
    """Tidy CSV of a profile: the only source of its tables and figures."""
    return project_root() / "results" / profile


def tables(profile: str) -> Path:
    """Generated tables of a profile."""
    return project_root() / "paper_tables" / profile


def figures(profile: str) -> Path:
    """Generated figures of a profile."""
    return project_root() / "figures" / profile


def site(profile: str) -> Path:
    """The folder of a profile's web page."""
    return project_root() / "work" / "site" / profile
