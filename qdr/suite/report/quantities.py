"""The numbers that a page may quote: a nested dictionary of one profile's results, for the expressions of docs/claims.yaml.

    psnr.derain.fp32                    dB, mean over images; gain, recovery likewise, images.derain their number
    psnr.polyu['qdr/W4A4/6']            a model is method, method/bits, or method/bits/images
    psnr['rain100h y-limited'].fp32     in the protocol that the field uses for a set
    diff('qdr', 'qat').polyu            dB, paired by image, with an interval: .low, .high, .significant
    ahead('qdr', 'qat')                 on which test sets the first is significantly ahead of the second (Holm over sets)
    apart('derain', 'qat/W4A4', 'ptq')  methods significantly (Holm) apart from a model of that width: 'better' or 'worse'
    ranking('W4A4/2')                   .order of methods, best first, .behind the best significantly, .blocks
    ap.derain.yolox_nano.restored.qdr.ap50      detection.csv; in points of 100, what is kept as a ratio; labelled: images
    lost.W4A4['stem']                   dB that quantizing one layer alone costs
    error.polyu.W8A8.output.qdr         relative error of features, mean over images
    speed_up.efm.openvino.int8          latency of FP32 over a precision's, at the smallest side

A test set of real pairs has its own name, photographs that are degraded here have that of their task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from qdr.errors import QdrError, nearest
from qdr.suite import config, paths
from qdr.suite.config import BITS
from qdr.suite.evaluate.stats import Interval, Paired, Values, holm, rank
from qdr.suite.methods import recipe
from qdr.suite.report.detection import Detection
from qdr.suite.report.load import FEATURES, LATENCY, SENSITIVITY, load
from qdr.suite.report.metrics import speed_ups
from qdr.suite.report.quality import INPUT, PHOTOS, Quality, Setting, teacher


class Number(float):
    """A number with the ends of its interval."""

    low: float
    high: float
    p: float

    def __new__(cls, interval: Interval, scale: float = 1) -> Number:
        made = super().__new__(cls, scale * interval.estimate)
        made.low, made.high, made.p = scale * interval.low, scale * interval.high, interval.p
        return made

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


class Named(dict[str, Any]):
    """A dictionary that names the nearest key where it lacks one."""

    def __missing__(self, key: str) -> Any:
        raise QdrError(f"there is no {key!r}: {nearest(str(key), self)}")

    def put(self, value: object, *keys: str) -> None:
        """Set a value in nested dictionaries, made where they are not there yet."""
        *outer, last = keys
        inner = self
        for key in outer:
            inner = inner.setdefault(key, Named())
        inner[last] = value


def quantities(profile: str) -> Mapping[str, Any]:
    """Everything that is named above, of results/<profile>."""
    results, settings = paths.results(profile), config.load(config.profile_path(profile))
    quality = Quality(results / "quality.csv")
    found = Named(_comparisons(quality, Paired(settings.stats.confidence)))
    for name, where in _sets(quality).items():
        degraded = quality.values(*where, "psnr", INPUT)
        found.put(len(degraded), "images", name)
        for setting in [INPUT, *quality.settings(where[0], BITS)]:
            values = quality.values(*where, "psnr", setting)
            if not len(values):
                continue
            model, habit = _model(setting), quality.habit(*where)
            gained, whole = (float(v.mean() - degraded.mean()) for v in (values, _reference(quality, where, setting)))
            found.put(float(values.mean()), "psnr", name, model)
            found.put(gained, "gain", name, model)
            found.put(gained / whole if whole else float("nan"), "recovery", name, model)
            if habit and len(values := quality.values(*where, "psnr", setting, habit)):
                found.put(float(values.mean()), "psnr", f"{name} {habit}", model)
    names = {where: name for name, where in _sets(quality).items()}
    features = load(results / "features.csv", FEATURES).query("images == 'all' and error == 'relative'")
    key = ["task", "split", "bits", "level", "method"]
    for task, split, *rest, value in features.groupby(key)["value"].mean().reset_index().itertuples(index=False, name=None):
        if (task, split) in names:
            found.put(float(value), "error", names[task, split], *rest)
    if (results / "detection.csv").is_file():
        detection = Detection(results / "detection.csv")
        found["labelled"] = detection.images
        for keys, interval in detection.rows.items():
            found.put(Number(interval, 1 if keys[-1].endswith("kept") else 100), "ap", *keys)
    for row in load(results / "sensitivity.csv", SENSITIVITY).to_dict("records"):
        found.put(float(row["psnr_drop_db"]), "lost", str(row["bits"]), str(row["layer"]))
    faster = speed_ups(load(results / "latency.csv", LATENCY))
    for (side, *case), ratio in faster.items():
        if side == min(side for side, *_ in faster):
            found.put(ratio, "speed_up", *map(str, case))
    return found


def _reference(quality: Quality, where: tuple[str, str], setting: Setting) -> Values:
    """FP32's values: of the teachers that a setting's students started from, else of all."""
    own = setting.method != INPUT.method and not recipe(setting.method).scratch
    return quality.teachers(*where, "psnr", setting) if own else quality.values(*where, "psnr", teacher(setting.method))


def _sets(quality: Quality) -> dict[str, tuple[str, str]]:
    """Task and split of the test sets of real images, by name."""
    return {task if split == PHOTOS else split: (task, split) for task, split in quality.sets(quality.kinds()[0])}


def _model(setting: Setting) -> str:
    """How expressions call a model."""
    usual = "W8A8" if recipe(setting.method).quantized else "FP32"
    parts = [setting.bits, setting.images] if setting.images != "all" else [setting.bits] if setting.bits != usual else []
    return "/".join([setting.method, *parts])


def _setting(model: str) -> Setting:
    """The model that an expression names.

    >>> _setting("qdr@weight=4/W4A4/2")
    Setting(method='qdr@weight=4', bits='W4A4', images='2')
    """
    method, *rest = model.split("/")
    bits = rest[0] if rest else "W8A8" if recipe(method).quantized else "FP32"
    return Setting(method, bits, rest[1] if len(rest) > 1 else "all")


def _comparisons(quality: Quality, stats: Paired) -> dict[str, Callable[..., Any]]:
    """What compares models: functions, since there are too many pairs for a table."""

    def together(gaps: Mapping[str, Number]) -> list[str]:
        adjusted = holm([gap.p for gap in gaps.values()])
        return [name for name, p in zip(gaps, adjusted, strict=True) if p < 1 - stats.confidence]

    @cache
    def diff(model: str, other: str) -> Named:
        found = Named()
        for name, where in _sets(quality).items():
            values, reference = (quality.by_seed(*where, "psnr", _setting(m)) for m in (model, other))
            if len(values) and len(reference):
                found[name] = Number(stats.difference(values, reference))
        if not found:
            raise QdrError(f"no test set has rows of both {model} and {other}")
        return found

    def ahead(model: str, other: str) -> list[str]:
        gaps = diff(model, other)
        return [name for name in together(gaps) if gaps[name] > 0]

    def apart(name: str, reference: str, *methods: str) -> dict[str, str]:
        end = reference[reference.find("/") :] if "/" in reference else ""
        found = {method: diff(method + end, reference)[name] for method in methods}
        return {method: "better" if found[method] > 0 else "worse" for method in together(found)}

    def ranking(group: str) -> Named:
        bits, _, images = group.partition("/")
        blocks = quality.blocks(quality.kinds()[0], bits, images or "all")
        found = rank(blocks, stats.confidence)
        least = min(found.ranks.values()) + found.critical_difference
        behind = [method for method, mean in found.ranks.items() if mean > least]
        return Named(order=list(found.ranks), behind=behind, blocks=len(next(iter(blocks.values()))))

    return {"diff": diff, "ahead": ahead, "apart": apart, "ranking": ranking}
