"""The verbs of results: collected, drawn, written into pages, checked and compared."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from operator import call
from pathlib import Path

from qdr.errors import QdrError
from qdr.verbs.parser import Front, Parser, declare as declare_verb


def declare(front: Front) -> None:
    """Add these verbs."""
    verb = front.group("report")
    verb("collect", _collect, "gather the rows of all tasks in results/", examples="qdr collect")
    report = verb(
        "report",
        _report,
        "draw tables and figures from results/, write its numbers into pages, or check them all",
        examples="qdr report all\n"
        "qdr report figures --profile public\n"
        "qdr report texts     # numbers of README and docs\n"
        "qdr report verify    # exit code 2 where paper and results/ disagree",
    )
    report.add_argument(
        "what",
        choices=["all", "tables", "figures", "speed", "site", "texts", "verify"],
        help="all: tables, figures and page; speed: its tables and figures; site: one web page of all",
    )
    report.add_argument("--profile", help="default: the active one; for texts and verify: all")
    _declare_compare(
        verb(
            "compare",
            _compare,
            "what changed between two sets of results: quality, parity, training, speed",
            examples="qdr compare origin/main                       # with the working tree\n"
            "qdr compare A B --fail-on any                 # two results folders; exit code 1 where B is worse\n"
            "qdr compare HEAD~1 HEAD --profile embedded --json",
        )
    )
    results = verb("results", None, "results made elsewhere: import", examples="qdr results import result.json")
    take = declare_verb(
        results.add_subparsers(required=True, metavar="VERB"),
        "import",
        _import,
        "check what a Jetson measured and add it to the speed tables",
        examples="qdr results import result.json\nqdr results import result.json --bundle kit.tar.gz",
    )
    take.add_argument("file", type=Path, help="result.json of measure.py")
    take.add_argument("--bundle", type=Path, help="the archive that was measured, where the engines are no longer the same")
    take.add_argument("--profile", help="default: the active one")


def _declare_compare(compare: Parser) -> None:
    side = "a results folder, a git revision of this repository, or worktree"
    compare.add_argument("a", metavar="A", help=f"the reference: {side}")
    compare.add_argument(
        "b", metavar="B", nargs="?", default="worktree", help="what is judged, likewise (default: worktree)"
    )
    compare.add_argument("--profile", help="this one only (default: all that both have)")
    compare.add_argument("--json", action="store_true", help="print JSON, every row, instead of Markdown")
    compare.add_argument(
        "--markdown", metavar="FILE", help="write every changed row as well; - prints what is printed without it"
    )
    compare.add_argument("--fail-on", choices=["quality", "speed", "any"], help="exit code 1 where B is worse than A")
    compare.add_argument("--drop", type=float, default=0.05, metavar="DB", help="significant loss of PSNR to bear (0.05)")
    compare.add_argument("--slowdown", type=float, default=1.1, metavar="X", help="ratio of latencies to bear (1.1)")


def _collect(_: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.evaluate.collect import collect

    collect(config.load())


def _report(options: argparse.Namespace) -> None:
    from qdr.suite import config, paths
    from qdr.suite.processes import side_by_side
    from qdr.suite.report import figures, metrics, tables
    from qdr.suite.report.results import Results
    from qdr.suite.report.site import write_site

    if options.what == "verify":
        from qdr.suite.report.verify import verify

        return verify(options.profile)
    if options.what == "texts":
        return _texts(options.profile)
    active = config.load(config.profile_path(options.profile) if options.profile else None)
    given = Results(active, paths.results(active.profile))
    jobs: list[Callable[[], None]] = []  # the longest first
    if options.what in ("all", "site"):
        jobs.append(partial(write_site, given, paths.site(active.profile)))
    if options.what in ("all", "figures"):
        jobs += figures.jobs(given, paths.figures(active.profile), figures.QUALITY)
    if options.what in ("all", "speed"):
        jobs += figures.jobs(given, paths.figures(active.profile), figures.SPEED)
    if options.what in ("all", "tables"):
        tables.write_quality(given, paths.tables(active.profile))
        metrics.write_quality(given.folder, given.folder)
    if options.what in ("all", "speed"):
        tables.write_speed(given, paths.tables(active.profile))
        metrics.write_speed(given.folder, given.folder)
    side_by_side(call, jobs, active.threads)
    if options.what in ("all", "site"):
        print(f"open {paths.site(active.profile) / 'index.html'}")


def _texts(profile: str | None) -> None:
    from qdr.suite.report.texts import rewrite

    done, left = rewrite(profile)
    for line in [*(f"mended: {line}" for line in done), *left]:
        print(line)
    if left:
        raise QdrError(f"{len(left)} place{'s' if len(left) > 1 else ''} to mend by hand: page or docs/claims.yaml")
    print(f"{len(done)} place{'' if len(done) == 1 else 's'} mended; pages say what results/ gives")


def _compare(options: argparse.Namespace) -> int:
    from qdr.files import replacing
    from qdr.suite.report.compare import compare, failures, show

    found = compare(options.a, options.b, options.profile)
    print(show.as_json(found) if options.json else show.markdown(found), end="")
    if options.markdown not in (None, "-"):
        with replacing(Path(options.markdown)) as temporary:
            temporary.write_text(show.markdown(found, shown=None), encoding="utf-8")
    failed = failures(found, options.fail_on, options.drop, options.slowdown) if options.fail_on else []
    for line in failed:
        print(f"qdr compare: {line}", file=sys.stderr)
    return 1 if failed else 0


def _import(options: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.jetson.results import import_result

    active = config.load(config.profile_path(options.profile) if options.profile else None)
    rows = import_result(active, options.file, options.bundle)
    print(f"results/{active.profile}/jetson.json: {len(rows)} rows of {options.file}; `make report` puts them in the tables")
