"""A card per source of images: what it is, where it comes from, under which terms, and its checksum.

The cards live in data/manifest.json, the out of data.dvc: each fetch stage depends on its own entry, so that a changed
address or checksum fetches that source again and no other. A field that is left out does not apply. Where a publisher
gives no checksum the card has none: the first fetch records one in data/hashes.json (`qdr.suite.data.records`), beside the
manifest and not inside it, because a stage must not change what it depends on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from qdr.errors import QdrError, check_choice
from qdr.rows import read_json
from qdr.suite import paths
from qdr.suite.strict import build


@dataclass(frozen=True)
class Layout:
    r"""Where the images lie inside an archive, and how their names map.

    `input` is a regular expression that matches the whole path of an input, or of a clean image; `target` and `name` are
    templates for the path of its target and for the stem of both. RESIDE's ten hazy images per clear one:
    input `(.*)hazy/(\d+)_(\d+)\.png`, target `\1gt/\2.png`, name `\2_\3`.
    """

    input: str = ""
    target: str = ""
    name: str = ""


@dataclass(frozen=True)
class Card:
    """One source of images.

    What: `kind` is "clean" (images to degrade) or "pairs" (folders input/ and target/), `split` "train" or "test",
    `count` the number of images or pairs, `size` WIDTHxHEIGHT, upright or lying, if all have it, and `protocol` the name
    of the measurement protocol (qdr/metrics/protocol.py) that the field reports on it.

    Terms: `terms` is "free" or "non-commercial"; the latter must be accepted before a download. `forbids` says what the
    licence forbids.

    Whence: `origin` is "wheels" (files inside installed packages), "folder" (below the folder that the environment
    variable QDR_DATA names), "archive" (data/downloads/<archive>, downloaded or placed by hand) or "files" (single
    files). `urls` are tried in order, the publisher's first; those of "files" are folders. `files` maps names to sha256;
    `sha256` is that of the archive, or of the folder's listing (`qdr.suite.data.records.tree_digest`).
    """

    title: str
    kind: str
    split: str
    origin: str
    homepage: str
    licence: str
    terms: str
    citation: str
    note: str
    count: int
    protocol: str
    forbids: str = ""
    size: str = ""
    folder: str = ""
    archive: str = ""
    urls: list[str] = field(default_factory=list)
    layout: Layout = Layout()
    sha256: str = ""
    files: dict[str, str] = field(default_factory=dict)


def load_cards() -> dict[str, Card]:
    """All cards by name, read strictly."""
    path = paths.manifest()
    return dict(_read(path, path.stat().st_mtime_ns if path.is_file() else 0))


@lru_cache(maxsize=1)
def _read(path: Path, _: int) -> dict[str, Card]:
    """The cards of a manifest, read again when its time of change is another."""
    data = read_json(path)
    cards = {name: build(Card, entry, f"manifest.{name}") for name, entry in data.items()}
    for name, entry in cards.items():
        check_choice(f"kind of source {name}", entry.kind, ("clean", "pairs"))
        check_choice(f"split of source {name}", entry.split, ("train", "test"))
        check_choice(f"origin of source {name}", entry.origin, ("wheels", "folder", "archive", "files"))
        check_choice(f"terms of source {name}", entry.terms, ("free", "non-commercial"))
        try:
            re.compile(entry.layout.input)
        except re.error as error:
            raise QdrError(f"manifest.{name}.layout.input is no regular expression: {error}") from error
    return cards


def card(name: str) -> Card:
    """The card of one source."""
    cards = load_cards()
    return cards[check_choice("source", name, cards)]
