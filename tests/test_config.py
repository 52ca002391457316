from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from qdr.errors import QdrError
from qdr.suite import config

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", ["embedded", "full", "public", "paper", "peers", "smoke"])
def test_every_profile_is_valid(name: str) -> None:
    assert config.load(ROOT / "profiles" / f"{name}.yaml").profile == name


def test_active_profile_is_a_copy() -> None:
    active = (ROOT / "params.yaml").read_bytes()
    assert active == (ROOT / "profiles" / f"{config.load(ROOT / 'params.yaml').profile}.yaml").read_bytes()


def changed(project: Path, **changes: object) -> Path:
    data = yaml.safe_load((project / "params.yaml").read_text())
    for key, value in changes.items():
        *parents, leaf = key.split("__")
        place = data
        for parent in parents:
            place = place[parent]
        place[leaf] = value
    path = project / "changed.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fp32__stepz": 3}, "unknown key fp32.stepz: did you mean 'steps'"),
        ({"tasks": ["derian"]}, "unknown task 'derian': did you mean 'derain'"),
        ({"fp32__steps": "many"}, "fp32.steps must be int, got 'many'"),
        ({"fp32__steps": 0}, "fp32.steps must be at least 1"),
        ({"fp32__lr": float("nan")}, "fp32.lr must be finite"),
        ({"fp32__bf16": 1}, "fp32.bf16 must be bool"),
        ({"tune__patch": 30}, "multiples of 8"),
        ({"blocks__few__images": ["0"]}, "blocks.few.images"),
        ({"blocks__few__methods": ["qta"]}, "unknown method in blocks.few 'qta': did you mean 'qat'"),
        ({"model__channels": [32]}, "one entry per level"),
        ({"detect__source": "coco"}, "unknown detect.source 'coco'"),
        ({"detect__detectors": ["center"]}, "unknown detector of procedural 'center': did you mean 'centre'"),
        ({"bench__sides": []}, "bench.sides must be at least one side"),
        ({"bench__sides": [256, 256]}, "each once"),
        ({"bench__sides": [100]}, "bench.sides, fp32.patch and tune.patch must be multiples of 8"),
        ({"bench__seconds": -1.0}, "must not be negative"),
        (
            {"bench__models": ["nafnett"]},
            "unknown network in bench.models with a W8A8 method 'nafnett': did you mean 'nafnet'",
        ),
        ({"detect__images": 1}, "detect.images must be at least 2"),
        ({"sources": "photos"}, "sources must be a list"),
        ({"data__train__derain": "scenes"}, "data.train.derain must be a list"),
        ({"data__train__derain": ["scenes", "scenes"]}, "data.train.derain names a source twice"),
    ],
)
def test_mistakes_are_named(project: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(QdrError, match=re.escape(message)) as caught:
        config.load(changed(project, **changes))
    assert "\n" not in str(caught.value)


def test_missing_key(project: Path) -> None:
    data = yaml.safe_load((project / "params.yaml").read_text())
    del data["fp32"]["lr"]
    (project / "short.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(QdrError, match=r"missing key fp32\.lr"):
        config.load(project / "short.yaml")
