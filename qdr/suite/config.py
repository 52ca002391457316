"""The typed, frozen configuration: params.yaml, read strictly.

`params.yaml` is the active profile, a verbatim copy of `profiles/<name>.yaml` made by `qdr profile <name>`, so that
DVC sees every parameter and one file says what a run is. Loading refuses unknown keys (naming the nearest), missing
keys, wrong types and values outside their range; every field below is read by some stage.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdr.errors import QdrError, check_choice
from qdr.models import TASKS
from qdr.suite.methods import catalogue, recipe
from qdr.suite.paths import project_root
from qdr.suite.strict import build, read_yaml

SCENES = "scenes"  # the procedural scenes, as one of the sources to train on
DETECTORS = {"procedural": ("centre",), "voc": ("yolox_nano", "nanodet_m", "FastestDet")}
GATING = ("every", "last", "scaling", "none")
PSNR_FLOOR = 1e-5  # of the loss "psnr": mean squared error, 50 dB; a nearer image hardly counts more
_COUNTS = ("steps", "batch", "patch", "log_every", "save_every", "accumulate")
BITS = ("FP32", "W8A8", "W7A8", "W6A6", "W4A8", "W4A4")


@dataclass(frozen=True)
class SceneConfig:
    """Procedural scenes: side in pixels and how many per split."""

    size: int
    train: int
    validation: int
    heldout: int


@dataclass(frozen=True)
class TestConfig:
    """A test set: a source, and the degradation of its images if they are clean ("" where the source holds real pairs)."""

    source: str
    degrade: str = ""


@dataclass(frozen=True)
class DataConfig:
    """Where images come from, per task, and how they are degraded.

    `train` lists the sources of a task, of clean images or of pairs; "scenes" are the profile's procedural ones. Clean
    training images are degraded `copies` times by the task's degradation (`degrade`, a name of `qdr.suite.data.degrade`),
    at each of `scales`, integer factors by which they are shrunk; every `holdout`-th image of each source is kept for
    validation and not trained on (scenes have validation scenes, rendered apart), unless `validation` names a source of
    its own. With an entry in `online`, a degradation of `qdr.suite.data.degrade.batched`, the degradation is
    drawn anew for every step. `test` lists the test sets, the one that figures show first. `test_scale` shrinks clean test
    photographs by this integer factor, which removes JPEG traces from the target.
    """

    train: dict[str, list[str]]
    degrade: dict[str, str]
    copies: int
    holdout: int
    test: dict[str, list[TestConfig]]
    test_scale: int
    scenes: SceneConfig
    seed: int
    scales: list[int] = field(default_factory=lambda: [1])
    validation: dict[str, str] = field(default_factory=dict)
    online: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelConfig:
    """The Edge-Friendly Model: channels per level (level 0 at half resolution), residual blocks per level, where gates
    stand ("every" level, the "last" alone, in "scaling" form, or "none"), and whether the bottleneck sees the mean of the
    whole image.
    """

    channels: list[int]
    blocks: list[int]
    gating: str = "every"
    context: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """One training schedule: AdamW, linear warm-up, cosine decay to zero, patches in pixels.

    `bf16` allows bfloat16 autocast; it is used where the processor has instructions for it. `batch` is of a step, over all
    processes; each works its share off in `accumulate` pieces. `on_nonfinite` says what to do with a step whose loss or
    gradients are not finite: "stop", or "skip" it and count. `muon` is the learning rate of layers between many channels
    where Muon trains them, and 0 where AdamW does. `loss` is the reconstruction loss, a name of
    `qdr.suite.train.objective.LOSSES`. `ema` is the decay of an exponential moving average of weights and scales, which
    is then what is validated and stored; 0 keeps the last ones.
    """

    steps: int
    batch: int
    patch: int
    lr: float
    warmup: int
    weight_decay: float
    bf16: bool
    log_every: int
    save_every: int
    seed: int
    accumulate: int = 1
    on_nonfinite: str = "stop"
    muon: float = 0.0
    loss: str = "l1"
    ema: float = 0.0


@dataclass(frozen=True)
class QuantConfig:
    """Calibration on this many images, and the learning rates in training of the log-scales and of LSQ+'s offsets, these in
    widths of the grid.
    """

    calibration: int
    lr_scales: float
    lr_offsets: float = 1e-2


@dataclass(frozen=True)
class DistillConfig:
    """Balancing: the learning rate of a balancer's own parameters, and the number of steps between two measurements of
    the gradients at the bottleneck.
    """

    lr_balance: float
    every: int


@dataclass(frozen=True)
class BlockConfig:
    """One block of experiments: the product of its lists. An entry of `images` is "all" or a number of images."""

    tasks: list[str]
    methods: list[str]
    bits: list[str]
    images: list[str]
    seeds: list[int]


@dataclass(frozen=True)
class StatsConfig:
    """Two-sided confidence level of paired intervals."""

    confidence: float


@dataclass(frozen=True)
class BenchConfig:
    """Latency protocol: which task's models, image sides, threads; per process the untimed calls, the least number
    of timed ones and the least seconds they go on for; and how many processes each case has in turn.

    `models` are networks timed beside the EFM; each needs a W8A8 method of its own in a block of the task.
    """

    task: str
    sides: list[int]
    threads: int
    warmup: int
    calls: int
    seconds: float
    repeats: int
    models: list[str] = field(default_factory=list)

    @property
    def side(self) -> int:
        """The side that figures show, the first."""
        return self.sides[0]


@dataclass(frozen=True)
class DetectConfig:
    """Detection on degraded and restored images.

    `source` is "procedural" (scenes with objects, and the detector "centre" that the pipeline trains on such) or "voc"
    (Pascal VOC and published detectors, both below the folder that QDR_DATA names). `images` are tested; intervals take
    `resamples` sets of them. `steps`, `batch` and `seed` are of the training of "centre".
    """

    source: str
    detectors: list[str]
    images: int
    resamples: int
    steps: int
    batch: int
    seed: int


@dataclass(frozen=True)
class Config:
    """A whole profile. `blocks` are measured; `search` holds the trials that settings were chosen from (`qdr search`)."""

    profile: str
    threads: int
    tasks: list[str]
    sources: list[str]
    data: DataConfig
    model: ModelConfig
    fp32: TrainConfig
    tune: TrainConfig
    quant: QuantConfig
    distill: DistillConfig
    blocks: dict[str, BlockConfig]
    search: dict[str, BlockConfig]
    stats: StatsConfig
    bench: BenchConfig
    detect: DetectConfig

    def as_dict(self) -> dict[str, Any]:
        """The effective configuration as plain data."""
        return dataclasses.asdict(self)


def load(path: Path | None = None) -> Config:
    """Read and validate a profile (default: the active one, params.yaml)."""
    path = path or project_root() / "params.yaml"
    try:
        config = build(Config, read_yaml(path))
        _check(config)
    except QdrError as error:
        raise QdrError(f"{path.name}: {error}") from error
    return config


def _check(config: Config) -> None:
    for task in config.tasks:
        check_choice("task", task, TASKS)
        for key in ("train", "degrade", "test"):
            if not getattr(config.data, key).get(task):
                raise QdrError(f"data.{key} has no entry for task {task!r}")
        validation = [config.data.validation[task]] if task in config.data.validation else []
        sources = [*config.data.train[task], *validation, *(entry.source for entry in config.data.test[task])]
        for source in sources:
            check_choice(f"source of task {task!r}", source, [SCENES, *config.sources])
        if len(set(config.data.train[task])) < len(config.data.train[task]):
            raise QdrError(f"data.train.{task} names a source twice: {', '.join(config.data.train[task])}")
    check_choice("bench.task", config.bench.task, config.tasks)
    positive = {
        "threads": config.threads,
        "data.test_scale": config.data.test_scale,
        "data.copies": config.data.copies,
        "data.scales": min(config.data.scales, default=0),
        "bench.threads": config.bench.threads,
        "bench.calls": config.bench.calls,
        "bench.repeats": config.bench.repeats,
    }
    for name, schedule in (("fp32", config.fp32), ("tune", config.tune)):
        positive |= {f"{name}.{key}": getattr(schedule, key) for key in _COUNTS}
        check_choice(f"{name}.on_nonfinite", schedule.on_nonfinite, ("stop", "skip"))
        check_choice(f"{name}.loss", schedule.loss, ("l1", "psnr"))
        if not 0 <= schedule.ema < 1:
            raise QdrError(f"{name}.ema must be at least 0 and below 1, got {schedule.ema}")
        if schedule.batch % max(1, schedule.accumulate):
            raise QdrError(f"{name}.batch ({schedule.batch}) must be a multiple of accumulate ({schedule.accumulate})")
    for key, value in positive.items():
        if value < 1:
            raise QdrError(f"{key} must be at least 1, got {value}")
    if any(side % 8 for side in (*config.bench.sides, config.fp32.patch, config.tune.patch)):
        raise QdrError("bench.sides, fp32.patch and tune.patch must be multiples of 8 (the EFM halves three times)")
    _check_bench(config.bench)
    check_choice("model.gating", config.model.gating, GATING)
    if len(config.model.channels) != len(config.model.blocks):
        raise QdrError("model.channels and model.blocks must have one entry per level")
    _check_detect(config.detect)
    for name, block in (config.blocks | config.search).items():
        for task in block.tasks:
            check_choice(f"task in blocks.{name}", task, config.tasks)
        for method in block.methods:
            check_choice(f"method in blocks.{name}", method.partition("@")[0], catalogue())
            recipe(method)
        for bits in block.bits:
            check_choice(f"bits in blocks.{name}", bits, BITS)
        for images in block.images:
            if images != "all" and not (images.isdigit() and int(images) > 0):
                raise QdrError(f"blocks.{name}.images must be 'all' or a positive number in quotes, got {images!r}")
    quantized = [block for block in config.blocks.values() if config.bench.task in block.tasks and "W8A8" in block.bits]
    trained = {recipe(method).model for block in quantized for method in block.methods}
    for model in config.bench.models:
        check_choice("network in bench.models with a W8A8 method", model, trained)


def _check_bench(bench: BenchConfig) -> None:
    if not bench.sides or min(bench.sides) < 8 or len(set(bench.sides)) < len(bench.sides):
        raise QdrError(f"bench.sides must be at least one side, each once, from 8 pixels on, got {bench.sides}")
    if bench.warmup < 0 or bench.seconds < 0:
        raise QdrError("bench.warmup and bench.seconds must not be negative")


def _check_detect(detect: DetectConfig) -> None:
    check_choice("detect.source", detect.source, DETECTORS)
    for name in detect.detectors:
        check_choice(f"detector of {detect.source}", name, DETECTORS[detect.source])
    for key in ("images", "resamples", "steps", "batch"):
        if getattr(detect, key) < 2:
            raise QdrError(f"detect.{key} must be at least 2, got {getattr(detect, key)}")


def profile_path(name: str) -> Path:
    """The file of a profile, checked to exist."""
    folder = project_root() / "profiles"
    check_choice("profile", name, [path.stem for path in folder.glob("*.yaml")])
    return folder / f"{name}.yaml"
