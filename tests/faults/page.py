"""docs/faults.md, written from the catalogue: `python -m tests.faults.page`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.faults.catalogue import CATALOGUE
from tests.faults.fault import Fault
from tests.faults.kinds import KINDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
HEAD = """# What can go wrong, and what is said

Each row is injected for real by a test (`tests/faults/`), which fails when another line is said, when a file is changed or
lost that was there before, or when a file is left that should not be. What is said is one line on stderr that begins with
`qdr: error:` and names the file, the value and the remedy; the exit code is 2; `QDR_TRACEBACK=1` shows where it came from.
The column has the part of the line that the test looks for. Written by `python -m tests.faults.page`.

Readers are fuzzed besides (`tests/faults/test_fuzz.py`): valid files with bytes changed, cut off and spliced, and made-up
rows and records. Whatever comes in, a reader returns what it promises or raises that one line.
"""
FOOT = """
## Two pipelines at once

DVC locks what a stage reads and writes (`.dvc/tmp/rwlock`): the second `dvc repro` fails at once with `{busy}`, names the
process that holds the lock, and changes nothing; the first goes on. Run it again when that is done. What a killed process
left in the lock file DVC finds by its number and drops.

## Done in part

A job that restores what it can names the rest and ends with exit code 1 (`tests/restore/`):

| injected | said |
| --- | --- |
| HEIC without its plug-in, GIF, raw files, other videos, no suffix in IN | `passed over: `, each with its remedy |
| a link to a folder or to nothing in IN | `is a link to a folder, which is not followed`, `is a link to nothing` |
| a damaged picture or video among others | `failed: ` with its line; the rest is restored |
| a file of OUT by another model, from another input, or changed | `left as they are: ` with what made it |
| an output that is an input of the same job | `is an input too, which is never overwritten` |
| a video cut in the middle | `holds 13 of its 48 frames` |

SIGTERM, Ctrl-C and SIGKILL leave whole files only, and of a video its whole segments in `OUT.part`, where the same command
goes on.

## Kinds of faults met in use

What was tried as a new user would, with awkward inputs drawn from public reports, and did not hold.

| kind | before | now | test |
| --- | --- | --- | --- |
{kinds}

## Limits

- A picture has at most 178,956,970 pixels (512 MiB as RGB), or QDR_MAX_PIXELS; a text file 64 MiB, YAML 1 MiB; an
  ONNX file 1 GiB; an archive 200 GiB, a million members, a hundred bytes for each byte of it, and 1 MiB of any header.
- A process that is killed (SIGKILL, power) between two writes leaves a hidden folder `.<name>.*` beside what it wrote; it
  may be deleted. A folder is replaced in two steps: killed exactly between them, the old one is in that hidden folder.
- Where a test may not mount a file system, full disks are limits on a file's size and read-only ones are permissions; the
  system then says `File too large` and `Permission denied`.
"""
BUSY = "is busy, it is being blocked by"


def page() -> str:
    """The page."""
    parts = [HEAD]
    for title, faults in CATALOGUE.items():
        rows = ["| injected | to | said | lost |", "| --- | --- | --- | --- |", *map(row, faults)]
        parts.append(f"\n## {title}\n\n" + "\n".join(rows) + "\n")
    return "".join(parts) + FOOT.format(busy=BUSY, kinds="\n".join(map(line, KINDS)))


def row(fault: Fault) -> str:
    """A line of the table."""
    cells = (fault.what, fault.command, f"`{fault.said}`", fault.lost)
    return line(cells)


def line(cells: Sequence[str]) -> str:
    """Cells as a line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
