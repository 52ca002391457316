from __future__ import annotations

import errno
from pathlib import Path

import pytest

from qdr import files
from qdr.errors import QdrError
from qdr.suite import paths


def test_root_is_found_from_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "data")
    assert paths.project_root() == project


def test_outside_a_project(tmp_path: Path) -> None:
    with pytest.raises(QdrError, match=r"no params\.yaml"):
        paths.project_root(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def write_half() -> None:
        with files.replacing(target) as temporary:
            temporary.write_text("new")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half"):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for name in ("first", "second"):
        with files.replacing(target) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [p.name for p in target.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(QdrError, match="free space"), files.replacing(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_replaced_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(FileNotFoundError), files.replacing(target):
        pass  # nothing was written
    assert [p.name for p in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]
