from __future__ import annotations

import numpy as np
import pytest

from qdr.suite.detection.boxes import Detections, Labelled
from qdr.suite.evaluate.average_precision import average_precision, match
from qdr.suite.evaluate.stats import Bootstrap

BOX = [10.0, 10.0, 50.0, 50.0]
FAR = [60.0, 60.0, 90.0, 90.0]
NONE = np.zeros((0, 2), np.int64)


def image(*objects: tuple[int, list[float]], difficult: tuple[bool, ...] | None = None) -> Labelled:
    ignored = np.array(difficult or [False] * len(objects))
    labels = np.array([label for label, _ in objects], np.int64)
    return Labelled("x", np.zeros((100, 100, 3), np.uint8), None, corners([b for _, b in objects]), labels, ignored)


def found(*boxes: tuple[int, float, list[float]]) -> Detections:
    labels = np.array([label for label, _, _ in boxes], np.int64)
    return Detections(corners([b for _, _, b in boxes]), labels, np.array([s for _, s, _ in boxes], np.float32))


def corners(boxes: list[list[float]]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def test_perfect_and_none() -> None:
    truth = [image((0, BOX)), image((1, BOX), (0, FAR))]
    perfect = [found((0, 0.9, BOX)), found((1, 0.8, BOX), (0, 0.7, FAR))]
    assert average_precision(truth, perfect, 3, NONE).value == pytest.approx([1, 1])
    assert average_precision(truth, [found(), found()], 3, NONE).value == pytest.approx([0, 0])


def test_half_is_found() -> None:
    """One of two objects, the surest detection: precision 1 up to recall 0.5, 51 of 101 recalls."""
    truth = [image((0, BOX)), image((0, BOX))]
    assert average_precision(truth, [found((0, 0.9, BOX)), found()], 1, NONE).value == pytest.approx([51 / 101] * 2)


def test_a_surer_wrong_one_halves_precision() -> None:
    truth = [image((0, BOX)), image()]
    detections = [found((0, 0.5, BOX)), found((0, 0.9, FAR))]
    assert average_precision(truth, detections, 1, NONE).value == pytest.approx([0.5, 0.5])


def test_a_loose_box_counts_at_low_thresholds_only() -> None:
    loose = [10.0, 10.0, 50.0, 40.0]  # IoU 0.75: right at 0.5 to 0.75, 6 of 10 thresholds
    value = average_precision([image((0, BOX)), image()], [found((0, 0.9, loose)), found()], 1, NONE).value
    assert value == pytest.approx([1, 0.6])


def test_difficult_objects_count_neither_way() -> None:
    truth = [image((0, BOX), (0, FAR), difficult=(False, True)), image()]
    for detections in ([(0, 0.9, BOX)], [(0, 0.9, BOX), (0, 0.95, FAR)]):
        assert average_precision(truth, [found(*detections), found()], 1, NONE).value == pytest.approx([1, 1])


def test_resampled_sets_are_those_images() -> None:
    """Every resampled value is what a data set of those very images has, copies included."""
    rng = np.random.default_rng(0)
    truth = [image((i % 2, BOX), (1, FAR)) for i in range(6)]
    detections = [
        found(*((int(rng.integers(2)), float(rng.random()), b) for b in (BOX, FAR) if rng.random() < 0.8)) for _ in truth
    ]
    sets = Bootstrap(5, 0.95).sets(6)
    measured = average_precision(truth, detections, 2, sets)
    others = [np.delete(np.arange(6), i) for i in range(6)]
    for chosen, value in zip([*sets, *others], [*measured.drawn, *measured.left_out], strict=True):
        alone = average_precision([truth[i] for i in chosen], [detections[i] for i in chosen], 2, np.zeros((0, 6), np.int64))
        assert alone.value == pytest.approx(value)


def test_equal_conditions_differ_by_exactly_nothing() -> None:
    truth = [image((0, BOX)), image((0, FAR)), image((0, BOX))]
    detections = [found((0, 0.9, BOX)), found(), found((0, 0.4, BOX))]
    stats = Bootstrap(20, 0.95)
    a, b = (average_precision(truth, detections, 1, stats.sets(3)) for _ in range(2))
    assert a.drawn.std(axis=0).min() > 0
    assert (a.drawn - b.drawn == 0).all()


def test_what_is_accumulated_here_is_what_coco_accumulates() -> None:
    rng = np.random.default_rng(1)
    truth, detections = [], []
    for _ in range(9):
        objects = [(int(rng.integers(3)), [*(at := 60 * rng.random(2)), *(at + 30)]) for _ in range(rng.integers(4))]
        hard = tuple(bool(rng.random() < 0.2) for _ in objects)
        truth.append(image(*objects, difficult=hard if objects else None))
        near = [(int(rng.integers(3)), float(rng.integers(5) / 5), list(b + 6 * rng.normal(size=4))) for _, b in objects]
        detections.append(found(*near, *near[:1], (3, 0.5, FAR)))
    theirs = match(truth, detections, 4)
    theirs.accumulate()
    precision = theirs.eval["precision"][..., 0, 0]
    present = precision[0, 0] > -1
    assert 1 < present.sum() < 4
    ours = average_precision(truth, detections, 4, NONE).value
    assert ours.tolist() == [precision[0][:, present].mean(), precision[:, :, present].mean()]
