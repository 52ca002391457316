from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdr.cli import main
from qdr.errors import QdrError
from qdr.images.pairs import match
from qdr.rows import read_json
from qdr.suite import paths
from qdr.suite.data.fetch import fetch
from qdr.suite.data.records import tree_digest
from qdr.suite.data.sources import add, present, states


@pytest.fixture(autouse=True)
def no_research_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDR_DATA", raising=False)


def _png(height: int, width: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 9, np.uint8)).save(file, "png")
    return file.getvalue()


@pytest.fixture
def copy(project: Path, edit: Callable[..., None], png: bytes) -> Path:
    """A local copy of LOL-v1 with one pair; the card expects one."""
    edit("lol-v1", count=1, size="16x16")
    for side in ("input", "target"):
        (project / "copy" / side).mkdir(parents=True)
        (project / "copy" / side / "1.png").write_bytes(png)
    return project / "copy"


def test_a_local_copy_is_placed_and_recorded(copy: Path) -> None:
    folder = add("lol-v1", copy)
    assert folder == paths.raw("lol-v1")
    assert [name for name, _, _ in match(folder)] == ["1"]
    record = read_json(paths.hashes())["lol-v1"]
    assert record == {"sha256": tree_digest(folder), "from": "added from a local folder", "count": 1}


def test_a_copy_in_the_publishers_folders(copy: Path, png: bytes) -> None:
    tree = copy.parent / "unpacked"
    for name in ("low/1.png", "high/1.png"):
        (tree / "eval15" / name).parent.mkdir(parents=True)
        (tree / "eval15" / name).write_bytes(png)
    assert tree_digest(add("lol-v1", tree)) == tree_digest(copy)
    assert (tree / "eval15/low/1.png").is_file(), "the user's files stay"


def test_clean_images(project: Path, edit: Callable[..., None], png: bytes) -> None:
    edit("cbsd68-official", count=1, size="")
    (project / "mine").mkdir()
    (project / "mine/a.png").write_bytes(png)
    (project / "mine/notes.txt").touch()
    assert [path.name for path in add("cbsd68-official", project / "mine").iterdir()] == ["a.png"]


def test_copies_that_are_refused(copy: Path, edit: Callable[..., None], png: bytes) -> None:
    before = tree_digest(add("lol-v1", copy))

    def refused(message: str) -> None:
        with pytest.raises(QdrError, match=message):
            add("lol-v1", copy)
        assert tree_digest(paths.raw("lol-v1")) == before, "what was there stays"
        assert [path.name for path in paths.raw("lol-v1").parent.iterdir()] == ["lol-v1"], "nothing half written"

    (copy / "target/1.png").write_bytes(png[:40])
    refused(r"1\.png cannot be read as an image")
    (copy / "target/1.png").write_bytes(_png(16, 20))
    refused("pair '1' has two sizes, 16x16 and 20x16")
    (copy / "target/1.png").write_bytes(_png(16, 16))
    refused("data/hashes.json has recorded")
    (copy / "target/1.png").rename(copy / "target/2.png")
    refused("'1' has no target")
    (copy / "input/2.png").write_bytes(png)
    (copy / "target/1.png").write_bytes(png)
    refused("holds 2 pairs, the manifest says 1")
    edit("lol-v1", count=2, size="600x400")
    refused("is 16x16, the manifest says 600x400")
    with pytest.raises(QdrError, match=r"nowhere is no folder: give the one that holds the images of 'lol-v1'"):
        add("lol-v1", copy / "nowhere")
    with pytest.raises(QdrError, match=r"none of its 2 files, such as '1\.png', is where the manifest expects images"):
        add("lol-v1", copy / "input")
    with pytest.raises(QdrError, match="holds no folders input/ and target/: `qdr data add rain100h` takes"):
        add("rain100h", copy / "input")
    with pytest.raises(QdrError, match="comes inside installed packages"):
        add("photos", copy)


def test_states(copy: Path, edit: Callable[..., None]) -> None:
    def state(verify: bool = False) -> tuple[str, str, int, str]:
        found = next(state for state in states(verify) if state.source == "lol-v1")
        return found.word, found.where, found.found, found.todo

    assert state() == ("missing", "", 0, "qdr fetch lol-v1 --accept")
    add("lol-v1", copy)
    assert state() == ("present", "data/raw", 1, "")
    assert state(verify=True) == ("verified", "data/raw", 1, "")
    (paths.raw("lol-v1") / "target/1.png").write_bytes(_png(16, 16))
    assert state()[0] == "present", "only --verify reads the bytes"
    assert state(verify=True)[0] == "changed"
    assert "hashes.json has recorded" in state(verify=True)[3]
    (paths.raw("lol-v1") / "target/1.png").unlink()
    assert state()[:3] == ("changed", "data/raw", 0)
    assert present("test") == {"lol-v1": paths.raw("lol-v1")}
    assert present("train") == {}


def test_the_table(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fetch("photos")
    monkeypatch.setenv("QDR_DATA", str(project))
    (project / "clean/bsds200_train").mkdir(parents=True)
    capsys.readouterr()
    assert main(["data", "status", "--verify"]) == 0
    lines = {line.split()[0]: " ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["photos"].startswith("photos verified data/raw 7 of 7 test public domain, CC0 or CC BY")
    assert lines["bsds200"].startswith("bsds200 changed QDR_DATA 0 of 200 train non-commercial research")
    assert lines["kodak24"] == "kodak24 missing 0 of 24 test released by Kodak for unrestricted use qdr fetch kodak24"
    assert lines["reside-its"].startswith("reside-its missing 0 of 13990 train none stated, academic use get it from")
    (paths.raw("photos") / "coffee.png").write_bytes((paths.raw("photos") / "rocket.png").read_bytes())
    assert main(["data", "status", "--verify"]) == 0
    assert "not those that the installed packages give" in capsys.readouterr().out


def test_mistakes_are_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "add", "lol", "."]) == 2
    assert "unknown source 'lol': did you mean 'lol-v1'" in capsys.readouterr().err
    assert main(["fetch", "bsds500"]) == 2
    assert "run `qdr fetch bsds500 --accept` or set QDR_ACCEPT=non-commercial" in capsys.readouterr().err
