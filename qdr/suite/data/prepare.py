"""Make the pairs of a task: clean images degraded, paired sets copied, all cut to multiples of 16 pixels.

train         the task's sources together (data.train): procedural scenes, photographs degraded, real pairs
val           every holdout-th image of each and scenes of their own, or a source of its own (data.validation)
photos, ...   a split per test set, named after its source: photographs degraded, or real pairs
scenes        held-out procedural scenes, where the profile renders any
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qdr import files
from qdr.errors import QdrError
from qdr.images.pairs import images_in, match, read_depth, read_image, read_pair
from qdr.suite import paths
from qdr.suite.config import SCENES, Config
from qdr.suite.data.degrade import degrade
from qdr.suite.data.leaks import check_leaks
from qdr.suite.data.tasks import card
from qdr.suite.data.texture import Field
from qdr.suite.processes import side_by_side

MULTIPLE = 16
_RUNS = 3  # of zlib: Z_RLE, as small on such images as the default and twice as fast
Picture = NDArray[np.uint8]
Make = Callable[[], tuple[Picture, Picture, Picture]]  # degraded image, target and truth map
Pairs = Iterable[tuple[str, Make]]


def prepare_tasks(config: Config, tasks: Sequence[str]) -> None:
    """Make the pairs of every task, tasks side by side."""
    side_by_side(partial(prepare, config), tasks, config.threads)


def prepare(config: Config, task: str) -> None:
    """Write data/prepared/<task>/<split>/{input,target,truth}, all splits or none."""
    splits = _training(config, task)
    if source := config.data.validation.get(task):
        splits["val"] = _degraded(config, task, paths.raw(source), config.data.degrade[task])
    for entry in config.data.test[task]:
        paired = card(entry.source).kind == "pairs"
        if paired == bool(entry.degrade):
            raise QdrError(
                f"data.test.{task}: source {entry.source!r} holds {card(entry.source).kind}; `degrade` is for clean"
            )
        folder = paths.raw(entry.source)
        shown = _paired(folder) if paired else _degraded(config, task, folder, entry.degrade, scale=config.data.test_scale)
        splits[entry.source] = shown
    if config.data.scenes.heldout:
        splits[SCENES] = _degraded(config, task, paths.scenes("heldout"), config.data.degrade[task])
    with files.replacing(paths.prepared(task, "train").parent) as folder, ThreadPoolExecutor(config.threads) as pool:
        for split, pairs in splits.items():
            listed = list(pairs)
            if twice := [name for name, count in Counter(name for name, _ in listed).items() if count > 1]:
                raise QdrError(f"{task}/{split}: two images would be named {twice[0]!r}: name one of them otherwise")
            for kind in ("input", "target", "truth"):
                (folder / split / kind).mkdir(parents=True)
            for done in [pool.submit(_write, folder / split, *pair) for pair in listed]:
                done.result()


def _training(config: Config, task: str) -> dict[str, Pairs]:
    """The splits train and val; where there are several sources beside scenes, an image's name begins with its source's.

    Raises:
        QdrError: when a source is not for training, or holds a background of a test.
    """
    folders = {source: paths.raw(source) for source in config.data.train[task] if source != SCENES}
    for source in folders:
        if card(source).split != "train":
            raise QdrError(f"data.train.{task}: source {source!r} is for {card(source).split}: train on another one")
    if folders:
        check_leaks(folders, {entry.source: paths.raw(entry.source) for entry in config.data.test[task]})
    prefixes = {s: f"{s}-" if s in folders and len(folders) > 1 else "" for s in config.data.train[task]}
    found = [(prefix, _of_source(config, task, source)) for source, prefix in prefixes.items()]
    return {split: _joined([(prefix, pairs[split]) for prefix, pairs in found]) for split in ("train", "val")}


def _joined(sources: Iterable[tuple[str, Pairs]]) -> Iterator[tuple[str, Make]]:
    for prefix, pairs in sources:
        for name, make in pairs:
            yield f"{prefix}{name}", make


def _of_source(config: Config, task: str, source: str) -> dict[str, Pairs]:
    kind, folder = config.data.degrade[task], paths.raw(source)
    if source == SCENES:
        return {split: _degraded(config, task, paths.scenes(split), kind) for split in ("train", "val")}
    if card(source).kind == "pairs":
        kept = {name for i, (name, _, _) in enumerate(match(folder)) if _held_out(config, i)}
        pairs = list(_paired(folder))
        return {"train": [p for p in pairs if p[0] not in kept], "val": [p for p in pairs if p[0] in kept]}
    names = list(images_in(folder))
    kept = {name for i, name in enumerate(names) if _held_out(config, i)}
    copies = config.data.copies
    photographs = [_degraded(config, task, folder, kind, set(names) - kept, scale, copies) for scale in config.data.scales]
    return {"train": chain(*photographs), "val": _degraded(config, task, folder, kind, kept)}


def _held_out(config: Config, index: int) -> bool:
    return config.data.holdout > 0 and index % config.data.holdout == 0


def _degraded(
    config: Config, task: str, folder: Path, kind: str, names: set[str] | None = None, scale: int = 1, copies: int = 1
) -> Iterator[tuple[str, Make]]:
    """Clean images (all, or `names`) reduced by `scale`, which removes JPEG traces from the target, and degraded.

    More than one copy of an image are told apart by a number behind its name, and so are shrunk ones.
    """
    for name, path in images_in(folder).items():
        if names is not None and name not in names:
            continue
        stem = f"{name}-by-{scale}" if names is not None and scale > 1 else name
        for copied in [stem] if copies == 1 else [f"{stem}-{i}" for i in range(copies)]:
            yield copied, partial(_degrade, path, scale, kind, task, config.data.seed, f"{folder.name}/{copied}")


def _degrade(path: Path, scale: int, kind: str, task: str, seed: int, name: str) -> tuple[Picture, Picture, Picture]:
    clean, depth = read_image(path), _depth(path)
    if depth is not None and depth.shape != clean.shape[:2]:
        raise QdrError(f"{path} has another size than its depth map beside it: fetch or make both again")
    if scale > 1:
        clean = np.asarray(Image.fromarray(clean).reduce(scale))
        depth = None if depth is None else np.asarray(Image.fromarray(depth).reduce(scale))
    clean = _cut(clean, path)
    depth = None if depth is None else depth[: clean.shape[0], : clean.shape[1]]
    degraded, truth = degrade(kind, task, clean, depth, seed, name)
    return degraded, clean, truth


def _paired(folder: Path) -> Iterator[tuple[str, Make]]:
    """Real pairs; the truth map is the mean absolute difference."""
    for name, degraded, target in match(folder):
        yield name, partial(_pair, name, degraded, target)


def _pair(name: str, degraded_path: Path, target_path: Path) -> tuple[Picture, Picture, Picture]:
    degraded, target = (_cut(image, degraded_path) for image in read_pair(name, degraded_path, target_path))
    difference = np.abs(degraded.astype(np.int16) - target.astype(np.int16)).mean(axis=2)
    return degraded, target, difference.astype(np.uint8)


def _depth(path: Path) -> Field | None:
    beside = path.with_name(f"{path.stem}.depth.png")
    if not beside.is_file():
        return None
    return read_depth(beside)


def _cut(image: Picture, path: Path) -> Picture:
    if min(image.shape[:2]) < MULTIPLE:
        found = f"{image.shape[1]}x{image.shape[0]}"
        raise QdrError(f"{path} gives {found} pixels, at least {MULTIPLE} a side are needed: take it out of the source")
    height, width = (size - size % MULTIPLE for size in image.shape[:2])
    return image[:height, :width]


def _write(folder: Path, name: str, make: Make) -> None:
    for kind, image in zip(("input", "target", "truth"), make(), strict=True):
        Image.fromarray(image).save(folder / kind / f"{name}.png", compress_level=1, compress_type=_RUNS)
