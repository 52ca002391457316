"""What the packaged weights give on the test sets of the active profile, in both schemes: results/<profile>/packaged.csv.

The files are those that `qdr restore --task` runs, each in the first engine that is right on this processor. On real test
sets (profile `public`) this is what a user gets, and what weights of 7 bits cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qdr.metrics.protocol import protocol
from qdr.metrics.psnr import psnr
from qdr.restore.pretrained import about, packaged
from qdr.rows import write_rows
from qdr.runtimes.session import restore
from qdr.runtimes.verify import open_right
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.evaluate.restore import protocols, test_sets


def measure_packaged(config: Config) -> None:
    """Write packaged.csv: the PSNR of the degraded input and of each packaged file, image by image."""
    write_rows(paths.results(config.profile) / "packaged.csv", [row for task in config.tasks for row in _rows(config, task)])


def _rows(config: Config, task: str) -> Iterator[dict[str, Any]]:
    sets = test_sets(config, task)
    images = [(split, *image) for split, p in sets.items() for image in zip(p.names, p.inputs, p.targets, strict=True)]
    sessions = {about(path)["bits"]: open_right(path, "int8", config.threads) for path in packaged(task)}
    for split, name, degraded, target in images:
        where = {"profile": config.profile, "task": task, "split": split, "image": name}
        restored = {("input", "none"): degraded}
        restored |= {(bits, session.name): restore(session, degraded) for bits, session in sessions.items()}
        for (bits, engine), image in restored.items():
            for rule in protocols(split):
                value = {"metric": "psnr", "protocol": rule, "value": f"{psnr(image, target, protocol(rule)):.6f}"}
                yield where | {"bits": bits, "engine": engine} | value
    for session in sessions.values():
        session.close()
