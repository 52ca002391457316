"""Each fault of the catalogue, injected for real: one line that says what to do, and every file as it was."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from qdr.cli import main
from qdr.errors import QdrError
from tests.faults.catalogue import FAULTS
from tests.faults.fault import Fault, read_only, small_disk
from tests.faults.page import BUSY, PAGE, page

PLACES = {"": nullcontext, "full": small_disk, "read-only": nullcontext}
# The same fault in the words of a system on which a test may not mount anything.
OTHER_WORDS = {"No space left on device": "File too large", "Read-only file system": "Permission denied"}


def tree(folder: Path) -> dict[str, str]:
    """Every file and folder with its checksum."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


@pytest.fixture
def place(fault: Fault, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project on the disk that the fault wants."""
    disk = project / "disk" if fault.disk == "full" else project
    disk.mkdir(exist_ok=True)
    with PLACES[fault.disk](disk):
        monkeypatch.chdir(disk)
        yield disk
        monkeypatch.chdir("/")  # nobody may stand on a disk that is taken away


def outcome(fault: Fault, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said."""
    if not isinstance(fault.act, tuple):
        with pytest.raises(QdrError) as caught:
            fault.act()
        return f"qdr: error: {caught.value}\n"
    assert main(fault.act) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_one_line_and_nothing_is_lost(
    fault: Fault, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("QDR_TRACEBACK", raising=False)
    fault.inject(place)
    before = tree(place)
    with read_only(place) if fault.disk == "read-only" else nullcontext():
        said = outcome(fault, capsys)
    after = tree(place)
    assert said.startswith("qdr: error: ")
    assert said.count("\n") == 1, said
    assert any(words in said for words in (fault.said, *others(fault.said))), said
    assert {name: after.get(name) for name in before} == before, "a file was changed or lost"
    added = [name for name in after.keys() - before.keys() if after[name]]
    assert [name for name in added if not any(Path(name).match(pattern) for pattern in fault.new)] == []
    assert not os.path.exists("touched"), "code was run"


def others(said: str) -> list[str]:
    """The same words where nothing can be mounted."""
    return [said.replace(words, other) for words, other in OTHER_WORDS.items() if words in said]


def test_the_page_says_what_the_catalogue_does() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.faults.page`"


@pytest.mark.slow
def test_two_pipelines_at_once(tmp_path: Path) -> None:
    """The second says who is busy and changes nothing; the first ends well."""
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    wait = "touch begun; while test ! -e go; do sleep 0.1; done; echo done > out"
    (tmp_path / "dvc.yaml").write_text(f"stages: {{s: {{cmd: '{wait}', outs: [out]}}}}\n")
    first = subprocess.Popen([*dvc, "repro"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "begun").exists():
        assert first.poll() is None
        time.sleep(0.1)
    second = subprocess.run([*dvc, "repro"], cwd=tmp_path, capture_output=True, text=True)
    assert second.returncode != 0
    assert BUSY in " ".join(second.stderr.split())
    assert not (tmp_path / "out").exists()
    (tmp_path / "go").touch()
    assert first.wait(timeout=120) == 0
    assert (tmp_path / "out").read_text() == "done\n"


def test_names_are_all_different() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
