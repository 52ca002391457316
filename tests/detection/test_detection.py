from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from qdr.errors import QdrError
from qdr.suite.detection import formats, network, objects, train, voc
from qdr.suite.detection.boxes import LIMIT, select
from qdr.suite.detection.detectors import SUMS, open_detector
from qdr.suite.evaluate.average_precision import average_precision

ANNOTATION = """<annotation><object><name>{name}</name><difficult>0</difficult><bndbox><xmin>11</xmin><ymin>21</ymin>
<xmax>30</xmax><ymax>60</ymax></bndbox></object></annotation>"""
DATA = pytest.mark.skipif("QDR_DATA" not in os.environ, reason="QDR_DATA names no folder with detection/")


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_scenes_are_the_same_each_time_and_boxes_are_inside() -> None:
    first, again = (objects.labelled_scene(1, "test", 3, 96) for _ in range(2))
    other = objects.labelled_scene(1, "test", 4, 96)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.corners, again.corners)
    assert not np.array_equal(first.image, other.image)
    assert len(first.corners) == len(first.labels) >= 1
    assert first.corners.min() >= 0
    assert first.corners.max() <= 96
    assert first.depth is not None
    assert first.depth.shape == (96, 96)


def test_objects_change_only_what_their_boxes_hold() -> None:
    flat, depth = np.full((128, 128, 3), 90, np.uint8), np.full((128, 128), 0.5, np.float32)
    placed = objects.place(np.random.default_rng(0), "x", flat, depth, 3)
    outside = np.ones((128, 128), bool)
    for left, top, right, bottom in placed.corners.astype(int):
        assert (placed.image[top:bottom, left:right] != 90).any()
        outside[top:bottom, left:right] = False
    assert (placed.image[outside] == 90).all()
    assert depth.min() == np.float32(0.5), "the caller's depth stays as it is"
    assert placed.depth is not None
    assert placed.depth[outside].min() == np.float32(0.5) > placed.depth.min()


@pytest.mark.parametrize("label", range(len(objects.CLASSES)))
def test_outlines_differ(label: int) -> None:
    shapes = [objects.outline(i, 20, 0.3, 0.9) for i in range(len(objects.CLASSES))]
    assert 0.1 < shapes[label].mean() < 0.7
    for i, other in enumerate(shapes):
        if i != label:
            union = np.maximum(shapes[label], other).sum()
            assert np.minimum(shapes[label], other).sum() / union < 0.8


def test_targets_are_decoded_to_the_boxes_they_came_from() -> None:
    corners = torch.tensor([[10.0, 20.0, 40.0, 44.0], [64.0, 60.0, 100.0, 118.0]])
    wanted = network.targets(corners, torch.tensor([1, 4]), 5, 128)
    output = wanted.clone()
    output[:5] = torch.where(wanted[:5] > 0, 6.0, -6.0)
    found = select(*formats.decode_centre([output[None].numpy()]), 0.05, 0.5)
    assert found.labels.tolist() == [1, 4]
    assert found.corners == pytest.approx(corners.numpy(), abs=1e-3)
    assert float(network.detection_loss(output[None] * 1.0, wanted[None])) < 0.01
    assert float(network.detection_loss(torch.zeros_like(output)[None], wanted[None])) > 0.5


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_boxes_turn_with_the_image(turns: int, mirrored: bool) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[4:10, 20:29] = 255
    turned, corners = train._turn(image, np.array([[20, 4, 29, 10]], np.float32), turns, mirrored)
    left, top, right, bottom = corners[0].astype(int)
    assert (turned[top:bottom, left:right] == 255).all()
    assert turned.sum() == image.sum()


def test_yolox_decode() -> None:
    raw = np.zeros((1, 52 * 52 + 26 * 26 + 13 * 13, 85), np.float32)
    raw[0, 52 * 52 + 26 * 3 + 5] = [0.5, 0.25, np.log(2), np.log(3), 0.9, *np.eye(80)[7] * 0.8]  # stride 16, row 3, column 5
    found = select(*formats.decode_yolox([raw]), 0.1, 0.65)
    assert found.corners == pytest.approx(np.array([[88 - 16, 52 - 24, 88 + 16, 52 + 24]]))
    assert found.labels.tolist() == [7]
    assert found.scores == pytest.approx([0.72])


def test_nanodet_decode() -> None:
    scores = [np.zeros((1, count * count, 80), np.float32) for count in (52, 26, 13)]
    spread = [np.zeros((1, count * count, 32), np.float32) for count in (52, 26, 13)]
    scores[2][0, 13 * 6 + 6, 3] = 0.7
    sides = np.full((4, 8), -50.0)
    sides[range(4), [1, 2, 3, 4]] = 50
    spread[2][0, 13 * 6 + 6] = sides.ravel()
    found = select(*formats.decode_nanodet([*scores, *spread]), 0.1, 0.6)
    assert found.corners == pytest.approx(np.array([[208 - 32, 208 - 64, 208 + 96, 208 + 128]]))
    assert found.labels.tolist() == [3]


