"""Pages say what the repository holds: floors, profiles, exit codes, commands and links."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from qdr import cli
from qdr.cli import main
from qdr.suite import config
from tests.docs.pages import DOCS

ROOT = DOCS.parent
PAGES = sorted(DOCS.glob("*.md"))


def text(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def test_the_layers_are_those_of_the_contracts() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    lists = re.findall(r"```text\n(.*?)```", text("design").split("## Layers")[1], re.DOTALL)
    told = [[re.split(r"  +", line)[0] for line in found.splitlines()] for found in lists]
    assert told == [contract["layers"] for contract in contracts]


def test_the_files_that_the_design_names_exist() -> None:
    named = re.findall(r"`(qdr/[\w/]+(?:\.py)?)`", text("design"))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_table_of_profiles_is_their_heads(project: Path) -> None:
    told = dict(re.findall(r"^\| ([\w-]+) \| (Command: .*?) \|$", text("reproduce"), re.MULTILINE))
    heads = {}
    for path in (project / "profiles").glob("*.yaml"):
        head = " ".join(re.findall(r"^# ?(.*)", path.read_text().split("\nprofile:")[0], re.MULTILINE))
        if "Command: " in head:
            heads[path.stem] = " ".join(head[head.index("Command: ") :].split())
    assert told == heads


def test_exit_codes_are_those_of_the_help() -> None:
    assert cli.EXIT_CODES.removeprefix("exit codes:\n") in text("command-line")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_the_reference_has_every_room() -> None:
    rooms = {path.stem for path in (ROOT / "qdr").iterdir() if (path / "__init__.py").is_file() or path.suffix == ".py"}
    told = re.findall(r"^   qdr\.(\w+)$", text("api"), re.MULTILINE)
    assert sorted(told) == sorted(rooms - {"__init__"})


def test_every_page_is_in_the_tree_of_contents() -> None:
    listed = re.findall(r"^([\w*\[\]-]+)$", text("index"), re.MULTILINE)
    assert [path.stem for path in PAGES if not any(path.match(f"{name}.md") for name in [*listed, "index"])] == []


def test_every_variable_that_is_read_is_told() -> None:
    read = set()
    for path in (ROOT / "qdr").rglob("*.py"):
        read |= set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", path.read_text(encoding="utf-8")))
    told = set(re.findall(r"^\| `(\w+)", text("command-line"), re.MULTILINE))
    assert {name for name in read if name.startswith(("QDR", "XDG"))} <= told


@pytest.mark.slow
def test_the_first_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (promised,) = re.findall(r"```text\n(.*?)```", text("first-minute"), re.DOTALL)
    commands = re.findall(r"^qdr restore .*$", text("first-minute"), re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert main(command.split()[1:]) == 0
    assert promised in capsys.readouterr().out
    assert len(list((tmp_path / "dried").glob("*.png"))) == len(list((ROOT / "results/embedded/samples/derain").iterdir()))


@pytest.mark.slow
def test_the_documentation_builds(tmp_path: Path) -> None:
    sphinx = pytest.importorskip("sphinx.cmd.build", reason="extra docs: pip install -c constraints.txt -e '.[docs]'")
    assert sphinx.main(["-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path / "html")]) == 0
    front = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert all(page in front for page in ("first-minute.html", "negative-results.html", "api.html"))
    assert "Learnable Magnitude Reweighting" in (tmp_path / "html/api/qdr.distill.balancers.lmr.html").read_text("utf-8")
    assert config.TASKS[0] in (tmp_path / "html/cards.html").read_text("utf-8")
