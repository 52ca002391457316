"""The README says what the repository holds."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("table", ["speed/latency-short"])
def test_its_tables_are_the_committed_ones(table: str) -> None:
    """Of the commit, not of the working tree: `make repro` on another machine writes that machine's figures."""
    readme, shown = (_committed(name) for name in ("README.md", f"paper_tables/embedded/{table}.md"))
    assert shown.strip() in readme


def test_every_file_of_its_tree_exists() -> None:
    tree = (ROOT / "docs/design.md").read_text().split("## Where things are")[1].split("```")[1].removeprefix("text")
    folders: list[str] = []
    missing = []
    for line in tree.splitlines():
        found = re.match(r"( *)([\w./-]+/?)(?:  |$)", line)
        if not found or len(found[1]) > 2 * len(folders):
            continue
        del folders[len(found[1]) // 2 :]
        path = ROOT / "".join(folders) / found[2]
        if found[2].endswith("/"):
            folders.append(found[2])
        if not path.exists():
            missing.append(str(path))
    assert not missing


def test_every_target_it_names_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE))
    assert {"repro", "test", "report"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def _committed(name: str) -> str:
    done = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no git history here: {done.stderr.strip()}")
    return done.stdout
