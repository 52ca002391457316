from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qdr.errors import QdrError
from qdr.images.pairs import match, read_depth, read_image
from qdr.metrics.protocol import PROTOCOLS
from qdr.rows import read_json
from qdr.suite import config, paths
from qdr.suite.data.fetch import fetch
from qdr.suite.data.prepare import prepare
from qdr.suite.data.records import tree_digest
from qdr.suite.data.scenes import make_scenes
from qdr.suite.data.sources import add, held
from qdr.suite.data.tasks import load_cards


def test_photographs_come_from_the_installed_packages(project: Path) -> None:
    folder = fetch("photos")
    assert {"astronaut.png", "china.png", "motorcycle_left.depth.png"} <= {path.name for path in folder.iterdir()}
    with Image.open(folder / "motorcycle_left.depth.png") as depth:
        values = np.asarray(depth)
    assert (values.min(), values.max()) == (0, 65535)
    assert values[350, 350] < values[30, 30], "the motorcycle is nearer than the wall"


def test_another_checksum_is_refused_and_leaves_nothing(project: Path, edit: Callable[..., None]) -> None:
    files = load_cards()["photos"].files
    edit("photos", files=files | {"skimage/data/coffee.png": "0" * 64})
    with pytest.raises(QdrError, match=r"coffee\.png has sha256 .* the manifest says 000000000000"):
        fetch("photos")
    assert not paths.raw("photos").exists()


def test_an_unknown_key_and_kind_in_the_manifest(project: Path, edit: Callable[..., None]) -> None:
    edit("photos", lisence="x")
    with pytest.raises(QdrError, match=r"unknown key manifest\.photos\.lisence: did you mean 'licence'"):
        load_cards()
    (project / "data" / "manifest.json").write_text("{")
    with pytest.raises(QdrError, match="not valid JSON"):
        load_cards()
    (project / "data" / "manifest.json").write_text('{"photos": {}, "photos": {}}')
    with pytest.raises(QdrError, match="the key 'photos' is there twice"):
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


Archive = Callable[..., Path]
PAIR = ("lol/eval15/low/1.png", "lol/eval15/high/1.png")


@pytest.fixture
def archive(project: Path, edit: Callable[..., None], zipped: Callable[..., bytes]) -> Archive:
    """Writes the archive of LOL-v1 as if placed by hand, with one pair expected in it."""

    def make(members: dict[str, bytes], **changes: object) -> Path:
        path = paths.downloads() / "lol_dataset.zip"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zipped(members))
        edit("lol-v1", **({"count": 1, "size": "", "urls": []} | changes))
        return path

    return make


def recorded() -> dict[str, dict[str, object]]:
    return read_json(paths.hashes()) if paths.hashes().is_file() else {}


