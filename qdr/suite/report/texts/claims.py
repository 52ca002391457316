"""docs/claims.yaml: the sentences that quote numbers, and the pattern that finds each in its page.

A placeholder is `{QUERY:FORMAT}`. FORMAT is a Python format of a number, then words: `percent` (times 100), `smallest`,
`largest` or `mean` (of several values), `interval` (with its brackets), `low` or `high` (one end of it), `ns` (followed by
"n.s." where the interval includes zero), `up` (round away from zero, for bounds), `abs`.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass, field
from typing import Any

from qdr.errors import QdrError, check_choice
from qdr.suite.evaluate.stats import Interval
from qdr.suite.report.texts.quantities import Facts, ask
from qdr.suite.strict import build, read_yaml

NUMBER = r"[+\-]?\d+(?:\.\d+)?"
PLACEHOLDER = re.compile(r"\{([^{}:]+):([^{}]+)\}")
REDUCE = ("smallest", "largest", "mean")
WORDS = ("percent", *REDUCE, "interval", "low", "high", "ns", "up", "abs")
COMPARE = {"==": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


@dataclass(frozen=True)
class Claim:
    """Words with placeholders that a page must contain, once; and conditions without which they are not true."""

    text: str
    holds: list[str] = field(default_factory=list)


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


def read_claims(path: Any) -> dict[str, Page]:
    """Pages by name, relative to the project; a claim without conditions may be written as its text alone."""
    data = read_yaml(path) or {}
    if not isinstance(data, dict):
        raise QdrError(f"{path} must be a mapping of pages")
    try:
        return {str(name): build(Page, _plain(entry), str(name)) for name, entry in data.items()}
    except QdrError as problem:
        raise QdrError(f"{path.name}: {problem}") from problem


def _plain(entry: Any) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get("claims", {}), dict):
        return entry
    claims = {
        profile: [{"text": claim} if isinstance(claim, str) else claim for claim in listed]
        for profile, listed in entry.get("claims", {}).items()
        if isinstance(listed, list)
    }
    return entry | {"claims": entry.get("claims", {}) | claims}


def finder(text: str) -> re.Pattern[str]:
    """The pattern of a claim: its words however lines are broken, a group per placeholder.

    >>> finder("gains {gain derain fp32:.1f} dB").search("it gains\\n  7.6 dB").group(1)
    '7.6'
    """
    pieces = PLACEHOLDER.split(text)
    pattern = ""
    for place, piece in enumerate(pieces):
        if place % 3 == 0:
            pattern += r"\s+".join(re.escape(word) for word in re.split(r"\s+", piece))
        elif place % 3 == 2:
            words = piece.split()
            pattern += "(" + NUMBER + (rf"\s+\[{NUMBER},\s+{NUMBER}\]" if "interval" in words else "")
            pattern += (r"(?:\s+n\.s\.)?" if "ns" in words else "") + ")"
    return re.compile(pattern)


def answers(facts: Facts, text: str) -> list[tuple[str, str]]:
    """Query and rendered answer of each placeholder of a claim."""
    return [(query, render(ask(facts, query), style, query)) for query, style in PLACEHOLDER.findall(text)]


def render(values: list[Interval], style: str, query: str = "") -> str:
    """The text of an answer.

    >>> render([Interval(0.25, -0.125, 0.5)], "+.2f interval ns")
    '+0.25 [-0.12, +0.50] n.s.'
    >>> render([Interval(0.9931, 0, 0), Interval(1.0204, 0, 0)], ".0f percent smallest")
    '99'
    >>> render([Interval(0.00112, 0, 0)], ".3f up")
    '0.002'
    """
    spec, *words = style.split()
    for word in words:
        check_choice("word of a format", word, WORDS)
    reducer = next((word for word in words if word in REDUCE), "")
    if len(values) > 1 and not reducer:
        raise QdrError(f"{query!r} gives {len(values)} values: add smallest, largest or mean")
    shown = [_transformed(value, words, spec) for value in values]
    if reducer == "mean":
        return format(sum(shown) / len(shown), spec)
    number = min(shown) if reducer == "smallest" else max(shown)
    found = values[shown.index(number)]
    text = format(number, spec)
    if "interval" in words:
        text += f" [{format(found.low, spec)}, {format(found.high, spec)}]"
    return text + (" n.s." if "ns" in words and not found.significant else "")


def _transformed(value: Interval, words: list[str], spec: str) -> float:
    """The number of an answer that a format asks for."""
    number = value.low if "low" in words else value.high if "high" in words else value.estimate
    number = 100 * number if "percent" in words else number
    number = abs(number) if "abs" in words else number
    return _up(number, spec) if "up" in words else number


def holds(facts: Facts, condition: str) -> tuple[bool, str]:
    """Whether a condition, "QUERY [smallest|largest|mean] OPERATOR NUMBER", is true, and what the query gives."""
    found = re.fullmatch(rf"(.+?)\s+(==|!=|<=|>=|<|>)\s+({NUMBER})", condition.strip())
    if not found:
        raise QdrError(f"condition {condition!r} is not 'QUERY OPERATOR NUMBER'")
    query, sign, bound = found.groups()
    words = query.split()
    reducer = words.pop() if words[-1] in REDUCE else ""
    value = float(render(ask(facts, " ".join(words)), f".6g {reducer}", query))
    return bool(COMPARE[sign](value, float(bound))), f"{value:g}"


def _up(value: float, spec: str) -> float:
    digits = int(found[1]) if (found := re.search(r"\.(\d+)", spec)) else 0
    return math.copysign(math.ceil(abs(value) * 10**digits - 1e-9) / 10**digits, value) if math.isfinite(value) else value
