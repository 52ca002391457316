"""What the packaged weights give on the test sets of the active profile, in both schemes: results/<profile>/packaged.csv,
and of the first set the middle of the image with the median gain, before and after: results/<profile>/packaged/.

The files are those that `qdr restore --task` runs, each in the first engine that is right on this processor. On real test
sets (profile `public`) this is what a user gets, and what weights of 7 bits cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qdr import files
from qdr.metrics.protocol import protocol
from qdr.metrics.psnr import psnr
from qdr.restore.pretrained import SCHEMES, about, packaged
from qdr.rows import write_rows
from qdr.runtimes.session import restore
from qdr.runtimes.verify import open_right
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.evaluate.restore import protocols, test_sets

Picture = NDArray[np.uint8]

SIDE = 192


def measure_packaged(config: Config) -> None:
    """Write packaged.csv, the PSNR of the degraded input and of each packaged file, image by image, and the pictures."""
    results = paths.results(config.profile)
    with files.replacing(results / "packaged") as folder:
        folder.mkdir()
        rows = [row for task in config.tasks for row in _rows(config, task, folder)]
    write_rows(results / "packaged.csv", rows)


def _rows(config: Config, task: str, folder: Path) -> Iterator[dict[str, Any]]:
    sets = test_sets(config, task)
    images = [(split, *image) for split, p in sets.items() for image in zip(p.names, p.inputs, p.targets, strict=True)]
    sessions = {about(path)["bits"]: open_right(path, "int8", config.threads) for path in packaged(task)}
    gains: dict[str, float] = {}  # of the images of the first set
    pictures: dict[str, tuple[Picture, Picture]] = {}
    for split, name, degraded, target in images:
        where = {"profile": config.profile, "task": task, "split": split, "image": name}
        restored = {("input", "none"): degraded}
        restored |= {(bits, session.name): restore(session, degraded) for bits, session in sessions.items()}
        if split == next(iter(sets)):
            after = next(image for (bits, _), image in restored.items() if bits == SCHEMES[0])
            ours = protocol(protocols(split)[0])
            gains[name] = psnr(after, target, ours) - psnr(degraded, target, ours)
            pictures[name] = _middle(degraded), _middle(after)
        for (bits, engine), image in restored.items():
            for rule in protocols(split):
                value = {"metric": "psnr", "protocol": rule, "value": f"{psnr(image, target, protocol(rule)):.6f}"}
                yield where | {"bits": bits, "engine": engine} | value
    median = sorted(gains, key=gains.__getitem__)[len(gains) // 2]
    for kind, picture in zip(("input", "restored"), pictures[median], strict=True):
        Image.fromarray(picture).save(folder / f"{task}-{median}-{kind}.png", compress_level=9)
    for session in sessions.values():
        session.close()


def _middle(image: Picture) -> Picture:
    top, left = (max(0, (size - SIDE) // 2) for size in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]