def test_an_archive_placed_by_hand_is_recorded(archive: Archive, png: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    archive(dict.fromkeys(PAIR, png))
    folder = fetch("lol-v1")
    assert [name for name, _, _ in match(folder)] == ["1"]
    assert recorded()["lol-v1"] == {"sha256": tree_digest(folder), "from": "placed by hand", "count": 1}
    assert re.search(
        r"^lol-v1: first seen; sha256 \w{12}\.\.\. recorded in data/hashes\.json, commit it$", capsys.readouterr().out, re.M
    )
    fetch("lol-v1")
    assert "first seen" not in capsys.readouterr().out


def test_later_fetches_must_match_the_first(archive: Archive, png: bytes) -> None:
    archive(dict.fromkeys(PAIR, png))
    folder, first = fetch("lol-v1"), recorded()
    digest = tree_digest(folder)
    archive({PAIR[0]: png, PAIR[1]: png + b"more"})
    with pytest.raises(QdrError) as caught:
        fetch("lol-v1")
    assert re.fullmatch(
        r"source 'lol-v1': the images have sha256 \w{12}\.\.\., data/hashes\.json has recorded \w{12}\.\.\.: "
        r"look for another copy at https://\S+, or, if the publisher has changed it, remove that entry and run it again",
        str(caught.value),
    )
    assert tree_digest(folder) == digest, "the old images stay"
    assert recorded() == first


def test_an_archive_that_a_mirror_packs_otherwise_is_the_same(archive: Archive, png: bytes) -> None:
    archive(dict.fromkeys(PAIR, png))
    fetch("lol-v1")
    archive({f"other/{name}": png for name in PAIR} | {"readme": b"x"})
    assert fetch("lol-v1") == paths.raw("lol-v1")


def test_an_archive_is_downloaded_once_its_licence_is_accepted(
    archive: Archive, png: bytes, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = archive(dict.fromkeys(PAIR, png), urls=[server.url("gone.zip"), server.url("lol.zip")])
    server.files["lol.zip"] = held.read_bytes()
    held.unlink()
    monkeypatch.delenv("QDR_ACCEPT", raising=False)
    with pytest.raises(QdrError) as caught:
        fetch("lol-v1")
    assert str(caught.value) == (
        "source 'lol-v1' is non-commercial (licence: none stated, published for research; forbidden: use other than "
        "research, as no licence grants it): to accept that, run `qdr fetch lol-v1 --accept` or set "
        "QDR_ACCEPT=non-commercial"
    )
    assert not server.asked
    assert not any(paths.raw("lol-v1").parent.iterdir())
    server.cut = [100, 0, 0]
    with pytest.raises(QdrError, match=r"gone\.zip: HTTP 404 Not Found; \S+lol\.zip: the connection was cut after 100 of"):
        fetch("lol-v1", accepted=True)
    assert not any(paths.raw("lol-v1").parent.iterdir())
    monkeypatch.setenv("QDR_ACCEPT", "non-commercial")
    assert len(match(fetch("lol-v1"))) == 1
    assert ("lol.zip", "bytes=100-") in server.asked
    assert recorded()["lol-v1"]["from"] == server.url("lol.zip")


def test_single_files(project: Path, edit: Callable[..., None], png: bytes, server: Any) -> None:
    digest = hashlib.sha256(png).hexdigest()
    edit("kodak24", count=1, size="16x16", urls=[server.url("a/"), server.url("b/")], files={"kodim01.png": digest})
    server.files = {"a/kodim01.png": b"wrong", "b/kodim01.png": png}
    assert (fetch("kodak24") / "kodim01.png").read_bytes() == png
    asked = len(server.asked)
    fetch("kodak24")
    assert len(server.asked) == asked, "what is in data/downloads is not asked for again"
    assert not recorded(), "pinned checksums are not recorded"


def test_archives_that_cannot_be_trusted(archive: Archive, edit: Callable[..., None], png: bytes) -> None:
    path = archive(dict.fromkeys(PAIR, png), sha256="1" * 64)
    with pytest.raises(
        QdrError, match=r"lol_dataset\.zip has sha256 .*, the manifest says 1{12}.*delete the file and fetch it again"
    ):
        fetch("lol-v1")
    edit("lol-v1", sha256="", count=15)
    with pytest.raises(
        QdrError,
        match=r"source 'lol-v1': it holds 1 pairs, the manifest says 15: delete this copy and get another, see https://",
    ):
        fetch("lol-v1")
    edit("lol-v1", count=1, size="600x400")
    with pytest.raises(QdrError, match=r"source 'lol-v1': 1\.png is 16x16, the manifest says 600x400"):
        fetch("lol-v1")
    archive({PAIR[0]: b"no image", PAIR[1]: png})
    with pytest.raises(QdrError, match=r"source 'lol-v1': input/1\.png cannot be read as an image"):
        fetch("lol-v1")
    archive({PAIR[0]: png})
    with pytest.raises(QdrError, match=r"lol_dataset\.zip: lol/eval15/low/1\.png has no target lol/eval15/high/1\.png"):
        fetch("lol-v1")
    archive({PAIR[0]: png, "../out.png": png})
    with pytest.raises(QdrError, match=r"holds an unsafe member '\.\./out\.png': it was not unpacked"):
        fetch("lol-v1")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(QdrError, match=r"lol_dataset\.zip is no zip or tar archive, or not all of one: delete it"):
        fetch("lol-v1")
    path.unlink()
    with pytest.raises(
        QdrError, match=r"no direct download: get it from https://.*lol_dataset\.zip, or unpack it and run `qdr data add"
    ):
        fetch("lol-v1")
    assert not any(paths.raw("lol-v1").parent.iterdir())
    assert not recorded()


def test_a_folder_source_tells_its_licence(
    project: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[..., None], png: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("input", "target"):
        (project / "derain/rain100h" / side).mkdir(parents=True)
        (project / "derain/rain100h" / side / "1.png").write_bytes(png)
    monkeypatch.setenv("QDR_DATA", str(project))
    edit("rain100h", sha256=tree_digest(project / "derain/rain100h"), count=1, size="")
    fetch("rain100h")
    assert capsys.readouterr().out.startswith("rain100h: research; the clean images are BSDS (non-commercial); https://")


@pytest.fixture
def rooms(project: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[..., None]) -> Callable[..., None]:
    """A folder of two images of 40x24 with depth beside them; sets the layout of the card `nyu`."""
    origin = project / "research" / "dehaze" / "nyuv2_rgbd"
    for side in ("image", "depth"):
        (origin / side).mkdir(parents=True)
    ramp = np.arange(40, dtype=np.uint8)[None].repeat(24, 0)
    for name in ("0001", "0002"):
        Image.fromarray(np.dstack([ramp, ramp + 100, ramp + 200])).save(origin / "image" / f"{name}.png")
        Image.fromarray(ramp).save(origin / "depth" / f"{name}.png")
    monkeypatch.setenv("QDR_DATA", str(project / "research"))

    def layout(count: int, **changes: object) -> None:
        arranged = {"input": r"image/(\d+)\.png", "name": r"room-\1"} | changes
        edit("nyu", layout=arranged, count=count, size="", sha256=tree_digest(origin))

    return layout


def test_a_folder_is_arranged_and_cut(rooms: Callable[..., None]) -> None:
    rooms(2, depth=r"depth/\1.png", crop=4)
    folder = fetch("nyu")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("room-0001.depth.png", "room-0001.png", "room-0002.depth.png", "room-0002.png")
    ]
    assert np.array_equal(read_image(folder / "room-0001.png")[0, :, 0], np.arange(4, 36))
    assert read_image(folder / "room-0001.png").shape == (16, 32, 3)
    assert np.allclose(read_depth(folder / "room-0001.depth.png")[0] * 255, np.arange(4, 36), atol=1e-4)
    assert held("nyu", load_cards()["nyu"]) == folder
    assert add("nyu", paths.project_root() / "research" / "dehaze" / "nyuv2_rgbd") == folder, "a copy goes the same way"


def test_halves_are_shrunk_and_images_left_out(rooms: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    rooms(1, left_half=True, longest=16, without=["room-0002"])
    folder = fetch("nyu")
    assert "; 1 left out: " in capsys.readouterr().out
    (only,) = folder.iterdir()
    assert read_image(only).shape == (12, 10, 3), "20x24 by 2"
    assert read_image(only)[0, :, 0].tolist() == [int(i + 0.5) + 1 for i in range(0, 20, 2)]


def test_an_arranged_folder_is_complete(rooms: Callable[..., None]) -> None:
    rooms(2, without=["room-0003"])
    with pytest.raises(QdrError, match="nyuv2_rgbd: it has no 'room-0003', which the manifest leaves out"):
        fetch("nyu")
    rooms(2, depth=r"far/\1.png")
    with pytest.raises(QdrError, match=r"image/0001\.png has no depth map far/0001\.png: the copy is not complete"):
        fetch("nyu")
    assert held("nyu", load_cards()["nyu"]) is None, "the originals are not what is trained on"


def test_cards_name_their_protocol_and_what_is_forbidden() -> None:
    for name, entry in load_cards().items():
        assert entry.protocol in PROTOCOLS, name
        assert bool(entry.forbids) == (entry.terms != "free"), name
        assert (entry.protocol == "y-limited") == name.startswith("rain100"), "deraining papers measure limited-range luma"
        assert all(url.startswith(("https://", "http://")) for url in entry.urls), name


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
@pytest.mark.parametrize("source", [name for name, entry in load_cards().items() if entry.origin == "folder"])
def test_local_research_data_is_what_the_manifest_says(project: Path, source: str) -> None:
    assert fetch(source) == paths.raw(source)
