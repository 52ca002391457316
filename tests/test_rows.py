from __future__ import annotations

from pathlib import Path

import pytest

from qdr.errors import QdrError
from qdr.rows import check_keys, read_json, read_lines, read_rows, write_json, write_rows


def test_rows_come_back(tmp_path: Path) -> None:
    written = [{"a": "1", "b": 'x,"y"\nz'}, {"a": "", "b": "é"}]
    write_rows(tmp_path / "a.csv", written)
    assert read_rows(tmp_path / "a.csv", "b") == written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1\n", r"a\.csv, line 2: 1 fields, the header has 2"),
        ("a,b\n1,2\n1,2,3\n", r"a\.csv, line 3: 3 fields, the header has 2"),
        ("a,a\n1,2\n", r"a\.csv has the column 'a' twice"),
        ("b\n1\n", r"a\.csv has no column 'a': it is of another version"),
        ('a\n"1\n', r"a\.csv, line 2: not CSV"),
        ("a\n" + "x" * 200_000, r"a\.csv, line 2: not CSV"),
    ],
)
def test_rows_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(QdrError, match=said):
        read_rows(tmp_path / "a.csv", "a")


def test_an_object_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"n": 3, "x": 0.5, "s": "é", "b": True, "l": [], "o": {}})
    read_json(tmp_path / "a.json", n=int, x=float, s=str, b=bool, l=list, o=dict)
    assert read_json(tmp_path / "a.json", n=float)["n"] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "must hold an object, got"),
        ('{"n": 1}x', "is not valid JSON"),
        ('{"n": Infinity}', "Infinity, where a number must be finite"),
        ('{"n": 1, "n": 2}', "the key 'n' is there twice"),
        ("{}", "'n' must be a whole number, it is missing"),
        ('{"n": true}', "'n' must be a whole number, got True"),
        ('{"n": 1.5}', "'n' must be a whole number, got 1.5"),
    ],
)
def test_objects_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(QdrError, match=said):
        read_json(tmp_path / "a.json", n=int)


def test_lines_are_objects(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    assert read_lines(tmp_path / "a.jsonl") == [{"a": 1}, {"a": 2}]
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a"')
    with pytest.raises(QdrError, match=r"a\.jsonl, line 2 is not valid JSON"):
        read_lines(tmp_path / "a.jsonl")


def test_a_long_value_is_shown_short() -> None:
    with pytest.raises(QdrError, match=r"got 'x{56}\.\.\."):
        check_keys({"a": "x" * 1000}, "here", a=int)
