"""What a page may quote: small named queries over the results of one profile.

A query is a few words, `name argument ...`, and gives one value per test set it is asked about:

- WHERE: a task (`derain`: its first set of real images), a test set (`polyu`), `task/split`, several with commas, or `*`
  for every set of real images;
- MODEL: `method`, `method/bits` or `method/bits/images`; bits are FP32 or W8A8 unless given, images `all`.
"""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable
from functools import cached_property

import numpy as np

from qdr.errors import QdrError, check_choice, nearest
from qdr.metrics.protocol import PROTOCOL
from qdr.models import TASKS
from qdr.suite import config, paths
from qdr.suite.evaluate.stats import Bootstrap, Interval, Ranking, Values, rank
from qdr.suite.methods import recipe
from qdr.suite.report.detection import Detection
from qdr.suite.report.load import FEATURES, LATENCY, SENSITIVITY, load
from qdr.suite.report.quality import INPUT, Quality, Setting, teacher
from qdr.suite.report.tables.conventions import measured

Place = tuple[str, str]


class Facts:
    """The results of one profile, read when first asked for; intervals are taken as in its tables."""

    def __init__(self, profile: str) -> None:
        self.results = paths.results(profile)
        self.answered: dict[str, list[Interval]] = {}
        settings = config.load(config.profile_path(profile))
        self.stats = Bootstrap(settings.stats.resamples, settings.stats.confidence)

    @cached_property
    def quality(self) -> Quality:
        return Quality(self.results / "quality.csv")

    @cached_property
    def detection(self) -> Detection:
        return Detection(self.results / "detection.csv")

    def places(self, where: str) -> list[Place]:
        """Task and split of the test sets that a query names."""
        return [place for part in where.split(",") for place in self._places(part)]

    def _places(self, part: str) -> list[Place]:
        sets = self.quality.sets(self.quality.kinds()[0])
        if part == "*":
            return sets
        if "/" in part:
            task, _, split = part.partition("/")
            return [(task, split)]
        found = [place for place in sets if part in place]
        if not found:
            raise QdrError(f"no test set {part!r}: {nearest(part, [*TASKS, *(split for _, split in sets)])}")
        return found[:1] if part in TASKS else found

    def values(self, place: Place, model: str, protocol: str = PROTOCOL) -> Values:
        """One PSNR per image of a model on a test set."""
        found = self.quality.values(*place, "psnr", setting(model), protocol)
        if not len(found):
            raise QdrError(f"{self.results.name}: no rows of {model} on {'/'.join(place)}")
        return found

    def ranking(self, group: str) -> Ranking:
        """Mean ranks of the models of one width and number of images, `W4A4` or `W4A4/2`, on real images."""
        bits, _, images = group.partition("/")
        blocks = self.quality.blocks(self.quality.kinds()[0], bits, images or "all")
        return rank(blocks, self.stats.confidence)


def setting(text: str) -> Setting:
    """The model that a query names.

    >>> setting("qdr@weight=4/W4A4/2")
    Setting(method='qdr@weight=4', bits='W4A4', images='2')
    """
    method, *rest = text.split("/")
    bits = rest[0] if rest else "W8A8" if recipe(method).quantized else "FP32"
    return Setting(method, bits, rest[1] if len(rest) > 1 else "all")


def exact(value: float) -> Interval:
    """A value without an interval."""
    return Interval(float(value), float("nan"), float("nan"))


def psnr(facts: Facts, where: str, model: str, protocol: str = PROTOCOL) -> list[Interval]:
    """Mean PSNR, dB."""
    return [exact(facts.values(place, model, protocol).mean()) for place in facts.places(where)]


def gain(facts: Facts, where: str, model: str) -> list[Interval]:
    """Mean PSNR over the degraded image, dB."""
    return [exact((facts.values(p, model) - facts.values(p, INPUT.method)).mean()) for p in facts.places(where)]


def recovery(facts: Facts, where: str, model: str) -> list[Interval]:
    """Gain over that of the model's FP32."""
    own = teacher(setting(model).method).method
    kept = facts.stats.gain_recovery
    return [kept(facts.values(p, model), facts.values(p, own), facts.values(p, INPUT.method)) for p in facts.places(where)]


def difference(facts: Facts, where: str, model: str, other: str) -> list[Interval]:
    """Mean PSNR of a model minus another's, paired by image, dB."""
    return [facts.stats.difference(facts.values(p, model), facts.values(p, other)) for p in facts.places(where)]


def ahead(facts: Facts, where: str, model: str, other: str) -> list[Interval]:
    """On how many test sets a model is significantly ahead of another."""
    found = difference(facts, where, model, other)
    return [exact(sum(interval.significant and interval.estimate > 0 for interval in found))]


def images(facts: Facts, where: str) -> list[Interval]:
    """Number of test images."""
    return [exact(len(facts.values(place, INPUT.method))) for place in facts.places(where)]


