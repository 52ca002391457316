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
    r"""Where the images lie inside an archive or a folder, how their names map, and what is cut off.

    `input` is a regular expression that matches the whole path of an input, or of a clean image; `target` and `name` are
    templates for the path of its target and for the stem of both. RESIDE's ten hazy images per clear one:
    input `(.*)hazy/(\d+)_(\d+)\.png`, target `\1gt/\2.png`, name `\2_\3`. `depth` is the template for a clean image's
    depth map, a grey PNG of 8 bits. Names in `without` are left out; the card's note says why.

    Images are stored anew, as PNG, where one of these is given: `crop`, pixels cut off every side; `left_half`, of a
    picture that shows a pair side by side; `longest`, the side in pixels above which an image is shrunk, by the least
    integer that is enough.
    """

    input: str = ""
    target: str = ""
    name: str = ""
    depth: str = ""
    without: list[str] = field(default_factory=list)
    crop: int = 0
    left_half: bool = False
    longest: int = 0

    @property
    def edits(self) -> bool:
        """Whether images are stored anew instead of as they are."""
        return bool(self.depth or self.crop or self.left_half or self.longest)


@dataclass(frozen=True)
class Card:
    """One source of images.

    What: `kind` is "clean" (images to degrade) or "pairs" (folders input/ and target/), `split` "train", "test" or
    "calibration" (neither: what a degradation is made like), `count` the number of images or pairs, `size` WIDTHxHEIGHT,
    upright or lying, if all have it, and `protocol` the name of the measurement protocol (qdr/metrics/protocol.py) that the
    field reports on it.

    Terms: `terms` is "free" or "non-commercial"; the latter must be accepted before a download. `forbids` says what the
    licence forbids.

    Whence: `origin` is "wheels" (files inside installed packages), "folder" (below the folder that the environment
    variable QDR_DATA names), "archive" (data/downloads/<archive>, downloaded or placed by hand) or "files" (single
    files). An archive or a folder with a `layout` is arranged by it, another one is taken as it is. `urls` are tried in
    order, the publisher's first; those of "files" are folders. `files` maps names to sha256; `sha256` is that of the
    archive, or of the folder's listing (`qdr.suite.data.records.tree_digest`).
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
    layout: Layout = field(default_factory=Layout)
    sha256: str = ""
    files: dict[str, str] = field(default_factory=dict)

    @property
    def arranged(self) -> bool:
        """Whether a folder is arranged by a layout, so that `sha256` is of the originals and not of data/raw."""
        return self.origin == "folder" and bool(self.layout.input)


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
        check_choice(f"split of source {name}", entry.split, ("train", "test", "calibration"))
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
