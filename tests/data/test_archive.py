from __future__ import annotations

import io
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from qdr.errors import QdrError
from qdr.suite.data import archive as unpacking
from qdr.suite.data.archive import arrange, unpack
from qdr.suite.data.tasks import Layout, load_cards


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "C:/out.txt", "..\\out.txt"])
def test_members_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.txt", "x")
        archive.writestr(name, "x")
    with pytest.raises(QdrError, match="unsafe member"):
        unpack(path, tmp_path / "into")
    assert {path.name for path in tmp_path.iterdir()} == {"bad.zip"}, "nothing was written, inside or outside"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(QdrError, match="unsafe member 'link'"):
        unpack(path, tmp_path / "into")


def test_a_link_in_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(QdrError, match="unsafe member 'link'"):
        unpack(path, tmp_path / "into")


@pytest.mark.parametrize(("limit", "value"), [("MAX_UNPACKED", 10), ("MAX_MEMBERS", 1), ("MAX_RATIO", 2)])
def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(unpacking, limit, value)
    path = tmp_path / "big.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("zeros", "more"):
            archive.writestr(name, bytes(1000))
    with pytest.raises(QdrError, match=r"would unpack to \d+ bytes or more, \d members: it was not unpacked"):
        unpack(path, tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_no_room_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: Callable[..., bytes]) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(zipped({"a": bytes(2000)}))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10_000, 9_000, 1_000))
    with pytest.raises(QdrError, match=r"unpacking set\.zip needs 2000 bytes, the disk of .* has 1000 bytes free"):
        unpack(path, tmp_path / "into")


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:xz"])
def test_truncated_archives(tmp_path: Path, mode: str) -> None:
    path, content = tmp_path / "cut", random.Random(0).randbytes(100_000)
    if mode == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.png", content)
    else:
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            member = tarfile.TarInfo("a.png")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(QdrError, match=r"cut (is no zip|cannot be unpacked \(.+\)).*: .*delete it and fetch it again"):
        unpack(path, tmp_path / "into")


PUBLISHED = {
    "lol-v1": {"lol_dataset/eval15/low/1.png": "1.png", "lol_dataset/eval15/high/1.png": "1.png"},
    "lol-v1-train": {"lol_dataset/our485/low/2.png": "2.png", "lol_dataset/our485/high/2.png": "2.png"},
    "reside-sots": {
        "SOTS/indoor/nyuhaze500/hazy/1400_1.png": "1400_1.png",
        "SOTS/indoor/nyuhaze500/hazy/1400_10.png": "1400_10.png",
        "SOTS/indoor/nyuhaze500/gt/1400.png": "1400_1.png 1400_10.png",
    },
    "reside-sots-outdoor": {
        "SOTS/outdoor/hazy/0001_0.8_0.2.jpg": "0001_0.8_0.2.jpg",
        "SOTS/outdoor/gt/0001.png": "0001_0.8_0.2.png",
    },
    "reside-its": {
        "ITS_v2/hazy/1_1_0.90179.png": "1_1_0.90179.png",
        "ITS_v2/clear/1.png": "1_1_0.90179.png",
        "ITS_v2/trans/1_1.png": "",
    },
    "reside-ots": {"hazy/part1/0025_0.85_0.04.jpg": "0025_0.85_0.04.jpg", "clear/0025.jpg": "0025_0.85_0.04.jpg"},
    "rain100h-official": {"Rain100H/rainy/rain-001.png": "001.png", "Rain100H/norain-001.png": "001.png"},
    "rain100l": {"Rain100L/rainy/rain-100.png": "100.png", "Rain100L/norain-100.png": "100.png"},
    "sidd-small": {
        "SIDD_Small_sRGB_Only/Data/0001_001_S6_3200_L/NOISY_SRGB_010.PNG": "0001_001_S6_3200_L_010.PNG",
        "SIDD_Small_sRGB_Only/Data/0001_001_S6_3200_L/GT_SRGB_010.PNG": "0001_001_S6_3200_L_010.PNG",
        "SIDD_Small_sRGB_Only/Scene_Instances.txt": "",
    },
    "polyu-official": {
        "P-488d733/CroppedImages/Canon5D2_5_160_3200_chair_11_real.JPG": "Canon5D2_5_160_3200_chair_11.JPG",
        "P-488d733/CroppedImages/Canon5D2_5_160_3200_chair_11_mean.JPG": "Canon5D2_5_160_3200_chair_11.JPG",
        "P-488d733/OriginalImages/x_real.JPG": "",
    },
    "bsds500": {"BSR/BSDS500/data/images/test/100007.jpg": "100007.jpg", "BSR/BSDS500/data/images/train/100075.jpg": ""},
    "cbsd68-official": {"CBSD68-dataset-master/CBSD68/original_png/0000.png": "0000.png", "x/CBSD68/noisy5/0000.png": ""},
}


def test_every_archive_has_an_example_here() -> None:
    assert {name for name, entry in load_cards().items() if entry.origin == "archive"} == PUBLISHED.keys()


@pytest.mark.parametrize("source", PUBLISHED)
def test_layouts_as_published(tmp_path: Path, source: str) -> None:
    """Inputs and targets of the publisher's tree, and the names they get."""
    layout = load_cards()[source].layout
    for name in PUBLISHED[source]:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(name)
    arrange(tmp_path / "tree", layout, tmp_path / "out")
    found = sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert found == sorted(" ".join(PUBLISHED[source].values()).split())
    if layout.target:
        stems = [{path.stem for path in (tmp_path / "out" / side).iterdir()} for side in ("input", "target")]
        assert stems[0] == stems[1]


def test_trees_that_do_not_fit_the_layout(tmp_path: Path) -> None:
    layout = Layout(r"(.*)low/(\d+)_?\.png", r"\1high/\2.png", r"\2")
    (tmp_path / "tree/low").mkdir(parents=True)
    (tmp_path / "tree/readme").touch()
    with pytest.raises(QdrError, match="none of its 1 files, such as 'readme', is where the manifest expects images"):
        arrange(tmp_path / "tree", layout, tmp_path / "out")
    (tmp_path / "tree/low/1.png").touch()
    with pytest.raises(QdrError, match=r"low/1\.png has no target high/1\.png: the copy is not complete"):
        arrange(tmp_path / "tree", layout, tmp_path / "out")
    (tmp_path / "tree/high").mkdir()
    (tmp_path / "tree/high/1.png").touch()
    (tmp_path / "tree/low/1_.png").touch()
    with pytest.raises(QdrError, match=r"1_\.png would be the second image named 1\.png"):
        arrange(tmp_path / "tree", layout, tmp_path / "again")
