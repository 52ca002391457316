"""A card per source of images: what it is, where it comes from, under which terms, and its checksum.

The cards live in data/manifest.json, the out of data.dvc: each fetch stage depends on its own entry, so that a changed
address or checksum fetches that source again and no other. An empty string means that a field does not apply; an archive
without a pinned checksum cannot be fetched.
"""

from __future__ import annotations

from dataclasses import dataclass

from qdr import paths
from qdr.errors import check_choice
from qdr.rows import read_json
from qdr.strict import build


@dataclass(frozen=True)
class Card:
    """One source of images.

    `kind` is "clean" (images to degrade) or "pairs" (folders input/ and target/). `origin` says how it is fetched:
    "wheels" (files inside installed packages, listed with their sha256 in `files`), "folder" (below the folder that the
    environment variable QDR_DATA names) or "archive" (downloaded from `url`, or placed by hand). `sha256` is that of the
    archive, or of the folder's listing (`qdr.data.fetch.tree_digest`); `count` is the number of images or pairs.
    """

    title: str
    kind: str
    origin: str
    homepage: str
    licence: str
    citation: str
    note: str
    count: int
    files: dict[str, str]
    folder: str
    url: str
    sha256: str


def load_cards() -> dict[str, Card]:
    """All cards by name, read strictly."""
    data = read_json(paths.manifest())
    cards = {name: build(Card, entry, f"manifest.{name}") for name, entry in data.items()}
    for name, entry in cards.items():
        check_choice(f"kind of source {name}", entry.kind, ("clean", "pairs"))
        check_choice(f"origin of source {name}", entry.origin, ("wheels", "folder", "archive"))
    return cards


def card(name: str) -> Card:
    """The card of one source."""
    cards = load_cards()
    return cards[check_choice("source", name, cards)]
