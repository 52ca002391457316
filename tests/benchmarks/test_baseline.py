"""The comparison of `make perf`: given ratios and a baseline, which verdict, which table; and that the check works."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from benchmarks.baseline import Baseline, Measured, Rule, markdown_table, no_baseline, processor_class, rich_table
from benchmarks.references import cpu_seconds
from qdr import machine
from qdr.errors import QdrError

ROOT = Path(__file__).resolve().parents[2]
KIND = "AMD avx2"
BASE = Baseline({"a": Rule(0.1), "b": Rule(0.2, goal=1.5), "c": Rule(0.1)}, {KIND: {"a": 2.0, "b": 1.0, "c": 4.0}})


def seen(**ratios: float) -> list[Measured]:
    return [Measured(name, ratio, 0.02, 10 * ratio) for name, ratio in ratios.items()]


def words(kind: str = KIND, **ratios: float) -> dict[str, str]:
    return {verdict.measured.name: verdict.word for verdict in BASE.judge(kind, seen(**ratios))}


def test_slower_faster_and_unchanged() -> None:
    assert words(a=2.19, b=1.19, c=3.7) == {"a": "ok", "b": "ok", "c": "ok"}
    assert words(a=2.21, b=1.21, c=3.5) == {"a": "slower", "b": "slower", "c": "faster"}


def test_a_goal_holds_on_every_processor() -> None:
    assert words(b=1.6)["b"] == "slower"
    assert words("Intel avx512f", b=1.6)["b"] == "above the goal"
    (verdict,) = BASE.judge("Intel avx512f", seen(b=1.6))
    assert verdict.failed
    assert verdict.line() == "b: 1.60 times the reference, the goal is at most 1.5"


def test_a_processor_without_a_baseline_is_not_passed_in_silence() -> None:
    verdicts = BASE.judge("Intel avx512f", seen(a=2.0))
    assert [verdict.word for verdict in verdicts] == ["no baseline"]
    assert verdicts[0].failed
    assert "no baseline for processors of the class 'Intel avx512f'" in str(no_baseline("Intel avx512f", verdicts))
    assert "make perf-baseline" in markdown_table("Intel avx512f", verdicts)


def test_a_new_check_is_named_but_fails_nothing() -> None:
    base = Baseline(BASE.checks | {"d": Rule(0.1)}, BASE.classes)
    verdicts = base.judge(KIND, seen(a=2.0, d=1.0))
    assert {v.measured.name: (v.word, v.failed) for v in verdicts} == {"a": ("ok", False), "d": ("new", False)}
    assert str(no_baseline(KIND, verdicts)).startswith("1 new on AMD avx2: d;")
    assert no_baseline(KIND, verdicts[:1]) is None


@given(st.floats(0.01, 100), st.floats(0.01, 0.5), st.floats(-0.5, 2))
def test_the_threshold_is_where_a_check_fails(base: float, threshold: float, change: float) -> None:
    if abs(change - threshold) < 1e-6:
        return
    baseline = Baseline({"a": Rule(threshold)}, {KIND: {"a": base}})
    (verdict,) = baseline.judge(KIND, seen(a=base * (1 + change)))
    assert verdict.failed == (change > threshold)


def test_the_table_says_what_by_how_much_and_what_is_allowed() -> None:
    verdicts = BASE.judge(KIND, seen(c=4.36, a=2.5, b=1.05))
    assert [verdict.measured.name for verdict in verdicts] == ["a", "c", "b"]  # what got slowest is first
    assert verdicts[0].line() == "a: 25.0 % slower than the baseline, allowed are 10 %"
    console = Console(width=140, file=io.StringIO())
    console.print(rich_table(KIND, verdicts))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"a .* 25\.00 .* 2\.500 .* 2\.0 % .* 2\.000 .* \+25\.0 % .* 10 % .* — .* slower", text)
    assert re.search(r"b .* 1\.050 .* \+5\.0 % .* 20 % .* 1\.5 .* ok", text)
    assert "| a | 25.00 | 2.500 | 2.0 % | 2.000 | +25.0 % | 10 % | — | **slower** |" in markdown_table(KIND, verdicts)


def test_renewing_changes_one_class_and_keeps_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    BASE.write(path)
    assert Baseline.read(path) == BASE
    Baseline.read(path).renewed("Intel", seen(a=3.14159, c=1)).renewed(KIND, seen(b=9.0)).write(path)
    again = Baseline.read(path)
    assert again.checks == BASE.checks
    assert again.classes == {KIND: {"a": 2.0, "b": 9.0, "c": 4.0}, "Intel": {"a": 3.142, "c": 1.0}}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"threshold": 0.1', '"treshold": 0.1', "baseline.json: unknown key checks.a.treshold: did you mean 'threshold'"),
        ('"c": 4.0', '"x": 4.0', "baseline.json: AMD avx2 has 'x', no check"),
        ('"c": 4.0', '"c": "fast"', "must be float, got 'fast'"),
        ("{", "[", "is not valid JSON"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "baseline.json"
    BASE.write(path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(QdrError, match=re.escape(message)):
        Baseline.read(path)
    with pytest.raises(QdrError, match="check 'x' has no threshold"):
        BASE.judge(KIND, seen(x=1.0))


def test_the_committed_file_knows_every_check_and_no_other() -> None:
    committed = Baseline.read(ROOT / "benchmarks" / "baseline.json")
    source = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("test_*.py"))
    starts = set(re.findall(r'perf\(\s*f?"(\w+: ?[^"{]*)', source))
    assert {name.split(":")[0] for name in committed.checks} == {start.split(":")[0] for start in starts}
    for name in committed.checks:
        assert any(name.startswith(start) for start in starts), f"no benchmark is called {name}"
    for kind, ratios in committed.classes.items():
        missing = {name for name in committed.checks.keys() - ratios.keys() if "brevitas" not in name}
        other = "fp32" if "bf16" in kind else "bf16"
        assert all(name.endswith(other) for name in missing), missing


def test_the_class_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"cpu": "Intel(R) Xeon(R) Platinum 8370C", "cpu_flags": ["avx2", "avx512_vnni"], "machine": "x86_64"}
    monkeypatch.setattr("benchmarks.baseline.processor", lambda: about)
    assert processor_class() == "Intel avx2 avx512_vnni"
    monkeypatch.setattr("benchmarks.baseline.processor", lambda: about | {"cpu": "", "machine": "aarch64", "cpu_flags": []})
    assert processor_class() == "aarch64"
    assert set(machine.processor()) >= {"cpu", "cpu_flags", "machine"}


def test_the_clock_counts_work_of_children_and_not_waiting() -> None:
    start = cpu_seconds()
    subprocess.run([sys.executable, "-c", "import time; time.sleep(0.4)"], check=True)
    slept = cpu_seconds() - start
    start = cpu_seconds()
    code = "import time\nwhile time.process_time() < 0.4: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    worked = cpu_seconds() - start
    assert worked > 0.4
    assert worked - slept > 0.25


def perf(folder: Path, *arguments: str, slowdown: str = "0") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", str(ROOT / "benchmarks" / "test_engines.py"), "-q", "-p", "no:cacheprovider"]
    command += ["-k", "latency", "--baseline", str(folder / "baseline.json"), *arguments]
    environment = os.environ | {"QDR_PERF_SLOWDOWN": slowdown, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_model_that_is_a_fifth_slower_fails_and_the_same_one_passes(tmp_path: Path) -> None:
    """With a baseline of this machine, measured here."""
    renewed = perf(tmp_path, "--renew")
    assert renewed.returncode == 0, renewed.stdout
    assert len(json.loads((tmp_path / "baseline.json").read_text())["classes"][processor_class()]) >= 4
    unchanged = perf(tmp_path)
    assert unchanged.returncode == 0, unchanged.stdout
    slower = perf(tmp_path, slowdown="0.2")
    assert slower.returncode == 1, slower.stdout
    assert slower.stdout.count("slower than the baseline, allowed are 10 %") >= 4
    assert " ok " not in slower.stdout
