"""Is it slower than it was? Ratios of this run against the committed ones, benchmarks/baseline.json.

A check is a ratio: its processor time over that of a reference in the same run. The file holds for every check its
`threshold` (by how much the ratio may grow, from the spread of reruns: benchmarks/README.md) and where there is one its
`goal` (a ceiling that holds on every machine), and under `classes` the ratios of each kind of processor, because
VNNI, bf16 and AMX change them: what was measured on one kind says nothing about another.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from qdr.errors import QdrError, nearest
from qdr.files import replacing
from qdr.machine import processor
from qdr.rows import read_json
from qdr.suite.strict import build

COLUMNS = ("Check", "ms", "× reference", "Spread", "Baseline", "Change", "Threshold", "Goal", "Verdict")


@dataclass(frozen=True)
class Rule:
    """What a check may do: grow by `threshold` (0.1 is 10 %), and never exceed `goal`."""

    threshold: float
    goal: float = float("inf")


@dataclass(frozen=True)
class Measured:
    """A check in this run: median ratio, interquartile range of the ratios of its rounds over it, and its median time."""

    name: str
    ratio: float
    spread: float
    milliseconds: float


@dataclass(frozen=True)
class Verdict:
    """A check against its rule and its baseline; `base` is None where this kind of processor has none."""

    measured: Measured
    rule: Rule
    base: float | None
    known: bool  # whether this kind of processor has a baseline at all

    @property
    def change(self) -> float | None:
        """Growth of the ratio: 0.2 is a fifth slower."""
        return None if self.base is None else self.measured.ratio / self.base - 1

    @property
    def word(self) -> str:
        """slower, above the goal, no baseline, new, faster or ok."""
        if self.change is not None and self.change > self.rule.threshold:
            return "slower"
        if self.measured.ratio > self.rule.goal:
            return "above the goal"
        if self.change is None:
            return "new" if self.known else "no baseline"
        return "faster" if self.change < -self.rule.threshold else "ok"

    @property
    def failed(self) -> bool:
        """Whether the run must fail; a new check of a known processor and a faster one do not make it fail."""
        return self.word in ("slower", "above the goal", "no baseline")

    def line(self) -> str:
        """The verdict in a sentence."""
        name, change, rule = self.measured.name, self.change, self.rule
        if change is not None and change > rule.threshold:
            return f"{name}: {100 * change:.1f} % slower than the baseline, allowed are {100 * rule.threshold:.0f} %"
        if self.measured.ratio > rule.goal:
            return f"{name}: {self.measured.ratio:.2f} times the reference, the goal is at most {rule.goal:g}"
        return f"{name}: {self.word}"

    def cells(self) -> list[str]:
        """The row of the table."""
        seen, rule = self.measured, self.rule
        return [
            seen.name,
            f"{seen.milliseconds:.2f}",
            f"{seen.ratio:.3f}",
            f"{100 * seen.spread:.1f} %",
            "—" if self.base is None else f"{self.base:.3f}",
            "—" if self.change is None else f"{100 * self.change:+.1f} %",
            f"{100 * rule.threshold:.0f} %",
            f"{rule.goal:g}" if rule.goal < float("inf") else "—",
            self.word,
        ]


@dataclass(frozen=True)
class Baseline:
    """benchmarks/baseline.json: rules by check, ratios by kind of processor and check."""

    checks: dict[str, Rule]
    classes: dict[str, dict[str, float]]

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read the file strictly: an unknown key or a ratio of a check without a rule is an error."""
        try:
            found = build(cls, read_json(path))
        except QdrError as error:
            raise QdrError(f"{path.name}: {error}") from error
        for kind, ratios in found.classes.items():
            for name in ratios:
                if name not in found.checks:
                    raise QdrError(f"{path.name}: {kind} has {name!r}, no check: {nearest(name, found.checks)}")
        return found

    def write(self, path: Path) -> None:
        """Write the file; checks and classes in order, four digits."""
        checks = {name: {k: v for k, v in asdict(rule).items() if v != float("inf")} for name, rule in self.checks.items()}
        classes: dict[str, Any] = {
            kind: {name: float(f"{ratio:.4g}") for name, ratio in sorted(ratios.items())}
            for kind, ratios in sorted(self.classes.items())
        }
        text = json.dumps({"checks": checks, "classes": classes}, indent=1, ensure_ascii=False)
        with replacing(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def rule(self, name: str) -> Rule:
        """What a check may do."""
        if name not in self.checks:
            raise QdrError(f"check {name!r} has no threshold: add it to `checks` in benchmarks/baseline.json")
        return self.checks[name]

    def judge(self, kind: str, seen: list[Measured]) -> list[Verdict]:
        """Every check against its baseline, the one that got slowest first."""
        ratios = self.classes.get(kind)
        verdicts = [Verdict(m, self.rule(m.name), (ratios or {}).get(m.name), ratios is not None) for m in seen]
        return sorted(verdicts, key=lambda v: (not v.failed, v.change is None, -(v.change or 0)))

    def renewed(self, kind: str, seen: list[Measured]) -> Baseline:
        """The same with this run's ratios for one kind of processor."""
        ratios = self.classes.get(kind, {}) | {measured.name: measured.ratio for measured in seen}
        return Baseline(self.checks, self.classes | {kind: ratios})


def processor_class() -> str:
    """The kind of this processor: its maker and the instructions that change ratios.

    The maker, because two that have AVX-512 need not run it at the same speed.
    """
    about = processor()
    maker = about["cpu"].split("(")[0].split()[:1] or [about["machine"]]
    return " ".join([*maker, *about["cpu_flags"]])


def no_baseline(kind: str, verdicts: list[Verdict]) -> str | None:
    """The remedy where checks have no baseline on this kind of processor."""
    missing = [v.measured.name for v in verdicts if v.base is None]
    if not missing:
        return None
    if verdicts[0].known:
        return f"{len(missing)} new on {kind}: {', '.join(missing)}; `make perf-baseline` records them"
    return f"no baseline for processors of the class {kind!r}: renew it on one that is not in doubt, `make perf-baseline`"


def rich_table(kind: str, verdicts: list[Verdict]) -> Table:
    """The table for a terminal."""
    table = Table(title=f"Processor time over a reference, {kind}", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("Check", "Verdict") else "right", no_wrap=column == "Check")
    for verdict in verdicts:
        table.add_row(*verdict.cells(), style="bold red" if verdict.failed else "green" if verdict.word == "faster" else "")
    return table


def markdown_table(kind: str, verdicts: list[Verdict]) -> str:
    """The same table in Markdown, for a job summary."""
    rows = [list(COLUMNS), ["---"] * len(COLUMNS)]
    for verdict in verdicts:
        *cells, word = verdict.cells()
        rows.append([*cells, f"**{word}**" if verdict.failed else word])
    lines = [f"**Processor time over a reference, {kind}**", "", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join([*lines, "", no_baseline(kind, verdicts) or "", ""])
