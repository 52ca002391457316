"""What is set before torch comes in."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from qdr import machine


@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_that_wait_sleep_unless_the_environment_says_otherwise(given: str | None) -> None:
    """libgomp, loaded with torch, says what it read; every command imports qdr first."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_DISPLAY_ENV": "true"} | ({"OMP_WAIT_POLICY": given} if given else {})
    script = "import sys, qdr.cli; assert 'torch' not in sys.modules; import qdr.seed; qdr.seed.seed_everything(0)"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert f"OMP_WAIT_POLICY = '{given or 'PASSIVE'}'" in done.stderr


@pytest.mark.parametrize(("limit", "found"), [("AVX2", False), ("avx512_core_vnni", False), ("AVX512_CORE_BF16", True)])
def test_a_cap_on_instructions_is_a_cap_on_bf16(monkeypatch: pytest.MonkeyPatch, limit: str, found: bool) -> None:
    monkeypatch.setattr(machine, "processor", lambda: {"cpu_flags": ["avx512f", "avx512_bf16"]})
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert machine.has_bf16()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert machine.has_bf16() is found


def test_plans_paths_and_reports_do_without_torch() -> None:
    light = [
        "suite.train.pool",
        "suite.export.engines",
        "suite.report.tables",
        "suite.report.figures",
        "suite.report.site",
        "suite.jetson.stage",
        "suite.bench.latency",
    ]
    script = f"import sys, {', '.join(f'qdr.{name}' for name in light)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
