"""The stage as a whole, on scenes with objects, with a detector of a few steps and engines that do nothing or blur."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from qdr.seed import seed_everything
from qdr.suite import config, paths
from qdr.suite.data.scenes import scene
from qdr.suite.detection.boxes import Detections
from qdr.suite.detection.network import CentreNet
from qdr.suite.detection.objects import CLASSES, labelled_scene
from qdr.suite.detection.train import fit, make_detector, training_crops
from qdr.suite.evaluate import detect
from qdr.suite.evaluate.detection_pictures import PICTURED, write_pictures
from qdr.suite.report.load import DETECTION, load


class Engine:
    """Returns its input, darkened."""

    name = "openvino"

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def run(self, image: np.ndarray) -> np.ndarray:
        return image * np.float32(self.factor)

    def close(self) -> None:
        pass


class Nothing:
    """A detector that is never asked."""

    name = "nothing"
    classes = CLASSES

    def detect(self, image: np.ndarray) -> Detections:
        raise AssertionError


@pytest.fixture
def small(settings: config.Config, monkeypatch: pytest.MonkeyPatch) -> config.Config:
    folder = paths.scenes("train")
    folder.mkdir(parents=True)
    for i in range(2):
        Image.fromarray(scene(0, "train", i, 96)[0]).save(folder / f"{i:04d}.png")
    monkeypatch.setattr(detect, "open_run", lambda _, run: Engine(1.0 if run.method == "fp32" else 0.9))
    return dataclasses.replace(settings, tasks=["derain", "denoise"], threads=1)  # in this process, with that engine


def test_from_scenes_to_rows_and_pictures(small: config.Config) -> None:
    make_detector(small)
    detect.detect(small)
    for task in small.tasks:
        frame = load(paths.rows("detection", task), DETECTION)
        shown = frame[frame["metric"] == "ap50"]
        assert list(zip(shown["condition"], shown["method"], strict=True)) == [
            ("clean", "input"),
            ("degraded", "input"),
            ("restored", "fp32"),
            ("clean-restored", "fp32"),
            ("restored", "ptq"),
            ("restored", "qat"),
            ("restored", "qdr"),
            ("clean-restored", "qdr"),
        ]
        gain = frame[(frame["method"] == "fp32") & frame["metric"].str.endswith("_gain")]
        assert (gain[["value", "low", "high"]] == 0).all(axis=None), "an engine that does nothing gains nothing"
        assert not frame["metric"].str.endswith("_kept").any(), "and there is no share of nothing"
        folder = paths.detection_samples(small.profile, task)
        assert {path.name for path in folder.iterdir()} == {"boxes.json", *(f"{name}.png" for name in PICTURED.values())}
        assert json.loads((folder / "boxes.json").read_text())["objects"]


def test_training_twice_gives_the_same_bits(small: config.Config) -> None:
    crops = training_crops(paths.scenes("train"), 0)
    weights = []
    for _ in range(2):
        seed_everything(0)
        model = CentreNet(5)
        fit(model, crops, 3, 2, 0, lambda *_: None)
        weights.append(torch.cat([value.flatten().float() for value in model.state_dict().values()]))
    assert torch.equal(*weights)


def test_other_sources_need_no_detector_of_their_own(small: config.Config) -> None:
    make_detector(dataclasses.replace(small, detect=dataclasses.replace(small.detect, source="voc")))
    assert list(paths.detector().iterdir()) == []


def test_voc_pictures_stay_in_work(settings: config.Config) -> None:
    voc = dataclasses.replace(settings, detect=dataclasses.replace(settings.detect, source="voc"))
    truth = [labelled_scene(0, "x", 0, 96)]
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    shown = {name: [truth[0].image] for name in PICTURED}
    write_pictures(voc, "derain", Nothing(), truth, shown, {name: [nothing] for name in PICTURED})
    assert [path.name for path in paths.detection_samples(voc.profile, "derain").iterdir()] == ["boxes.json"]
    assert len(list((paths.detection_pictures() / "derain").iterdir())) == 5
