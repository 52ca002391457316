"""The fixture `perf` of the checks, their table, and the switch that shows that they work.

pytest-benchmark runs the rounds, each after one of the reference, on the clock `cpu_seconds`. The ratio of a check is the
median over rounds of its time over the mean of the references before and after it.

QDR_PERF_SLOWDOWN=0.2 makes the model a fifth slower: the checks of latency must then fail. Only this file knows it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from rich.console import Console

from benchmarks.baseline import Baseline, Measured, markdown_table, no_baseline, processor_class, rich_table
from benchmarks.references import Check, Work, cpu_seconds, keep_memory
from qdr.errors import QdrError

BASELINE = Path(__file__).parent / "baseline.json"
SLOWDOWN = "QDR_PERF_SLOWDOWN"
RERUNS = 2  # a check that is slower is measured again: a burst of other work passes, a slowdown stays
KEPT, SEEN = pytest.StashKey[Baseline](), pytest.StashKey[dict[str, Measured]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("perf", "performance against benchmarks/baseline.json")
    group.addoption("--baseline", type=Path, default=BASELINE, help="the file of thresholds and ratios")
    group.addoption("--renew", action="store_true", help="write this run's ratios there instead of comparing with them")


def pytest_configure(config: pytest.Config) -> None:
    path, renew = config.getoption("--baseline"), config.getoption("--renew")
    try:
        config.stash[KEPT] = Baseline.read(BASELINE if renew and not path.is_file() else path)
    except QdrError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[SEEN] = {}
    keep_memory()
    config.option.showcapture = "no"
    config.option.benchmark_quiet = True  # one table is enough, and this one says what changed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(BASELINE.parent):
            item.add_marker(pytest.mark.benchmark(timer=cpu_seconds))
            item.add_marker(pytest.mark.flaky(reruns=RERUNS))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Processor time of one thread is the work done; of several, it is also how they wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture
def perf(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Check:
    """`perf(name, work, reference, rounds)` measures a check and fails the test where it is slower than it was."""

    def check(name: str, work: Work, reference: Work, rounds: int) -> None:
        config, spent, warmup = request.config, [], 1 if rounds < 10 else 3
        config.stash[KEPT].rule(name)

        def turn() -> None:
            start = cpu_seconds()
            reference()
            spent.append(cpu_seconds() - start)

        benchmark.pedantic(work, setup=turn, rounds=rounds, warmup_rounds=warmup)
        if not benchmark.enabled:
            pytest.skip("benchmarks are switched off")
        turn()
        times, fences = np.array(benchmark.stats.stats.data), np.array(spent[warmup:])
        ratios = times / ((fences[:-1] + fences[1:]) / 2)
        low, median, high = np.percentile(ratios, [25, 50, 75])
        measured = Measured(name, float(median), float((high - low) / median), float(1e3 * np.median(times)))
        config.stash[SEEN][name] = measured
        if not config.getoption("--renew"):
            (verdict,) = config.stash[KEPT].judge(processor_class(), [measured])
            if verdict.failed:
                pytest.fail(verdict.line(), pytrace=False)

    return check


@pytest.fixture
def model() -> Callable[[Work], Work]:
    """A model's `run`, made slower where QDR_PERF_SLOWDOWN asks for it: it spins for that share of what it just took."""
    share = float(os.environ.get(SLOWDOWN, 0))

    def slowed(run: Work) -> Work:
        def longer() -> None:
            start = cpu_seconds()
            run()
            end = start + (cpu_seconds() - start) * (1 + share)
            while cpu_seconds() < end:
                pass

        return longer if share else run

    return slowed


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    baseline, seen, kind = config.stash[KEPT], list(config.stash[SEEN].values()), processor_class()
    path, renew = config.getoption("--baseline"), config.getoption("--renew")
    if not seen:
        return
    if renew:
        baseline = baseline.renewed(kind, seen)
        baseline.write(path)
    verdicts = baseline.judge(kind, seen)
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 140).print(rich_table(kind, verdicts))
    if renew:
        terminalreporter.write_line(f"{path}: renewed for {kind}")
    elif remedy := no_baseline(kind, verdicts):
        terminalreporter.write_line(remedy)
    report = config.rootpath / "work" / "perf" / "table.md"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(markdown_table(kind, verdicts), encoding="utf-8")
