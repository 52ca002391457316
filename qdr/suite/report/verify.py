"""Does the paper follow from the results? Every table and figure made anew and compared with the committed one.

For each profile that has a folder in results/, tables and figures are written to a temporary folder from its CSV alone
and compared with paper_tables/ and figures/, byte for byte: a file that differs, is missing, or that nothing makes any
more is stale. The README's tables are compared with those of paper_tables/. What is checked is the working tree.

Figures are exact only with the libraries that drew them, so they are compared where the versions in provenance.json are
the installed ones, and otherwise left out, with the reason. Tables hold text and must agree everywhere.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path

from qdr.errors import QdrError, check_choice
from qdr.rows import read_json
from qdr.suite import config, paths
from qdr.suite.report import figures, metrics, tables, texts
from qdr.suite.report.results import Results

DRAWN_WITH = ("matplotlib", "numpy", "pandas", "scipy")
PICTURES = (".png", ".pdf")


def verify(profile: str | None = None) -> None:
    """Print a line per stale file of one profile or of all, or what was compared if there is none.

    Raises:
        QdrError: when a file is stale.
    """
    folders = (path for path in (paths.project_root() / "results").iterdir() if path.is_dir())
    present = sorted(path.name for path in folders if (paths.project_root() / "profiles" / f"{path.name}.yaml").is_file())
    chosen = [check_choice("profile", profile, present)] if profile else present
    parts: list[tuple[str, Callable[[], Iterable[str]]]] = [(name, partial(stale, name)) for name in chosen]
    parts.append(("pages", partial(texts.stale, profile)))
    count = 0
    for number, (name, part) in enumerate(parts, 1):
        print(f"{name} ({number} of {len(parts)}) ...", file=sys.stderr, flush=True)
        for line in part():
            print(line)
            count += 1
    if count:
        what = f"{count} place{'s' if count > 1 else ''} where paper and results/ disagree"
        raise QdrError(f"{what}: `make report` makes tables and figures anew, `qdr report texts` writes numbers into pages")
    print(f"{', '.join(chosen)}: what was compared is what results/ gives")


def stale(profile: str) -> Iterator[str]:
    """A line per file that is not what a profile's results give."""
    if measured(profile):
        yield from stale_tables(profile)
        yield from stale_metrics(profile)
    other = other_versions(profile)
    if other:
        print(f"{profile}: figures not compared, drawn with {other}; `pip install -c constraints.txt` gives those versions")
    else:
        yield from stale_figures(profile)


def measured(profile: str) -> bool:
    """Whether a profile has results; of one that was only planned (`qdr plan`) there are step times alone."""
    return (paths.results(profile) / "quality.csv").is_file()


def stale_tables(profile: str) -> list[str]:
    """A line per stale file in paper_tables/<profile>."""
    results = Results(config.load(config.profile_path(profile)), paths.results(profile))
    with tempfile.TemporaryDirectory() as folder:
        tables.write_quality(results, Path(folder))
        tables.write_speed(results, Path(folder))
        return list(_compare(Path(folder), paths.tables(profile), profile, "tables"))


def stale_figures(profile: str) -> list[str]:
    """A line per stale file in figures/<profile>."""
    settings = config.load(config.profile_path(profile))
    results = Results(settings, paths.results(profile))
    with tempfile.TemporaryDirectory() as folder:
        if measured(profile):
            figures.write_quality(results, Path(folder))
            figures.write_speed(results, Path(folder))
        if results.has("steps.csv"):
            figures.write_plan(settings, Path(folder))
        return list(_compare(Path(folder), paths.figures(profile), profile, "figures"))


def stale_metrics(profile: str) -> list[str]:
    """A line per file of `dvc metrics` that is not what a profile's results give."""
    results = paths.results(profile)
    with tempfile.TemporaryDirectory() as folder:
        metrics.write_quality(results, Path(folder))
        metrics.write_speed(results, Path(folder))
        made = sorted(Path(folder).iterdir())
        anew = f"run `qdr report tables --profile {profile}` and `qdr report speed --profile {profile}`"
        kept = [(path.name, results / path.name) for path in made]
        old = [name for name, path in kept if not path.is_file() or path.read_bytes() != (Path(folder) / name).read_bytes()]
        return [f"results/{profile}/{name}: not the metrics of its results; {anew}" for name in old]


def other_versions(profile: str) -> str:
    """The libraries that a profile's figures were drawn with, where others are installed; empty if none differs."""
    record = "provenance.json" if measured(profile) else "steps.json"
    recorded = read_json(paths.results(profile) / record, versions=dict)["versions"]
    pairs = [(name, recorded.get(name), version(name)) for name in DRAWN_WITH]
    return ", ".join(f"{name} {then} (here {now})" for name, then, now in pairs if then != now)


def _compare(made: Path, kept: Path, profile: str, kind: str) -> Iterator[str]:
    """A line per file below two folders that is not the same in both."""
    active = config.load().profile == profile
    names = {path.relative_to(folder) for folder in (made, kept) for path in folder.rglob("*") if path.is_file()}
    for name in sorted(names):
        where = (kept / name).relative_to(paths.project_root())
        verb = "speed" if name.parts[0] == "speed" else kind
        anew = "run `make report`" if active else f"run `qdr report {verb} --profile {profile}`"
        anew = f"run `qdr plan --profile {profile}`" if name.parts[0] == "plan" else anew
        if not (made / name).is_file():
            yield f"{where}: nothing makes it any more; delete it"
        elif not (kept / name).is_file():
            yield f"{where}: missing; {anew}"
        elif (made / name).read_bytes() != (kept / name).read_bytes():
            yield f"{where}{_what(made / name, kept / name)}; {anew}"


def _what(made: Path, kept: Path) -> str:
    """Where two files differ: in which line, if they are text."""
    if kept.suffix in PICTURES:
        return ": not the figure that results/ gives"
    new, old = (path.read_text(encoding="utf-8", errors="replace").splitlines() for path in (made, kept))
    found = _first_difference(old, new)
    return f", line {found[0]}: {found[1]!r} instead of {found[2]!r}" if found else ": other line ends"


def _first_difference(old: list[str], new: list[str]) -> tuple[int, str, str] | None:
    """Number, from 1, and both texts of the first line that differs.

    >>> _first_difference(["a", "b"], ["a", "c", "d"])
    (2, 'b', 'c')
    """
    for place, (there, here) in enumerate(zip_longest(old, new, fillvalue=""), 1):
        if there != here:
            return place, there, here
    return None