def test_fastestdet_decode() -> None:
    raw = np.zeros((1, 85, 22, 22), np.float32)
    raw[0, :5, 10, 4] = [0.5, np.arctanh(0.5), 0, logit(0.25), logit(0.5)]
    raw[0, 5 + 2, 10, 4] = 0.9
    raw[0, 5 + 3, 10, 4] = 0.8
    found = select(*formats.decode_fastestdet([raw]), 0.1, 0.45)
    assert found.corners == pytest.approx(np.array([[72 - 44, 160 - 88, 72 + 44, 160 + 88]]), abs=1e-3)
    assert found.labels.tolist() == [2], "only the likeliest class of a cell"
    assert found.scores == pytest.approx([0.5**0.6 * 0.9**0.4])


def test_preparation_keeps_the_place_of_things() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[40:60, 100:140, 0] = 255  # red
    for name, channel in (("yolox_nano", 2), ("FastestDet", 2), ("centre", 0)):
        batch, across, down = formats.FORMATS[name].prepare(image)
        row, column = int(50 * down), int(120 * across)
        assert batch[0, channel, row, column] == pytest.approx(255 if name == "yolox_nano" else 1)
        assert batch[0, 2 - channel, row, column] == pytest.approx(0)
    assert formats.prepare_yolox(image)[0][0, 0, 400, 10] == 114
    assert formats.prepare_nanodet(image)[0][0, :, 400, 10].tolist() == [0, 0, 0]


def test_no_more_than_coco_looks_at() -> None:
    corners = np.array([[10 * i, 0, 10 * i + 5, 5] for i in range(150)], np.float32)
    found = select(corners, np.linspace(0.1, 0.9, 150, dtype=np.float32)[:, None], 0.05, 0.5)
    assert len(found.scores) == LIMIT
    assert (np.diff(found.scores) <= 0).all()


def test_voc_annotations() -> None:
    corners, labels, difficult = voc.parse(ANNOTATION.format(name="tvmonitor"))
    assert corners == [[10, 20, 30, 60]]
    assert labels == [voc.CLASSES.index("tvmonitor")]
    assert difficult == [False]
    with pytest.raises(ValueError, match="unknown VOC class 'hors', did you mean 'horse'"):
        voc.parse(ANNOTATION.format(name="hors"))
    with pytest.raises(ValueError, match="document type"):
        voc.parse('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')


def test_a_folder_of_voc_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    folder = tmp_path / voc.FOLDER
    for kind in ("images", "annotations"):
        (folder / kind).mkdir(parents=True)
    Image.new("RGB", (64, 80)).save(folder / "images" / "a.png")
    monkeypatch.setenv("QDR_DATA", str(tmp_path))
    with pytest.raises(QdrError, match="every image needs its annotation"):
        voc.voc_images(1)
    (folder / "annotations" / "a.xml").write_text(ANNOTATION.format(name="sofa"))
    assert voc.voc_images(1)[0].image.shape == (80, 64, 3)
    (folder / "annotations" / "a.xml").write_text("<annotation><object/></annotation>")
    with pytest.raises(QdrError, match=r"a\.xml is not a VOC annotation \(an object has no xmin\)"):
        voc.voc_images(1)
    with pytest.raises(QdrError, match="holds 1 images, 2 are asked for"):
        voc.voc_images(2)


def test_published_detectors_need_their_files(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDR_DATA", raising=False)
    with pytest.raises(QdrError, match="needs the environment variable QDR_DATA"):
        open_detector("yolox_nano", 1)
    with pytest.raises(QdrError, match="train it first"):
        open_detector("centre", 1)
    with pytest.raises(QdrError, match="did you mean 'yolox_nano'"):
        open_detector("yolox_nan", 1)
    (tmp_path / "detection" / "weights").mkdir(parents=True)
    (tmp_path / voc.FOLDER).mkdir()
    (tmp_path / "detection" / "weights" / "yolox_nano.onnx").write_bytes(b"something else")
    monkeypatch.setenv("QDR_DATA", str(tmp_path))
    with pytest.raises(QdrError, match="it is not the file measured"):
        open_detector("yolox_nano", 1)


@DATA
@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("yolox_nano", 0.788), ("nanodet_m", 0.703), ("FastestDet", 0.528)])
def test_published_detectors_reach_what_is_known(name: str, expected: float) -> None:
    """AP50 measured by others on 100 images of the same draw."""
    assert name in SUMS
    truth = voc.voc_images(50)
    detector = open_detector(name, 2)
    found = [detector.detect(one.image) for one in truth]
    measured = average_precision(truth, found, len(voc.CLASSES), np.zeros((0, 50), np.int64))
    assert measured.value[0] == pytest.approx(expected, abs=0.06)
