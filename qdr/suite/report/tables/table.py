"""One table, written three times: LaTeX (booktabs), Markdown and CSV.

Cells are plain text; a cell marked `Bold` is set in bold where the format has it. Captions and notes go to LaTeX and
Markdown; CSV holds the cells alone.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from qdr.files import replacing


class Bold(str):
    """A cell whose difference is significant."""


RULE: list[str] = []  # a row that draws a line between groups


@dataclass(frozen=True)
class Table:
    """Header and rows of equal length; a row equal to `RULE` separates groups."""

    name: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write <name>.tex, .md and .csv."""
        for suffix, text in (("tex", self.tex()), ("md", self.markdown()), ("csv", self.csv())):
            with replacing(folder / f"{self.name}.{suffix}") as temporary:
                temporary.write_text(text, encoding="utf-8")

    def tex(self) -> str:
        """A table environment; needs the package booktabs."""
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_tex(self.caption)}}}", rf"\label{{tab:{self.name}}}"]
        lines += [rf"\begin{{tabular}}{{{'l' * len(self.header)}}}", r"\toprule"]
        lines += [" & ".join(_tex(cell) for cell in self.header) + r" \\", r"\midrule"]
        for row in self.rows:
            cells = (rf"\textbf{{{_tex(cell)}}}" if isinstance(cell, Bold) else _tex(cell) for cell in row)
            lines.append(" & ".join(cells) + r" \\" if row else r"\midrule")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\par\footnotesize {_tex(note)}" for note in self.notes]
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


def _pipe(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _tex(text: str) -> str:
    for plain, escaped in (("\\", r"\textbackslash "), ("%", r"\%"), ("_", r"\_"), ("&", r"\&"), ("#", r"\#"), ("—", "---")):
        text = text.replace(plain, escaped)
    return text.replace("Δ", r"$\Delta$").replace("≤", r"$\le$").replace("×", r"$\times$").replace("−", "$-$")