def place(facts: Facts, group: str, method: str) -> list[Interval]:
    """Place of a method in a ranking, 1 the best."""
    order = list(facts.ranking(group).ranks)
    return [exact(order.index(check_choice(f"method ranked at {group}", method, order)) + 1)]


def behind(facts: Facts, group: str, method: str) -> list[Interval]:
    """1 if a method is significantly behind the best of a ranking (Nemenyi), else 0."""
    found = facts.ranking(group)
    check_choice(f"method ranked at {group}", method, found.ranks)
    return [exact(found.ranks[method] - min(found.ranks.values()) > found.critical_difference)]


def blocks(facts: Facts, group: str) -> list[Interval]:
    """Images of all tasks that a ranking is over."""
    bits, _, count = group.partition("/")
    ranked = facts.quality.blocks(facts.quality.kinds()[0], bits, count or "all")
    return [exact(len(next(iter(ranked.values()))))]


def ap(facts: Facts, task: str, detectors: str, condition: str, method: str, metric: str = "ap50") -> list[Interval]:
    """A value of detection.csv, per detector; AP and its differences in points of 100, gain kept as a ratio."""
    scale = 1 if metric.endswith("kept") else 100
    found = []
    for detector in detectors.split(","):
        row = facts.detection.get(task, detector, condition, method, metric)
        if row is None:
            raise QdrError(f"{facts.results.name}: no detection row {task} {detector} {condition} {method} {metric}")
        found.append(Interval(scale * row.estimate, scale * row.low, scale * row.high))
    return found


def labelled(facts: Facts) -> list[Interval]:
    """Number of images that detectors looked at."""
    return [exact(facts.detection.images)]


def speedup(facts: Facts, engine: str, precision: str, model: str = "efm") -> list[Interval]:
    """Median latency of FP32 over that of a precision, same engine and run."""
    return [exact(_median(facts, engine, "fp32", model) / _median(facts, engine, precision, model))]


def latency(facts: Facts, engine: str, precision: str, model: str = "efm") -> list[Interval]:
    """Median latency, ms."""
    return [exact(_median(facts, engine, precision, model))]


def lost(facts: Facts, bits: str, layers: str) -> list[Interval]:
    """PSNR lost by quantizing one layer alone, dB: one value per layer whose name fits one of the patterns."""
    frame = load(facts.results / "sensitivity.csv", SENSITIVITY)
    fits = [any(fnmatch.fnmatchcase(str(name), pattern) for pattern in layers.split(",")) for name in frame["layer"]]
    rows = frame[np.array(fits) & (frame["bits"] == bits)]
    if rows.empty:
        raise QdrError(f"{facts.results.name}: no layer {layers} at {bits} in sensitivity.csv")
    return [exact(value) for value in rows["psnr_drop_db"]]


def error(facts: Facts, where: str, bits: str, level: str) -> list[Interval]:
    """Relative error of the features at a level: one value per method, the mean over images."""
    frame = load(facts.results / "features.csv", FEATURES)
    rows = frame[(frame["bits"] == bits) & (frame["level"] == level) & (frame["images"] == "all")]
    found = [rows[(rows["task"] == task) & (rows["split"] == split)] for task, split in facts.places(where)]
    if any(part.empty for part in found):
        raise QdrError(f"{facts.results.name}: no {bits} rows of {level} on {where} in features.csv")
    return [exact(mean) for part in found for mean in part.groupby("method")["value"].mean()]


def convention(facts: Facts, metric: str) -> list[Interval]:
    """PSNR or SSIM of one pair of images, by every published convention; no results enter."""
    column = ("psnr", "ssim").index(check_choice("metric", metric, ("psnr", "ssim")))
    return [exact(pair[column]) for pair in measured().values()]


_QUALITY = (psnr, gain, recovery, difference, ahead, images, place, behind, blocks)
_OTHERS = (ap, labelled, speedup, latency, lost, error, convention)
QUERIES: dict[str, Callable[..., list[Interval]]] = {query.__name__: query for query in (*_QUALITY, *_OTHERS)}


def ask(facts: Facts, query: str) -> list[Interval]:
    """Answer a query.

    Raises:
        QdrError: on an unknown query, the wrong number of arguments, or what was not measured.
    """
    if query not in facts.answered:
        name, *arguments = query.split()
        function = QUERIES[check_choice("query", name, QUERIES)]
        try:
            inspect.signature(function).bind(facts, *arguments)
        except TypeError as problem:
            raise QdrError(
                f"query {query!r}: {problem}; see {function.__name__} in qdr/suite/report/texts/quantities.py"
            ) from problem
        facts.answered[query] = function(facts, *arguments)
    return facts.answered[query]


def _median(facts: Facts, engine: str, precision: str, model: str) -> float:
    frame = load(facts.results / "latency.csv", LATENCY)
    rows = frame[(frame["engine"] == engine) & (frame["precision"] == precision) & (frame["model"] == model)]
    if rows.empty:
        raise QdrError(f"{facts.results.name}: no latency of {model} {precision} in {engine}")
    return float(rows["median_ms"].iloc[0])
