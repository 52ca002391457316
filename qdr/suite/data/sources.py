"""The state of every source of images, and taking a local copy.

`status` compares the cards with data/raw and with the folders below QDR_DATA: a source is *missing*, *present* (the
number of images is right), *verified* (so are the checksums; asked for, since it reads every byte) or *changed*. `add`
takes a copy that somebody already holds, in this suite's folders or in the publisher's, through the same checks as a
download.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qdr import files
from qdr.errors import QdrError
from qdr.images.pairs import images_in, match
from qdr.suite import paths
from qdr.suite.data.archive import arrange
from qdr.suite.data.fetch import check, from_folder
from qdr.suite.data.records import expected_digest, fault, remember, tree_digest
from qdr.suite.data.tasks import Card, card, load_cards
from qdr.suite.data.wheels import from_wheels

_COLOURS = {"verified": "green", "present": "green", "missing": "yellow", "changed": "red"}


@dataclass(frozen=True)
class State:
    """One source as found: `word` is missing, present, verified or changed; `todo` what to do about it."""

    source: str
    word: str
    where: str
    found: int
    todo: str


def states(verify: bool = False) -> list[State]:
    """The state of every source, in the order of the manifest; `verify` recomputes checksums."""
    return [_state(source, entry, verify) for source, entry in load_cards().items()]


def print_states(found: Sequence[State]) -> None:
    """Print the states as a table."""
    cards = load_cards()
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("Source", "State", "Where", "Images", "Split", "Licence", "What to do"):
        table.add_column(column, overflow="fold")
    for state in found:
        entry = cards[state.source]
        count = f"{state.found} of {entry.count}"
        colour = _COLOURS[state.word]
        table.add_row(
            state.source, Text(state.word, colour), state.where, count, entry.split, Text(entry.licence), Text(state.todo)
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def present(split: str) -> dict[str, Path]:
    """The folders of all sources of a split ("train" or "test") that are here."""
    folders = {name: held(name, entry) for name, entry in load_cards().items() if entry.split == split}
    return {name: folder for name, folder in folders.items() if folder}


def held(source: str, entry: Card) -> Path | None:
    """The folder that holds a source: data/raw/<source>, else the one below QDR_DATA where it is taken as it is."""
    if paths.raw(source).is_dir():
        return paths.raw(source)
    base = os.environ.get("QDR_DATA")
    local = Path(base) / entry.folder if base and entry.folder and not entry.arranged else None
    return local if local and local.is_dir() else None


def add(source: str, folder: Path) -> Path:
    """Place a local copy of a source in data/raw/<source>, checked, whole or not at all.

    Raises:
        QdrError: when the folder is not what the card describes.
    """
    entry = card(source)
    if entry.origin == "wheels":
        raise QdrError(f"source {source!r} comes inside installed packages: `qdr fetch {source}` makes it")
    if not folder.is_dir():
        raise QdrError(f"{folder} is no folder: give the one that holds the images of {source!r}")
    if not entry.arranged:
        print(f"{source}: {entry.licence}; {entry.homepage}")
    target = paths.raw(source)
    with files.replacing(target) as place:
        place.mkdir()
        if entry.arranged:
            from_folder(source, entry, folder, place)
        elif entry.kind == "pairs" and (folder / "input").is_dir():
            for side in ("input", "target"):
                (place / side).mkdir()
            for _, degraded, clean in match(folder):
                shutil.copyfile(degraded, place / "input" / degraded.name)
                shutil.copyfile(clean, place / "target" / clean.name)
        elif entry.kind == "clean" and images_in(folder):
            for path in images_in(folder).values():
                shutil.copyfile(path, place / path.name)
        elif entry.layout.input:
            arrange(folder, entry.layout, place, shutil.copyfile)
        else:
            wanted = "folders input/ and target/" if entry.kind == "pairs" else "images"
            raise QdrError(f"{folder} holds no {wanted}: `qdr data add {source}` takes the folder that does")
        check(source, entry, place)
        remember(source, entry, place, "added from a local folder")
    return target


def _state(source: str, entry: Card, verify: bool) -> State:
    folder = held(source, entry)
    if folder is None:
        return State(source, "missing", "", 0, _how_to_get(source, entry))
    where = "data/raw" if folder == paths.raw(source) else "QDR_DATA"
    try:
        found = len(images_in(folder)) if entry.kind == "clean" else len(match(folder))
    except QdrError as error:
        return State(source, "changed", where, 0, str(error))
    if found != entry.count:
        return State(source, "changed", where, found, f"{entry.count} expected: {_how_to_get(source, entry)}")
    if verify and (differs := _fault(source, entry, folder)):
        return State(source, "changed", where, found, f"{differs}: {_how_to_get(source, entry)}")
    known = entry.files or expected_digest(source, entry)
    todo = "" if where == "data/raw" else f"qdr fetch {source}"
    return State(source, "verified" if verify and known else "present", where, found, todo)


def _fault(source: str, entry: Card, folder: Path) -> str:
    if entry.origin != "wheels":
        return fault(source, entry, folder)
    with tempfile.TemporaryDirectory() as again:
        from_wheels(entry, Path(again))
        same = tree_digest(Path(again)) == tree_digest(folder)
    return "" if same else "the images are not those that the installed packages give"


def _how_to_get(source: str, entry: Card) -> str:
    if entry.origin == "wheels":
        return f"qdr fetch {source}"
    if entry.origin == "folder":
        return f"set QDR_DATA to the folder that holds {entry.folder}, or qdr data add {source} FOLDER"
    if not entry.urls:
        return f"get it from {entry.homepage}, then qdr data add {source} FOLDER"
    return f"qdr fetch {source}" + ("" if entry.terms == "free" else " --accept")
