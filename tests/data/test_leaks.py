from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from qdr.cli import main
from qdr.errors import QdrError
from qdr.suite.data.leaks import Leak, bits, check_leaks, leaks, symmetries
from qdr.suite.data.sources import present

needs_data = pytest.mark.skipif("QDR_DATA" not in os.environ, reason="QDR_DATA names no folder of research data")
MIRROR, TURN = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90


def scene(seed: int) -> Image.Image:
    """Soft blobs, 96x64."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(64, 96, 3)), (3, 3, 0))
    return Image.fromarray(np.clip(field * 500 + 128, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "jpeg", quality=60)
    return Image.open(file)


@pytest.fixture
def sources(tmp_path: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Six training images, and a test set of four pairs with other scenes as targets."""
    for name in ("train", "test/input", "test/target"):
        (tmp_path / name).mkdir(parents=True)
    for seed in range(6):
        scene(seed).save(tmp_path / f"train/{seed}.png")
    for seed in range(10, 14):
        scene(seed - 10).save(tmp_path / f"test/input/{seed}.png")  # an input may be anything: only targets count
        scene(seed).save(tmp_path / f"test/target/{seed}.png")
    return {"clean": tmp_path / "train"}, {"pairs": tmp_path / "test"}


COPIES = {
    "as it is": lambda image: image,
    "halved": lambda image: image.resize((48, 32)),
    "JPEG": jpeg,
    "cropped": lambda image: image.crop((2, 1, 96, 64)),
    "mirrored": lambda image: image.transpose(MIRROR),
    "all of it, and turned": lambda image: jpeg(image.crop((2, 1, 96, 64)).resize((64, 43))).transpose(TURN),
}


def test_nothing_in_common(sources: tuple[dict[str, Path], dict[str, Path]]) -> None:
    assert leaks(*sources) == []
    check_leaks(*sources)
    check_leaks({}, sources[1])


@pytest.mark.parametrize("copy", COPIES)
def test_planted_copies_are_found(sources: tuple[dict[str, Path], dict[str, Path]], copy: str) -> None:
    COPIES[copy](scene(12)).save(sources[0]["clean"] / "planted.png")
    (leak,) = leaks(*sources)
    assert leak == Leak("clean/planted", "pairs/12", leak.distance)
    with pytest.raises(QdrError, match=r"hold test images: pairs/12 is clean/planted \(\d+ of 256 bits\): take them out"):
        check_leaks(*sources)


def test_eight_versions_of_an_image() -> None:
    versions = symmetries(scene(1).resize((64, 64)))
    assert len({bits(version).tobytes() for version in versions}) == len(versions) == 8


@needs_data
def test_a_rain100h_background_among_the_training_photographs(tmp_path: Path) -> None:
    folders = Path(os.environ["QDR_DATA"])
    for path in sorted((folders / "clean/bsds200_train").iterdir())[:20]:
        shutil.copy(path, tmp_path)
    with Image.open(folders / "derain/rain100h/target/18.png") as image:
        jpeg(image.crop((5, 3, *image.size)).transpose(MIRROR)).save(tmp_path / "planted.jpg", quality=60)
    (leak,) = leaks({"bsds": tmp_path}, {"rain100h": folders / "derain/rain100h"})
    assert (leak.train, leak.test) == ("bsds/planted", "rain100h/18")


@needs_data
def test_no_photograph_to_train_on_is_a_test_image(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"bsds200", "sice-train"} <= present("train").keys()
    assert main(["data", "leaks"]) == 0
    assert capsys.readouterr().out.startswith("no test image of sice, sots-indoor, rain100h")


def test_a_check_of_nothing_does_not_pass(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QDR_DATA", raising=False)
    assert main(["data", "leaks"]) == 2
    assert (
        "no training images and no test images are here, so nothing was checked: `qdr data status`"
        in capsys.readouterr().err
    )
