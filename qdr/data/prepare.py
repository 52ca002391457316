"""Make the pairs of a task: clean images degraded, paired sets copied, all cut to multiples of 16 pixels.

train, val    scenes, or a source of clean photographs (data.train)
photos, test  the source of data.test: real photographs degraded, or real pairs
scenes        held-out procedural scenes, beside the real test images
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qdr import paths
from qdr.config import Config
from qdr.data.degrade import degrade
from qdr.data.pairs import images_in, match, read_image, read_pair
from qdr.data.tasks import card
from qdr.data.texture import Field

MULTIPLE = 16
Picture = NDArray[np.uint8]
Triple = tuple[str, Picture, Picture, Picture]


def prepare(config: Config, task: str) -> None:
    """Write data/prepared/<task>/<split>/{input,target,truth}, all splits or none."""
    source = config.data.test[task]
    clean = card(source).kind == "clean"
    shown = _degraded(config, task, paths.raw(source), config.data.test_scale) if clean else _paired(paths.raw(source))
    train = paths.scenes("train") if config.data.train == "scenes" else paths.raw(config.data.train)
    splits = {
        "train": _degraded(config, task, train),
        "val": _degraded(config, task, paths.scenes("val")),
        "scenes": _degraded(config, task, paths.scenes("heldout")),
        "photos" if source == "photos" else "test": shown,
    }
    with paths.replacing(paths.prepared(task, "train").parent) as folder, ThreadPoolExecutor(config.threads) as pool:
        for split, triples in splits.items():
            for kind in ("input", "target", "truth"):
                (folder / split / kind).mkdir(parents=True)
            for done in [pool.submit(_write, folder / split, triple) for triple in triples]:
                done.result()


def _degraded(config: Config, task: str, folder: Path, scale: int = 1) -> Iterator[Triple]:
    """Clean images reduced by `scale` (which removes JPEG traces from the target) and degraded."""
    for name, path in images_in(folder).items():
        clean, depth = read_image(path), _depth(path)
        if scale > 1:
            clean = np.asarray(Image.fromarray(clean).reduce(scale))
            depth = None if depth is None else np.asarray(Image.fromarray(depth).reduce(scale))
        clean = _cut(clean)
        depth = None if depth is None else depth[: clean.shape[0], : clean.shape[1]]
        degraded, truth = degrade(task, clean, depth, config.data.seed, f"{folder.name}/{name}")
        yield name, degraded, clean, truth


def _paired(folder: Path) -> Iterator[Triple]:
    """Real pairs; the truth map is the mean absolute difference."""
    for name, degraded_path, target_path in match(folder):
        degraded, target = (_cut(image) for image in read_pair(name, degraded_path, target_path))
        difference = np.abs(degraded.astype(np.int16) - target.astype(np.int16)).mean(axis=2)
        yield name, degraded, target, difference.astype(np.uint8)


def _depth(path: Path) -> Field | None:
    beside = path.with_name(f"{path.stem}.depth.png")
    if not beside.is_file():
        return None
    with Image.open(beside) as image:
        return np.asarray(image, np.float32) / 65535


def _cut(image: Picture) -> Picture:
    height, width = (size - size % MULTIPLE for size in image.shape[:2])
    return image[:height, :width]


def _write(folder: Path, triple: Triple) -> None:
    name, *images = triple
    for kind, image in zip(("input", "target", "truth"), images, strict=True):
        Image.fromarray(image).save(folder / kind / f"{name}.png", compress_level=1)
