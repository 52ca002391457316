"""Quantize with a folder of images, with or without ground truth: from an FP32 teacher to an INT8 file.

This is where an engineer stands who holds a model and a handful of frames. Without targets the method must not need them
(`labels: false` in methods.yaml): the teacher's output and its bottleneck are all the student sees.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from qdr import files
from qdr.errors import QdrError
from qdr.export.check import check_tensorrt
from qdr.export.file import read_onnx
from qdr.export.qdq import Exporter
from qdr.metrics.protocol import protocol
from qdr.metrics.psnr import psnr
from qdr.models.blocks import stride
from qdr.runtimes.session import restore
from qdr.runtimes.torch_eager import TorchSession
from qdr.runtimes.verify import open_right
from qdr.seed import derive, seed_everything
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.data.loader import PairSet
from qdr.suite.export.engines import ENGINE_BITS
from qdr.suite.train.checkpoint import Progress
from qdr.suite.train.display import Display
from qdr.suite.train.plan import Run
from qdr.suite.train.run import describe_run, load_model, train_model


def quantize(config: Config, run: Run, images: Path, targets: Path | None, output: Path) -> float:
    """Train `run`'s method on the images of a folder and write the ONNX file; an interrupted call goes on where it was.

    Args:
        config: gives the schedule.
        run: task, method and width; its teacher must have been trained.
        images: folder of degraded images.
        targets: folder of clean images of the same names, or None.
        output: the ONNX file to write.

    Returns:
        PSNR in dB between the INT8 engine's and the FP32 teacher's restored images, mean over the folder.

    Raises:
        QdrError: when the method needs targets and there are none, no engine runs the width, an image is bad, or the
            output cannot be written.
    """
    recipe = run.recipe
    if recipe.labels and targets is None:
        raise QdrError(f"method {run.method!r} needs clean targets: add --targets, or take a method with `labels: false`")
    if run.bits not in ENGINE_BITS[1:]:
        raise QdrError(f"no engine runs {run.bits}: choose one of {', '.join(ENGINE_BITS[1:])}")
    files.check_writable(output)
    data = PairSet.read(images, targets)
    seed = derive(config.tune.seed, run.seed, "train")
    seed_everything(seed)
    start = run.start
    model = load_model(config, start)
    guide = load_model(config, run.guide) if recipe.places else None
    about = describe_run(config, run) | {"data": data.digest}
    fingerprint = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    progress = Progress(paths.unfinished(fingerprint), fingerprint)
    with Display() as display:
        model, _ = train_model(config, run, model, guide, data, data, None, seed, progress, display.show)
    Exporter().write(model, output, run.method, stride(model))
    progress.clear()
    broken = check_tensorrt(read_onnx(output))
    if broken:
        raise QdrError(f"{output} breaks TensorRT's rules: {'; '.join(broken)}")
    engine, reference = open_right(output, "int8", config.threads), TorchSession(load_model(config, start), "fp32")
    rule = protocol("rgb-full")
    agreement = [psnr(restore(engine, image), restore(reference, image), rule) for image in data.inputs]
    engine.close()
    return float(np.mean(agreement))
