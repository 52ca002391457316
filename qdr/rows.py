"""Rows and records on disk: CSV with a header, JSON objects; written whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from qdr.errors import QdrError
from qdr.paths import replacing


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows, at least one, with the keys of the first as columns."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read rows; every value is text."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise QdrError(f"{path} does not exist: run `dvc repro`") from error


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write an object, keys sorted."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read an object."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except FileNotFoundError as error:
        raise QdrError(f"{path} does not exist: run `dvc repro`, or `git checkout` it if it is committed") from error
    except ValueError as error:
        raise QdrError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise QdrError(f"{path} must hold an object")
    return record


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: of two with one name JSON's own reader keeps the last in silence."""
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in names if names.count(key) > 1)!r} is there twice")
    return record
