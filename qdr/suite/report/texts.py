"""Numbers in prose: README.md and the pages of docs/ quote results/ through docs/claims.yaml.

The pages are plain Markdown without markers in their sentences. docs/claims.yaml lists, page by page, the words that stand
around quoted numbers, with a Jinja expression where each number is:

    "QDR has {{ diff('qdr', 'qat').derain | signed }} dB"

`quantities` lists what an expression may name; its last filter makes the text of the number (`FILTERS`); min, max, sum, map,
round(3, 'ceil') and others are Jinja's own. `qdr report verify` demands that the page says the same, however its lines are
broken; `qdr report texts` writes the numbers that moved into the page. What a sentence concludes cannot be rewritten, so a
claim may also state what has to hold: "ahead('qdr', 'qat') == []". Numbers that do not follow from results/ are listed with
the reason, and a number of a listed section that is neither quoted nor listed is an error: nothing is left out by oversight.

A generated table stands between `<!-- table embedded/quality/summary -->` and `<!-- /table -->`, the only markers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError, Undefined
from jinja2.sandbox import SandboxedEnvironment

from qdr.errors import QdrError
from qdr.files import read_text, replacing
from qdr.suite import paths
from qdr.suite.report.quantities import quantities
from qdr.suite.strict import build, read_yaml

CLAIMS = "docs/claims.yaml"
TABLE = re.compile(r"<!-- table (?P<name>\S+) -->(?P<body>.*?)<!-- /table -->", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:[.,]\d+)*(?!\w|-[a-z])")  # not the 8 of INT8 or of 8-bit
HIDDEN = re.compile(r"`[^`\n]*`|\]\([^)\n]*\)|<!--.*?-->|^```.*?^```", re.DOTALL | re.MULTILINE)
EXPRESSION = re.compile(r"\{\{(.+?)\}\}", re.DOTALL)
QUOTED = r"[+\-]?\d+(?:\.\d+)?(?:\s+n\.s\.)?"
OPERATORS = re.compile(r" (?:[<>]=?|[!=]=|(?:not )?in|and|or) ")
LEAST = 12  # characters of a claim that must match before its place is called found


def like(named: Mapping[str, Any], *patterns: str, without: str = "") -> list[Any]:
    """The values whose names fit one of some patterns.

    >>> like({"qat": 1, "qat/W4A4": 2, "qdr/W4A4/6": 3}, "*/W4A4*")
    [2, 3]
    """
    fits = (name for name in named if name != without and any(fnmatchcase(name, pattern) for pattern in patterns))
    return [named[name] for name in fits]


FILTERS: dict[str, Callable[..., Any]] = {
    "fixed": lambda value, digits=2: f"{value:.{digits}f}",
    "signed": lambda value, digits=2: f"{value:+.{digits}f}",
    "tested": lambda value, digits=2: f"{value:+.{digits}f}" + ("" if value.significant else " n.s."),
    "percent": lambda value, digits=0: f"{100 * value:.{digits}f}",
    "like": like,
}
ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined)
ENVIRONMENT.filters |= FILTERS


def evaluate(source: str, given: Mapping[str, Any]) -> Any:
    """The value of an expression.

    >>> evaluate("gain.derain.fp32 | fixed(1)", {"gain": {"derain": {"fp32": 7.52}}})
    '7.5'
    """
    try:
        found = ENVIRONMENT.compile_expression(source, undefined_to_none=False)(**given)
        return str(found) if isinstance(found, Undefined) else found  # which raises what it lacks
    except (TemplateError, TypeError, ValueError, AttributeError, ArithmeticError) as problem:
        raise QdrError(f"{' '.join(source.split())!r}: {problem}") from problem


def finder(text: str) -> re.Pattern[str]:
    """The pattern of a claim: its words however lines are broken, a group per expression.

    >>> finder("gains {{ gain.derain.fp32 | fixed(1) }} dB").search("it gains\\n  7.6 dB").group(1)
    '7.6'
    """
    words = (r"\s+".join(map(re.escape, re.split(r"\s+", piece))) for piece in EXPRESSION.split(text)[::2])
    return re.compile(f"({QUOTED})".join(words))


@dataclass(frozen=True)
class Claim:
    """Words with expressions that a page must contain, once, and conditions without which they are not true.

    `let` gives short names to expressions. With `each` the claim is made for every entry, whose two words replace LABEL
    and KEY.
    """

    text: str
    holds: list[str] = field(default_factory=list)
    let: dict[str, str] = field(default_factory=dict)
    each: dict[str, str] = field(default_factory=dict)

    def all(self) -> list[Claim]:
        """The claims that `each` makes of this one."""
        made = (self.text.replace("LABEL", label).replace("KEY", key) for label, key in self.each.items())
        return [replace(self, text=text, each={}) for text in made] if self.each else [self]


@dataclass(frozen=True)
class Page:
    """What one page quotes.

    Args:
        sections: headings; every number below them has to be quoted, listed, or in a generated table.
        claims: by profile.
        unchecked: by reason, the words around numbers that do not follow from results/.
    """

    sections: list[str] = field(default_factory=list)
    claims: dict[str, list[Claim]] = field(default_factory=dict)
    unchecked: dict[str, list[str]] = field(default_factory=dict)


def read_claims(path: Path) -> dict[str, Page]:
    """Pages by name, relative to the project."""
    data = read_yaml(path) or {}
    if not isinstance(data, dict):
        raise QdrError(f"{path} must be a mapping of pages")
    try:
        return {str(name): build(Page, entry, str(name)) for name, entry in data.items()}
    except QdrError as problem:
        raise QdrError(f"{path.name}: {problem}") from problem


def stale(profile: str | None = None) -> Iterator[str]:
    """A line per number, table or sentence that is not what results/ gives, of one profile or of all."""
    for _, reading in _readings(profile):
        yield from [*reading.stale, *reading.wrong]


def rewrite(profile: str | None = None) -> tuple[list[str], list[str]]:
    """Write the numbers and tables that moved. Returns a line per edit, and what is left to mend by hand."""
    done, left = [], []
    for path, reading in _readings(profile):
        text = reading.text
        for start, end, new in sorted(reading.edits, reverse=True):
            text = text[:start] + new + text[end:]
        if reading.edits:
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        done += reading.stale
        left += reading.wrong
    return done, left


def _readings(profile: str | None) -> Iterator[tuple[Path, Reading]]:
    """Every page that quotes something, compared with results/."""
    root, given = paths.project_root(), cache(quantities)
    pages = read_claims(root / CLAIMS) if (root / CLAIMS).is_file() else {}
    names = {*pages, *(str(path.relative_to(root)) for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))])}
    for name in sorted(names):
        if not (root / name).is_file():
            if name in pages:
                raise QdrError(f"{CLAIMS}: there is no page {name}")
            continue
        reading, page = Reading(name, read_text(root / name)), pages.get(name, Page())
        for found in TABLE.finditer(reading.text):
            reading.table(found, profile)
        for owner, claims in page.claims.items():
            for claim in chain.from_iterable(listed.all() for listed in claims if profile in (None, owner)):
                reading.claim(owner, claim, given)
        if profile is None:  # coverage is of a whole page
            reading.coverage(page)
        yield root / name, reading


@dataclass
class Reading:
    """A page, and what comparing it with results/ found: `edits` make it right, what is `wrong` no rewriting mends."""

    name: str
    text: str
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)  # a line per edit
    wrong: list[str] = field(default_factory=list)
    covered: list[tuple[int, int]] = field(default_factory=list)  # where numbers are quoted or listed

    def at(self, offset: int) -> str:
        """The page and the line of an offset."""
        return f"{self.name}, line {self.text.count(chr(10), 0, offset) + 1}"

    def table(self, found: re.Match[str], profile: str | None) -> None:
        """A generated table between its markers."""
        self.covered.append(found.span())
        owner, _, rest = found["name"].partition("/")
        path = paths.tables(owner) / f"{rest}.md"
        if profile not in (None, owner):
            return
        if not path.is_file():
            self.wrong.append(f"{self.at(found.start())}: no table {path.relative_to(paths.project_root())}")
            return
        shown, kept = found["body"].strip("\n"), read_text(path).strip("\n")
        if shown != kept:
            pairs = enumerate(zip_longest(shown.split("\n"), kept.split("\n"), fillvalue=""))
            row, (there, here) = next((row, pair) for row, pair in pairs if pair[0] != pair[1])
            first = self.text.index(shown, found.start("body"))
            where = self.at(first + sum(len(line) + 1 for line in shown.split("\n")[:row]))
            self.stale.append(f"{where}: {there!r} instead of {here!r} of {path.relative_to(paths.project_root())}")
            self.edits.append((*found.span("body"), f"\n\n{kept}\n\n"))

    def claim(self, profile: str, claim: Claim, quantities: Callable[[str], Mapping[str, Any]]) -> None:
        """A sentence: its numbers, and whether what it concludes holds."""
        short, gives = repr(claim.text if len(claim.text) < 60 else claim.text[:57] + "..."), f"results/{profile} gives"
        try:
            given = dict(quantities(profile))
            given |= {name: evaluate(source, given) for name, source in claim.let.items()}
            numbers = [(source.strip(), evaluate(source, given)) for source in EXPRESSION.findall(claim.text)]
            failed = [condition for condition in claim.holds if not evaluate(condition, given)]
            for source, value in numbers:
                if not isinstance(value, str | int) or not re.fullmatch(QUOTED, str(value)):
                    raise QdrError(f"{source!r} is {value}, not the text of a number: add | fixed")
        except QdrError as problem:
            self.wrong.append(f"{CLAIMS}, {short}: {problem}")
            return
        matches = list(finder(claim.text).finditer(self.text))
        if len(matches) != 1:
            where = f": {len(matches)} places for" if matches else f"{self._nearest(claim.text)} in"
            remedy = "make it longer" if matches else "make the two agree"
            self.wrong.append(f"{self.name}{where} the claim {short} of {CLAIMS}; {remedy}")
            return
        for place, (source, value) in enumerate(numbers, 1):
            start, end = matches[0].span(place)
            self.covered.append((start, end))
            if (shown := " ".join(self.text[start:end].split())) != str(value):
                self.stale.append(f"{self.at(start)}: {shown!r} where {gives} {value!r} ({source})")
                self.edits.append((start, end, str(value)))
        for condition in failed:
            parts = [part for part in OPERATORS.split(condition) if re.search(r"[a-z]\w*(?:[.[(]| \|)", part)]
            found = ", ".join(str(evaluate(part, given)) for part in parts)
            where = f"{self.at(matches[0].start())}: {short} does not hold"
            self.wrong.append(f"{where}: {condition}, but {gives} {found}; reword it")

    def _nearest(self, claim: str) -> str:
        """Where the page begins to say something else than a claim does."""
        words = list(re.finditer(r"\{\{.+?\}\}|[^\s{}]+", claim, re.DOTALL))
        for word, following in reversed(list(pairwise(words))):
            found = finder(claim[: word.end()]).search(self.text)
            if found and word.end() >= LEAST:
                rest = " ".join(self.text[found.end() : found.end() + 60].split())[:40]
                line = self.at(found.end()).removeprefix(self.name)
                return f"{line}: {rest!r} where {following[0]!r} should be,"
        return ": no such words"

    def coverage(self, page: Page) -> None:
        """Numbers of the page's sections that no claim quotes and no list names."""
        for reason, listed in page.unchecked.items():
            for words in listed:
                places = [found.span() for found in finder(words).finditer(self.text)]
                self.covered += places
                if not places:
                    self.wrong.append(f"{self.name}: nothing reads {words!r}, which {CLAIMS} lists as unchecked ({reason})")
        visible = HIDDEN.sub(lambda found: " " * len(found[0]), self.text)
        for heading in page.sections:
            start = re.search(rf"^{re.escape(heading)}$", self.text, re.MULTILINE)
            if start is None:
                self.wrong.append(f"{self.name}: no heading {heading!r}, which {CLAIMS} covers")
                continue
            next_one = re.compile(rf"^#{{1,{len(heading) - len(heading.lstrip('#'))}}} ", re.MULTILINE)
            end = next_one.search(visible, start.end())
            for found in NUMBER.finditer(visible, start.end(), end.start() if end else len(visible)):
                if not any(first <= found.start() and found.end() <= last for first, last in self.covered):
                    around = " ".join(self.text[max(0, found.start() - 25) : found.end() + 15].split())
                    where = f"{self.at(found.start())}: {found[0]!r} (...{around}...)"
                    remedy = "quote it there, or list it as unchecked with the reason"
                    self.wrong.append(f"{where} is in no claim of {CLAIMS}: {remedy}")
