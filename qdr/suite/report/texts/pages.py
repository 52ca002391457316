"""Check pages against results/, and write the numbers that moved."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest
from pathlib import Path

from qdr.errors import QdrError
from qdr.files import read_text, replacing
from qdr.suite import paths
from qdr.suite.report.texts.claims import Claim, Page, answers, finder, holds, read_claims
from qdr.suite.report.texts.quantities import Facts

CLAIMS = "docs/claims.yaml"
TABLE = re.compile(r"<!-- table (?P<name>\S+) -->(?P<body>.*?)<!-- /table -->", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:[.,]\d+)*(?!\w|-[a-z])")  # not the 8 of INT8 or of 8-bit
HIDDEN = re.compile(r"`[^`\n]*`|\]\([^)\n]*\)|<!--.*?-->|^```.*?^```", re.DOTALL | re.MULTILINE)
LEAST = 12  # characters of a claim that must match before its place is called found


@dataclass
class Reading:
    """What reading a page against results/ found."""

    edits: list[tuple[int, int, str]] = field(default_factory=list)  # what to write where, so that the page is right
    stale: list[str] = field(default_factory=list)  # a line per edit
    wrong: list[str] = field(default_factory=list)  # what no rewriting mends
    covered: list[tuple[int, int]] = field(default_factory=list)


def stale(profile: str | None = None) -> Iterator[str]:
    """A line per number, table or sentence that is not what results/ gives, of one profile or of all."""
    for _, reading in _readings(profile):
        yield from [*reading.stale, *reading.wrong]


def rewrite(profile: str | None = None) -> tuple[list[str], list[str]]:
    """Write the numbers and tables that moved. Returns a line per edit, and what is left to mend by hand."""
    done, left = [], []
    for path, reading in _readings(profile):
        text = read_text(path)
        for start, end, new in sorted(reading.edits, reverse=True):
            text = text[:start] + new + text[end:]
        if reading.edits:
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        done += reading.stale
        left += reading.wrong
    return done, left


def _readings(profile: str | None) -> Iterator[tuple[Path, Reading]]:
    """Every page that quotes something, read."""
    root = paths.project_root()
    pages = read_claims(root / CLAIMS) if (root / CLAIMS).is_file() else {}
    _facts.cache_clear()
    names = {*pages, *(str(path.relative_to(root)) for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))])}
    for name in sorted(names):
        if not (root / name).is_file():
            if name in pages:
                raise QdrError(f"{CLAIMS}: there is no page {name}")
            continue
        yield root / name, read(name, read_text(root / name), pages.get(name, Page()), profile)


def read(name: str, text: str, page: Page, profile: str | None = None) -> Reading:
    """Compare one page with results/."""
    reading = Reading()
    for found in TABLE.finditer(text):
        _table(name, text, found, reading, profile)
    for owner, claims in page.claims.items():
        for claim in claims if profile in (None, owner) else []:
            _claim(name, text, owner, claim, reading)
    if profile is None:  # coverage is of a whole page
        _unchecked(name, text, page, reading)
        _uncovered(name, text, page, reading)
    return reading


@cache
def _facts(profile: str) -> Facts:
    return Facts(profile)


def _table(name: str, text: str, found: re.Match[str], reading: Reading, profile: str | None) -> None:
    """A generated table between its markers."""
    reading.covered.append(found.span())
    owner, _, rest = found["name"].partition("/")
    path = paths.tables(owner) / f"{rest}.md"
    if profile not in (None, owner):
        return
    if not path.is_file():
        reading.wrong.append(f"{name}, line {_line(text, found.start())}: no table {path.relative_to(paths.project_root())}")
        return
    shown, kept = found["body"].strip("\n"), read_text(path).strip("\n")
    if shown != kept:
        pairs = enumerate(zip_longest(shown.splitlines(), kept.splitlines(), fillvalue=""))
        row, (there, here) = next((row, pair) for row, pair in pairs if pair[0] != pair[1])
        first = found.start("body") + len(found["body"]) - len(found["body"].lstrip("\n"))
        where = f"{name}, line {_line(text, first) + row}"
        reading.stale.append(f"{where}: {there!r} instead of {here!r} of {path.relative_to(paths.project_root())}")
        reading.edits.append((*found.span("body"), f"\n\n{kept}\n\n"))


def _claim(name: str, text: str, profile: str, claim: Claim, reading: Reading) -> None:
    """A sentence: its numbers, and whether what it concludes holds."""
    short = repr(claim.text if len(claim.text) < 60 else claim.text[:57] + "...")
    try:
        wanted = answers(_facts(profile), claim.text)
        verdicts = [(condition, *holds(_facts(profile), condition)) for condition in claim.holds]
    except QdrError as problem:
        reading.wrong.append(f"{CLAIMS}, {short}: {problem}")
        return
    matches = list(finder(claim.text).finditer(text))
    if len(matches) != 1:
        where = f": {len(matches)} places for" if matches else f"{_nearest(text, claim.text)} in"
        remedy = "make it longer" if matches else "make the two agree"
        reading.wrong.append(f"{name}{where} the claim {short} of {CLAIMS}; {remedy}")
        return
    for place, (query, answer) in enumerate(wanted, 1):
        start, end = matches[0].span(place)
        reading.covered.append((start, end))
        if " ".join(text[start:end].split()) != answer:
            line = f"{name}, line {_line(text, start)}: {' '.join(text[start:end].split())!r} where results/{profile} gives"
            reading.stale.append(f"{line} {answer!r} ({query})")
            reading.edits.append((start, end, answer))
    for condition, true, value in verdicts:
        if not true:
            where = f"{name}, line {_line(text, matches[0].start())}: {short}"
            reading.wrong.append(f"{where} does not hold: {condition}, but results/{profile} gives {value}; reword it")


def _nearest(text: str, claim: str) -> str:
    """Where a page begins to say something else than a claim does."""
    tokens = re.findall(r"\{[^{}]*\}|\s+|[^\s{}]+", claim)
    for count in range(len(tokens) - 1, 0, -1):
        begun = "".join(tokens[:count]).rstrip()
        if tokens[count].isspace() or len(begun) < LEAST:
            continue
        found = finder(begun).search(text)
        if found:
            rest = " ".join(text[found.end() : found.end() + 60].split())[:40]
            return f", line {_line(text, found.end())}: {rest!r} where {tokens[count]!r} should be,"
    return ": no such words"


def _unchecked(name: str, text: str, page: Page, reading: Reading) -> None:
    """Words that a page has to have, and whole sections (an entry that is a heading), which need no claim."""
    for reason, listed in page.unchecked.items():
        for words in listed:
            section = _section(text, words) if words.startswith("#") else None
            places = [section] if section else [found.span() for found in finder(words).finditer(text)]
            reading.covered += places
            if not places:
                reading.wrong.append(f"{name}: nothing reads {words!r}, which {CLAIMS} lists as unchecked ({reason})")


def _uncovered(name: str, text: str, page: Page, reading: Reading) -> None:
    """Numbers of the covered sections that nobody vouches for."""
    masked = HIDDEN.sub(lambda found: " " * len(found[0]), text)
    for heading in page.sections:
        section = _section(text, heading)
        if section is None:
            reading.wrong.append(f"{name}: no heading {heading!r}, which {CLAIMS} covers")
            continue
        for found in NUMBER.finditer(masked, *section):
            if not any(first <= found.start() and found.end() <= last for first, last in reading.covered):
                around = " ".join(text[max(0, found.start() - 25) : found.end() + 15].split())
                where = f"{name}, line {_line(text, found.start())}: {found[0]!r} (...{around}...)"
                remedy = "quote it there, or list it as unchecked with the reason"
                reading.wrong.append(f"{where} is in no claim of {CLAIMS}: {remedy}")


def _section(text: str, heading: str) -> tuple[int, int] | None:
    """Where the text below a heading begins and ends: at the next of its level or above, outside blocks of code."""
    start = re.search(rf"^{re.escape(heading)}$", text, re.MULTILINE)
    if start is None:
        return None
    masked = HIDDEN.sub(lambda found: " " * len(found[0]), text)
    level = len(heading) - len(heading.lstrip("#"))
    end = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(masked, start.end())
    return start.end(), end.start() if end else len(text)


def _line(text: str, offset: int) -> int:
    return bisect([found.end() for found in re.finditer("\n", text)], offset) + 1
