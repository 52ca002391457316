from __future__ import annotations

import errno
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import requests

from qdr.errors import QdrError
from qdr.suite.data import download as transfer
from qdr.suite.data.download import download

BODY = bytes(range(256)) * 16  # 4096 bytes
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "set.zip"


def left(target: Path) -> set[str]:
    """Suffixes of what lies in the folder of downloads."""
    return {path.suffix for path in target.parent.iterdir()}


def test_the_file_and_nothing_else(server: Any, target: Path) -> None:
    server.files["set.zip"] = BODY
    assert download([server.url("set.zip")], target, DIGEST) == server.url("set.zip")
    assert target.read_bytes() == BODY
    assert left(target) == {".zip"}


def test_a_cut_connection_asks_for_the_rest_alone(server: Any, target: Path) -> None:
    server.files["set.zip"], server.cut = BODY, [1000, 500]
    download([server.url("set.zip")], target, DIGEST)
    assert target.read_bytes() == BODY
    assert server.asked == [("set.zip", ""), ("set.zip", "bytes=1000-"), ("set.zip", "bytes=1500-")]


def test_a_connection_that_stays_cut_leaves_a_part_for_the_next_run(server: Any, target: Path) -> None:
    server.files["set.zip"], server.cut = BODY, [1000, 0, 0]
    with pytest.raises(QdrError, match=r"cannot download set\.zip .*cut after 1000 of 4096 bytes.*goes on where it stopped"):
        download([server.url("set.zip")], target, DIGEST)
    assert left(target) == {".part", ".tag"}
    server.asked.clear()
    download([server.url("set.zip")], target, DIGEST)
    assert server.asked == [("set.zip", "bytes=1000-")]
    assert target.read_bytes() == BODY
    assert left(target) == {".zip"}


def test_a_file_that_changed_meanwhile_is_sent_whole(server: Any, target: Path) -> None:
    server.files["set.zip"], server.cut = b"x" * 4096, [1000, 0, 0]
    with pytest.raises(QdrError, match="cut"):
        download([server.url("set.zip")], target)
    server.files["set.zip"], server.etag = BODY, '"two"'
    download([server.url("set.zip")], target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("length", [4096, 5000])
def test_a_part_with_nothing_to_follow(server: Any, target: Path, length: int) -> None:
    """Complete parts are taken as they are; longer ones are of another file and start again."""
    server.files["set.zip"], server.cut = BODY, [1000, 0, 0]
    with pytest.raises(QdrError, match="cut"):
        download([server.url("set.zip")], target, DIGEST)
    next(target.parent.glob("*.part")).write_bytes((BODY * 2)[:length])
    server.asked.clear()
    download([server.url("set.zip")], target, DIGEST)
    assert target.read_bytes() == BODY
    assert len(server.asked) == (1 if length == 4096 else 2)


def test_a_mirror_behind_a_missing_file_a_web_page_and_a_wrong_one(server: Any, target: Path) -> None:
    server.files |= {"wrong.zip": b"wrong", "set.zip": BODY}
    urls = [server.url(name) for name in ("gone.zip", "wrong.zip", "set.zip")]
    assert download(urls, target, DIGEST) == urls[2]
    target.unlink()
    with pytest.raises(QdrError) as caught:
        download([*urls[:2], "http://127.0.0.1:1/set.zip"], target, DIGEST)
    for words in (
        f"{urls[0]}: HTTP 404 Not Found; {urls[1]}: its file has sha256 ",
        f", the manifest says {DIGEST[:12]}...; http://127.0.0.1:1/set.zip: no answer (ConnectionError)): try again later, ",
        f"or put the file at {target}",
    ):
        assert words in str(caught.value)
    assert not list(target.parent.iterdir())
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(QdrError, match="a web page instead of the file"):
        download(urls[2:], target)


def test_no_room_is_said_before_the_transfer(server: Any, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["set.zip"] = BODY
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10_000, 9_000, 1_000))
    with pytest.raises(QdrError, match=r"set\.zip needs 4096 bytes, the disk of .* has 1000 bytes free: make room"):
        download([server.url("set.zip")], target)
    assert not list(target.parent.iterdir())


def test_a_disk_that_fills_keeps_what_it_has(server: Any, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["set.zip"] = BODY
    whole = requests.Response.iter_content

    def fills(answer: requests.Response, chunk: int) -> Any:
        for number, content in enumerate(whole(answer, chunk)):
            if number == 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            yield content

    with monkeypatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", fills)
        with pytest.raises(QdrError, match=r"the disk is full while writing .*: free space and run it again"):
            download([server.url("set.zip")], target, DIGEST)
    assert left(target) == {".part", ".tag"}
    download([server.url("set.zip")], target, DIGEST)
    assert server.asked[1:] == [("set.zip", "bytes=1000-")]


def test_attempts_are_bounded(server: Any, target: Path) -> None:
    server.files["set.zip"], server.cut = BODY, [100] * 10
    with pytest.raises(QdrError, match="cut after 300 of 4096"):
        download([server.url("set.zip")], target)
    assert len(server.asked) == transfer.ATTEMPTS
