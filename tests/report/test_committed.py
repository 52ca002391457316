"""The committed tables are those of the committed results, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdr import config
from qdr.report import tables

ROOT = Path(__file__).resolve().parents[2]
PROFILES = sorted(path.name for path in (ROOT / "results").iterdir() if path.is_dir())


@pytest.mark.parametrize("profile", PROFILES)
def test_tables_come_from_results_alone(profile: str, tmp_path: Path) -> None:
    tables.write_quality(config.load(ROOT / "profiles" / f"{profile}.yaml"), ROOT / "results" / profile, tmp_path)
    made = {path.name: path.read_bytes() for path in (tmp_path / "quality").iterdir()}
    kept = {path.name: path.read_bytes() for path in (ROOT / "paper_tables" / profile / "quality").iterdir()}
    assert made.keys() == kept.keys()
    assert [name for name in sorted(made) if made[name] != kept[name]] == []
