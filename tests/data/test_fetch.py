from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdr import config, paths
from qdr.data import fetch as room
from qdr.data.fetch import fetch, sha256, tree_digest, unpack
from qdr.data.pairs import match
from qdr.data.prepare import prepare
from qdr.data.scenes import make_scenes
from qdr.data.tasks import load_cards
from qdr.errors import QdrError


def edit(project: Path, source: str, **changes: object) -> None:
    path = project / "data" / "manifest.json"
    cards = json.loads(path.read_text())
    cards[source] |= changes
    path.write_text(json.dumps(cards))


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 7, np.uint8)).save(file, "png")
    return file.getvalue()


def test_photographs_come_from_the_installed_packages(project: Path) -> None:
    folder = fetch("photos")
    assert {"astronaut.png", "china.png", "motorcycle_left.depth.png"} <= {path.name for path in folder.iterdir()}
    with Image.open(folder / "motorcycle_left.depth.png") as depth:
        values = np.asarray(depth)
    assert (values.min(), values.max()) == (0, 65535)
    assert values[350, 350] < values[30, 30], "the motorcycle is nearer than the wall"


def test_another_checksum_is_refused_and_leaves_nothing(project: Path) -> None:
    files = load_cards()["photos"].files
    edit(project, "photos", files=files | {"skimage/data/coffee.png": "0" * 64})
    with pytest.raises(QdrError, match=r"coffee\.png has sha256 .* the manifest says 000000000000"):
        fetch("photos")
    assert not paths.raw("photos").exists()


def test_an_unknown_key_and_kind_in_the_manifest(project: Path) -> None:
    edit(project, "photos", lisence="x")
    with pytest.raises(QdrError, match=r"unknown key manifest\.photos\.lisence: did you mean 'licence'"):
        load_cards()
    (project / "data" / "manifest.json").write_text("{")
    with pytest.raises(QdrError, match="not valid JSON"):
        load_cards()


def test_a_folder_source_needs_the_variable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDR_DATA", raising=False)
    with pytest.raises(QdrError, match="needs the environment variable QDR_DATA"):
        fetch("rain100h")
    monkeypatch.setenv("QDR_DATA", str(project))
    with pytest.raises(QdrError, match="has no folder derain/rain100h"):
        fetch("rain100h")


def test_a_changed_folder_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "derain/rain100h").mkdir(parents=True)
    monkeypatch.setenv("QDR_DATA", str(project))
    with pytest.raises(QdrError, match="differs from what was measured"):
        fetch("rain100h")


def test_tree_digest_sees_names_and_content(tmp_path: Path) -> None:
    digests = set()
    for name, text in (("a", "1"), ("a", "2"), ("b", "2")):
        folder = tmp_path / f"{name}{text}"
        folder.mkdir()
        (folder / name).write_text(text)
        digests.add(tree_digest(folder))
    assert len(digests) == 3


def archive_source(project: Path, members: dict[str, bytes], **changes: object) -> Path:
    path = project / "data" / "downloads" / "lol-v1.zip"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    edit(project, "lol-v1", **({"sha256": sha256(path), "count": 1} | changes))
    return path


def test_an_archive_placed_by_hand(project: Path) -> None:
    archive_source(project, {"input/1.png": png(), "target/1.png": png()})
    assert [name for name, _, _ in match(fetch("lol-v1"))] == ["1"]


def test_an_archive_is_downloaded_and_checked(project: Path) -> None:
    placed = archive_source(project, {"input/1.png": png(), "target/1.png": png()})
    served = project / "served.zip"
    placed.rename(served)
    edit(project, "lol-v1", url=served.as_uri())
    with pytest.raises(QdrError, match="cannot download"):  # pooch speaks http, https and ftp, not file
        fetch("lol-v1")
    assert not paths.raw("lol-v1").exists()


def test_archives_that_cannot_be_trusted(project: Path) -> None:
    with pytest.raises(QdrError, match=r"no pinned checksum: get it from https://.*data/downloads/lol-v1\.zip"):
        fetch("lol-v1")
    edit(project, "lol-v1", sha256="1" * 64)
    with pytest.raises(QdrError, match="no direct download"):
        fetch("lol-v1")
    path = archive_source(project, {"input/1.png": png(), "target/1.png": png()}, sha256="1" * 64)
    with pytest.raises(QdrError, match="delete the file and fetch it again"):
        fetch("lol-v1")
    archive_source(project, {"input/1.png": png(), "target/1.png": png()}, count=15)
    with pytest.raises(QdrError, match="holds 1 pairs, the manifest says 15"):
        fetch("lol-v1")
    archive_source(project, {"input/1.png": b"no image", "target/1.png": png()})
    with pytest.raises(QdrError, match=r"1\.png cannot be read"):
        fetch("lol-v1")
    path.write_bytes(b"no archive")
    edit(project, "lol-v1", sha256=sha256(path))
    with pytest.raises(QdrError, match="cannot be unpacked"):
        fetch("lol-v1")
    assert not paths.raw("lol-v1").exists()


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "C:/out.txt", "..\\out.txt"])
def test_members_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(QdrError, match="unsafe member"):
        unpack(path, tmp_path / "into")
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_in_archives(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(QdrError, match="unsafe member"):
        unpack(path, tmp_path / "into")


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_UNPACKED", 10)
    path = tmp_path / "big.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zeros", bytes(1000))
    with pytest.raises(QdrError, match="was not unpacked"):
        unpack(path, tmp_path / "into")


def test_prepare_makes_every_split(settings: config.Config) -> None:
    fetch("photos")
    make_scenes(settings)
    prepare(settings, "dehaze")
    for split, count in (("train", 12), ("val", 2), ("scenes", 2), ("photos", 7)):
        found = match(paths.prepared("dehaze", split))
        assert len(found) == count
        for _, degraded, target in found:
            with Image.open(degraded) as a, Image.open(target) as b:
                assert a.size == b.size
                assert a.width % 16 == a.height % 16 == 0


@pytest.mark.skipif("QDR_DATA" not in os.environ, reason="QDR_DATA names no folder of research data")
@pytest.mark.parametrize("source", ["rain100h", "sots-indoor", "sice", "polyu", "cbsd68", "bsds200"])
def test_local_research_data_is_what_the_manifest_says(project: Path, source: str) -> None:
    assert fetch(source) == paths.raw(source)
