"""Train the small detector on clean scenes with objects, and export it to ONNX.

Backgrounds are crops of the training scenes; objects are put on them anew for this. The crops are made once and mirrored,
turned and dimmed at random in each batch. The detector sees clean images only, as detectors in use do: what degradation
and restoration do to it is the measurement. Batch k depends on (seed, k) alone; same machine, same bits.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qdr import files
from qdr.errors import QdrError
from qdr.export.qdq import OPSET
from qdr.images.pairs import images_in, read_image
from qdr.seed import derive, seed_everything
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.detection.boxes import Labelled
from qdr.suite.detection.network import STRIDE, CentreNet, detection_loss, targets
from qdr.suite.detection.objects import CLASSES, place
from qdr.suite.train.checkpoint import save_run
from qdr.suite.train.display import Show, nowhere
from qdr.suite.train.guards import flushed
from qdr.suite.train.loop import use_bf16

CROP = 128
PER_SCENE = 8  # crops of one scene
OBJECTS = 5  # on a crop, at most: more than in a test scene, to learn from more of them per step
LR = 1.2e-2
WARMUP = 0.05  # of the steps


def make_detector(config: Config, show: Show = nowhere) -> None:
    """Write work/detector: weights, log, record and detector.onnx; an empty folder where the profile uses none."""
    folder = paths.detector()
    if config.detect.source != "procedural":
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return
    settings = config.detect
    seed_everything(derive(settings.seed, "detector"))
    crops = training_crops(paths.scenes("train"), settings.seed)
    model = CentreNet(len(CLASSES))
    metrics = fit(model, crops, settings.steps, settings.batch, settings.seed, partial(show, "detector"))
    with files.replacing(folder) as temporary:
        save_run(temporary, model, metrics, {"classes": list(CLASSES), "settings": vars(settings)})
        export(model, temporary / "detector.onnx")


def training_crops(scenes: Path, seed: int) -> list[Labelled]:
    """Crops of the scenes with objects on them."""
    found = list(images_in(scenes).values())
    if not found:
        raise QdrError(f"{scenes} holds no scenes: set data.scenes.train and run `dvc repro scenes`")
    return [crop for path in found for crop in _crops(path, seed)]


def _crops(path: Path, seed: int) -> list[Labelled]:
    rng = np.random.default_rng(derive(seed, "crops", path.stem))
    image = read_image(path)
    side = min(CROP, *image.shape[:2])
    crops = []
    for i in range(PER_SCENE):
        top, left = (int(rng.integers(size - side + 1)) for size in image.shape[:2])
        window = image[top : top + side, left : left + side]
        crops.append(place(rng, f"{path.stem}-{i}", window, None, int(rng.integers(0, OBJECTS + 1))))
    return crops


@flushed()
def fit(
    model: nn.Module, crops: list[Labelled], steps: int, batch: int, seed: int, show: Callable[[int, int], None]
) -> list[dict[str, float]]:
    """Train with AdamW and a one-cycle learning rate; returns the logged losses."""
    optimizer = torch.optim.AdamW(model.parameters(), LR, weight_decay=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps, pct_start=WARMUP)
    model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    bf16, metrics = use_bf16(True), []
    for step in range(steps):
        images, wanted = make_batch(crops, batch, np.random.default_rng((seed, step)))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            cells = model(images.to(memory_format=torch.channels_last))
        loss = detection_loss(cells.float(), wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        show(step + 1, steps)
        if step % 50 == 0 or step == steps - 1:
            metrics.append({"step": step, "loss": round(loss.item(), 5)})
    model.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return metrics


def make_batch(crops: list[Labelled], batch: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Images [batch, 3, s, s] in [0, 1] and what the network should put out for them."""
    images, wanted = [], []
    for i in rng.integers(len(crops), size=batch):
        image, corners = _turn(crops[i].image, crops[i].corners, int(rng.integers(4)), bool(rng.integers(2)))
        light = rng.uniform(0.7, 1.2)
        scaled = np.clip(image.astype(np.float32) / 255 * np.float32(light), 0, 1)
        images.append(torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1))))
        labels = torch.from_numpy(crops[i].labels)
        wanted.append(targets(torch.from_numpy(corners), labels, len(CLASSES), image.shape[0]))
    return torch.stack(images), torch.stack(wanted)


def _turn(
    image: NDArray[np.uint8], corners: NDArray[np.float32], turns: int, mirrored: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A square image and its boxes, turned to the left by quarters and then mirrored."""
    side = image.shape[0]
    left, top, right, bottom = corners.T
    for _ in range(turns):
        left, top, right, bottom = top, side - right, bottom, side - left
    if mirrored:
        left, right = side - right, side - left
    turned: NDArray[np.uint8] = np.rot90(image, turns)
    return turned[:, ::-1] if mirrored else turned, np.stack([left, top, right, bottom], axis=1)


def export(model: nn.Module, path: Path) -> None:
    """Write an ONNX file for images of any size in multiples of the stride."""
    free = {axis: STRIDE * torch.export.Dim(name, min=2, max=512) for axis, name in ((2, "H"), (3, "W"))}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (torch.zeros(1, 3, 8 * STRIDE, 6 * STRIDE),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["cells"],
            dynamic_shapes=(free,),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    program.save(path)
