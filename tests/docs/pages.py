"""The code blocks of a page, as its reader copies them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
LONGEST = 40


def block(page: str, language: str, number: int = 0) -> str:
    """A fenced block of docs/<page>.md by its language and number."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    code: str = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[number]
    assert len(code.splitlines()) < LONGEST
    return code


def place(code: str, package: ModuleType, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a page's file into a package for the time of a test."""
    (folder / package.__name__).mkdir(parents=True, exist_ok=True)
    (folder / package.__name__ / f"{name}.py").write_text(code)
    if str(folder / package.__name__) not in package.__path__:
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder / package.__name__)])
    monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}", raising=False)


def entry(line: str, names: dict[str, Any]) -> dict[str, Any]:
    """A page's line of a dictionary."""
    made: dict[str, Any] = eval(f"{{{line.strip()}}}", names)
    return made
