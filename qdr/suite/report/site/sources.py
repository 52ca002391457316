"""Where a number comes from: the stage that writes each file of results/, who ran it, and the command to run it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qdr.rows import read_json

STAGES = {
    "quality.csv": "collect",
    "parity.csv": "collect",
    "training.csv": "collect",
    "features.csv": "collect",
    "sensitivity.csv": "collect",
    "packaged.csv": "packaged",
    "detection.csv": "collect",
    "samples": "evaluate",
    "gates": "evaluate",
    "latency.csv": "bench",
    "latency.json": "bench",
    "census.csv": "bench",
    "roofline.csv": "bench",
    "machine.json": "bench",
    "kernels.csv": "kernels",
    "jetson.json": "jetson",
    "graph.csv": "graph",
}
RECORDS = {"bench": "latency.json", "collect": "provenance.json", "evaluate": "provenance.json", "graph": "provenance.json"}
MADE_BY = {"embedded": "make repro", "full": "make full", "public": "make public", "peers": "make peers"}
LABELS = {
    "git_revision": "Revision",
    "cpu": "Processor",
    "cpu_flags": "Instruction sets",
    "cpu_count": "Logical cores",
    "threads": "Threads",
    "capability": "PyTorch's kernels",
    "seeds": "Seeds",
    "power": "Power mode",
    "system": "System",
    "machine": "Architecture",
}


def stages(files: tuple[str, ...]) -> list[str]:
    """The stages that write some files of results/.

    >>> stages(("roofline.csv", "machine.json", "graph.csv"))
    ['bench', 'graph']
    """
    return list(dict.fromkeys(STAGES[name] for name in files))


def measure(profile: str, files: tuple[str, ...]) -> str:
    """The command that measures some files anew: their stages alone where the profile is the default one.

    >>> measure("embedded", ("latency.csv", "jetson.json"))
    'dvc repro bench jetson'
    >>> measure("full", ("latency.csv",))
    'make full'
    """
    if profile == "embedded" and files:
        return f"dvc repro {' '.join(stages(files))}"
    return MADE_BY.get(profile, f"qdr profile {profile} && dvc repro")


def record(folder: Path, files: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """File, what it says and the value, of the records of who measured some files; those that are missing are left out."""
    names = dict.fromkeys(RECORDS[stage] for stage in stages(files) if stage in RECORDS)
    found = [(name, read_json(folder / name)) for name in names if (folder / name).is_file()]
    found += [(name, _peaks(read_json(folder / name))) for name in files if name == "machine.json"]
    return [(name, what, value) for name, entry in found for what, value in _lines(entry)]


def _lines(entry: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [(label, _text(entry[key])) for key, label in LABELS.items() if entry.get(key) not in (None, [], "")]
    if entry.get("git_dirty"):
        lines.insert(1, ("Working tree", "had changes that were not committed"))
    versions = entry.get("versions", {})
    lines += [("Versions", ", ".join(f"{name} {number}" for name, number in sorted(versions.items())))] if versions else []
    return lines + [(key, _text(value)) for key, value in entry.items() if key.endswith("s)")]


def _peaks(machine: dict[str, Any]) -> dict[str, Any]:
    """The measured limits of machine.json with as many threads as were timed."""
    threads, units = str(machine["threads"]), {"gops": "GOPS", "gbs": "GB/s"}
    named = {kind: kind.rpartition("_") for kind in machine["peaks"]}
    return {
        f"{what.upper() if unit == 'gops' else what} peak ({units[unit]}, {threads} threads)": machine["peaks"][kind][
            threads
        ]
        for kind, (what, _, unit) in named.items()
    }


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
