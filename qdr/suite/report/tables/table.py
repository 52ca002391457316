"""One table, written three times: LaTeX (booktabs), Markdown and CSV.

Cells are plain text; a cell marked `Bold` is set in bold where the format has it. Captions and notes go to LaTeX and
Markdown; CSV holds the cells alone. LaTeX prints at most eight columns: `parts` names those of each printed table.

Numbers of a LaTeX column are aligned on the decimal point by two columns, `r@{.}l`, which needs no package and keeps what
stands behind a number (an interval, a unit, "n.s.") in its cell.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from qdr.files import replacing
from qdr.suite.evaluate.stats import Bootstrap, Interval

BLANK = "—"
RULE: list[str] = []  # a row that draws a line between groups
_NUMBER = re.compile(r"([+-]?\d+)(?:\.(\d+(?:e[+-]?\d+)?))?((?:[ ×]|$).*)")
_ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "%_&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "—": "---", "<": "$<$", ">": "$>$"}
    | {"Δ": r"$\Delta$", "≤": r"$\le$", "×": r"$\times$", "−": "$-$", "±": r"$\pm$", "²": "$^2$", "°": r"$^\circ$"}
    | {"µ": r"$\mu$"}
)


class Bold(str):
    """A cell whose difference is significant."""


class Note(str):
    """A line below a table that explains some of its columns: printed where one of them is."""

    columns: tuple[str, ...]

    def __new__(cls, text: str, *columns: str) -> Note:
        made = super().__new__(cls, text)
        made.columns = columns
        return made


@dataclass(frozen=True)
class Table:
    """Header and rows of equal length.

    Args:
        name: of its files.
        caption: what the rows are, in how many images, how intervals were taken.
        header: names of the columns.
        rows: cells; a row equal to `RULE` separates groups.
        notes: lines below the table; a `Note` belongs to columns.
        parts: what LaTeX prints where not all columns in one table: columns by the end of the label, "" for none.
    """

    name: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    parts: dict[str, list[str]] = field(default_factory=dict)

    def write(self, folder: Path, profile: str) -> None:
        """Write <name>.tex, .md and .csv; LaTeX labels are tab:<profile>-<name>."""
        for suffix, text in (("tex", self.tex(f"{profile}-")), ("md", self.markdown()), ("csv", self.csv())):
            with replacing(folder / f"{self.name}.{suffix}") as temporary:
                temporary.write_text(text, encoding="utf-8")

    def tex(self, prefix: str = "") -> str:
        """A table environment for each part; needs the package booktabs."""
        parts = self.parts or {"": self.header}
        return "\n".join(self._environment(f"{prefix}{self.name}", part, parts[part]) for part in parts)

    def _environment(self, label: str, part: str, columns: list[str]) -> str:
        places = [self.header.index(name) for name in columns]
        kinds = [_alignment([row[place] for row in self.rows if row]) for place in places]
        caption, label = (f"{self.caption[:-1]}; {part}.", f"{label}-{part}") if part else (self.caption, label)
        names = (_heading(name, kind) for name, kind in zip(columns, kinds, strict=True))
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_tex(caption)}}}", rf"\label{{tab:{label}}}"]
        lines += [rf"\begin{{tabular}}{{{''.join(kinds)}}}", r"\toprule", " & ".join(names) + r" \\", r"\midrule"]
        for row in self.rows:
            cells = (_cell(row[place], kind) for place, kind in zip(places, kinds, strict=True) if row)
            lines.append(" & ".join(cells) + r" \\" if row else r"\midrule")
        notes = (note for note in self.notes if not isinstance(note, Note) or set(note.columns) & set(columns))
        lines += [r"\bottomrule", r"\end{tabular}", *(rf"\par\footnotesize {_tex(note)}" for note in notes)]
        return "\n".join([*lines, r"\end{table}", ""])

    def markdown(self) -> str:
        """A pipe table under its caption."""
        lines = [f"**{self.caption}**", "", _pipe(self.header), _pipe(["---"] * len(self.header))]
        lines += [_pipe([f"**{cell}**" if isinstance(cell, Bold) else cell for cell in row]) for row in self.rows if row]
        for note in self.notes:
            lines += ["", note]
        return "\n".join([*lines, ""])

    def csv(self) -> str:
        """Header and cells."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.header, *(row for row in self.rows if row)])
        return text.getvalue()


def show(interval: Interval, digits: int, sign: bool = False) -> str:
    """Text of an interval.

    >>> show(Interval(0.5, 0.25, 0.75), 2, sign=True)
    '+0.50 [+0.25, +0.75]'
    """
    plus = "+" if sign else ""
    a, b, c = (f"{value:{plus}.{digits}f}" for value in (interval.estimate, interval.low, interval.high))
    return f"{a} [{b}, {c}]"


def difference(interval: Interval, digits: int) -> str:
    """Text of a difference: signed, its interval, and "n.s." where that includes zero.

    >>> difference(Interval(0.5, -0.25, 0.75), 2)
    '+0.50 [-0.25, +0.75] n.s.'
    """
    return show(interval, digits, sign=True) + ("" if interval.significant else " n.s.")


def brackets(stats: Bootstrap, resamples: int | None = None) -> str:
    """What captions say of intervals."""
    interval = f"{100 * stats.confidence:.0f} % paired bootstrap interval over images"
    return f"brackets: {interval} ({resamples or stats.resamples} resamples)"


def _pipe(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _alignment(cells: list[str]) -> str:
    """LaTeX's letters for a column: on the decimal point if all its cells are numbers, else on the left.

    >>> _alignment(["2.50×", "—"]), _alignment(["12", "7"]), _alignment(["50 (40 to 60)"]), _alignment(["all", "2"])
    ('r@{.}l', 'r', 'r@{ }l', 'l')
    """
    found = [_NUMBER.fullmatch(cell) for cell in cells if cell not in ("", BLANK)]
    numbers = [match for match in found if match]
    if not numbers or len(numbers) < len(found):
        return "l"
    if any(match[2] for match in numbers):
        return "r@{.}l"
    return "r@{ }l" if any(match[3] for match in numbers) else "r"


def _heading(name: str, kind: str) -> str:
    return rf"\multicolumn{{2}}{{c}}{{{_tex(name)}}}" if "@" in kind else _tex(name)


def _cell(cell: str, kind: str) -> str:
    bold = r"\textbf{%s}" if isinstance(cell, Bold) else "%s"
    found = _NUMBER.fullmatch(cell)
    if "@" not in kind or found is None:
        text = _tex(cell) if kind == "l" else _signs(cell)
        return rf"\multicolumn{{2}}{{c}}{{{text}}}" if "@" in kind else bold % text
    whole, decimals, rest = _signs(found[1]), found[2], _signs(found[3])
    if kind == "r@{ }l":
        return f"{bold % whole} & {rest.strip()}"
    if decimals is None:  # without a point
        return rf"\multicolumn{{1}}{{r@{{\phantom{{.}}}}}}{{{bold % whole}}} & {rest.strip()}"
    return f"{bold % whole} & {bold % decimals}{rest}"


def _signs(text: str) -> str:
    """A number's hyphen is a minus."""
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", _tex(text))


def _tex(text: str) -> str:
    """Text for LaTeX; what stands between backquotes is set as code."""
    return re.sub(r"`([^`]+)`", r"\\texttt{\1}", text.translate(_ESCAPES))
