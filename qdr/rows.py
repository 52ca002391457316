"""Rows and records on disk: CSV with a header, JSON objects, a JSON object a line; written whole or not at all.

Read strictly. A CSV row has as many fields as the header has names, which are all different; a JSON object has each key
once, and NaN and Infinity, which JSON does not have, are refused though Python's reader takes them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdr.errors import QdrError
from qdr.files import read_text, replacing

_MAKE = "run `dvc repro`"
_GET = "run `dvc repro`, or `git checkout` it if it is committed"


def write_rows(path: Path, rows: list[dict[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows, at least one, with the keys of the first as columns; or none at all under `columns`."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path, *columns: str) -> list[dict[str, str]]:
    """Read rows; every value is text. `columns` must be there, beside others.

    Raises:
        QdrError: when the file is missing or damaged, a column is missing or there twice, or a row has too few or too many
            fields.
    """
    lines = csv.reader(io.StringIO(read_text(path, _MAKE, _GET), newline=""), strict=True)
    try:
        header = next(lines, [])
        if twice := [name for name in header if header.count(name) > 1]:
            raise QdrError(f"{path} has the column {twice[0]!r} twice: {_GET}")
        if missing := [name for name in columns if name not in header]:
            raise QdrError(f"{path} has no column {missing[0]!r}: it is of another version; {_GET}")
        rows = []
        for fields in lines:
            if fields and len(fields) != len(header):
                where, counts = f"{path}, line {lines.line_num}", f"{len(fields)} fields, the header has {len(header)}"
                raise QdrError(f"{where}: {counts}: the file is cut or of another version; {_GET}")
            if fields:
                rows.append(dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        raise QdrError(f"{path}, line {lines.line_num}: not CSV ({error}): {_GET}") from error
    return rows


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write an object, keys sorted."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path, **kinds: type) -> dict[str, Any]:
    """Read an object; `kinds` are keys that it must have, with the type of each.

    Raises:
        QdrError: when the file is missing, damaged, no object, or lacks such a key.
    """
    return check_keys(_parse(read_text(path, _GET, _GET), str(path)), str(path), **kinds)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of objects, one a line."""
    lines = read_text(path, _MAKE, _MAKE).splitlines()
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def check_keys(record: Any, where: str, **kinds: type) -> dict[str, Any]:
    """Return a record, checked to be an object that has keys of these types; a whole number passes for a float."""
    if not isinstance(record, dict):
        raise QdrError(f"{where} must hold an object, got {_short(record)}: {_GET}")
    for key, kind in kinds.items():
        value = record.get(key)
        fits = isinstance(value, (int, float) if kind is float else kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            found = f"got {_short(value)}" if key in record else "it is missing"
            raise QdrError(f"{where}: {key!r} must be {_NAMES[kind]}, {found}: {_GET}")
    return record


_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "an object"}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise QdrError(f"{where} is not valid JSON: {error}: {_GET}") from error
    return check_keys(record, where)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant}, where a number must be finite")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: of two with one name JSON's own reader keeps the last in silence."""
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in names if names.count(key) > 1)!r} is there twice")
    return record
