"""docs/data.md says what the manifest says."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdr.suite.data.tasks import load_cards

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", load_cards())
def test_every_source_has_its_row(source: str) -> None:
    entry = load_cards()[source]
    (row,) = (line for line in TEXT.splitlines() if line.startswith(f"| `{source}` | {entry.title} |"))
    shown = [
        entry.split,
        str(entry.count),
        entry.size,
        entry.protocol,
        entry.homepage,
        entry.licence,
        entry.forbids,
        entry.terms,
    ]
    missing = [words for words in (*shown, *entry.urls, entry.archive, entry.folder) if words not in row]
    assert not missing
