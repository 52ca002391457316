"""Every command that is printed can be given: in pages, help and messages. Those that need no data run in a fresh clone."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdr import cli
from tests.docs.pages import DOCS

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), ROOT / "results/README.md", ROOT / "benchmarks/README.md"]
CODE = sorted((ROOT / "qdr").rglob("*.py"))
PLACEHOLDER = re.compile(r"[<{].*|[A-Z.]{2,}")  # of a value: TASK, <name>, {profile}
ALONE = {"profile", "data status", "data cards", "compare", "plan", "doctor", "completion", "version", "report", "restore"}


def printed(text: str) -> Iterator[str]:
    """The lines of shell blocks that call qdr, without their comments."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from re.findall(r"(?:^|source <\()(qdr [^#>)\n]*)", block, re.MULTILINE)


def examples(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The examples below each help."""
    for line in getattr(parser, "_examples", "").splitlines():
        yield from re.findall(r"(?:^|source <\()(qdr [^#>)]*)", line.strip())
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from examples(verb)


def mistake(command: str) -> str:
    """Which verb or option of a command mentioned in a text does not exist; values may be left out there."""
    parser: argparse.ArgumentParser = cli.parser()
    for word in command.replace("...", "").split()[1:]:
        verbs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if word.startswith("--"):
            if word.partition("=")[0] not in parser._option_string_actions:
                return word
        elif verbs and not PLACEHOLDER.fullmatch(word):
            if word not in verbs[0].choices:
                return word
            parser = verbs[0].choices[word]
    return ""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_prints_can_be_given(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for command in printed(text):
        cli.parser().parse_args(shlex.split(command)[1:])
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for target in re.findall(r"^make (\w[\w-]*)", block, re.MULTILINE):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    mentioned = re.findall(r"`(qdr [^`]*)`", text)
    assert {command: found for command in mentioned if (found := mistake(command))} == {}


def test_what_help_and_messages_print_can_be_given() -> None:
    for command in examples(cli.parser()):
        cli.parser().parse_args(shlex.split(command)[1:])
    mentioned = {command for path in CODE for command in re.findall(r"`(qdr [^`]*)`", path.read_text(encoding="utf-8"))}
    assert len(mentioned) > 30
    assert {command: found for command in sorted(mentioned) if (found := mistake(command))} == {}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone of what is committed, with the inputs that pages name."""
    folder = tmp_path_factory.mktemp("fresh") / "qdr"
    done = subprocess.run(["git", "clone", "--quiet", ROOT, folder], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no git history here: {done.stderr.strip()}")
    subprocess.run(["git", "update-ref", "refs/remotes/origin/main", "HEAD"], cwd=folder, check=True)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    for name in ("photos", "frames"):
        (folder / name).mkdir()
    for name in ("rainy.jpg", "rainy.png", "photos/a.png", "frames/a.png", "small.png"):
        image.save(folder / name)
    for name in ("student.onnx", "theirs.onnx", "net-int8.onnx"):
        shutil.copy(folder / "qdr/weights/derain-W8A8.onnx", folder / name)
    return folder


def alone(command: str) -> bool:
    """Whether a command needs neither data nor trained models nor an extra."""
    words = command.split()[1:]
    return (words[0] in ALONE or " ".join(words[:2]) in ALONE) and not {"--measure", "clip.mp4", "verify"} & set(words)


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted({c.strip() for page in PAGES for c in printed(page.read_text()) if alone(c)}))
def test_what_needs_no_data_runs_in_a_fresh_clone(clone: Path, command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QDR")}
    words = [*shlex.split(command)[1:], *(["--force"] if command.startswith("qdr restore") else [])]
    if "--values" in words:
        words = [word for word in words if word not in ("--values", "0-255")]  # the stand-in is a file of qdr
    environment |= {"PYTHONPATH": str(clone)}
    done = subprocess.run(
        [sys.executable, "-m", "qdr.cli", *words], cwd=clone, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
