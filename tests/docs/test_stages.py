"""dvc.yaml depends on the code that its stages run: what a listed file imports is listed too, or decides nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from qdr.suite.train.code import _read

ROOT = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# Messages, paths, settings (parameters are listed apart), what is shown, how work is spread, lists of runs and files; and
# what trains, since its models are inputs.
NEUTRAL = tuple(f"qdr.{name}" for name in ("errors", "files", "rows", "machine", "seed", "ranks"))
NEUTRAL += tuple(f"qdr.suite.{name}" for name in ("paths", "config", "methods", "strict", "processes", "provenance"))
NEUTRAL += tuple(f"qdr.suite.{name}" for name in ("zoo", "fanout", "train", "export.engines"))


def modules(dependency: str) -> set[str]:
    path = ROOT / dependency
    files = [path] if path.suffix == ".py" else path.rglob("*.py")
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    return {name.removesuffix(".__init__") for name in names}


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_runs_is_listed(stage: str) -> None:
    listed = {name for dep in STAGES[stage].get("deps", []) if dep.startswith("qdr/") for name in modules(dep)}
    used = {module for name in listed for module in _read(name)[1]} - listed
    unlisted = {module for module in used if not any(f"{module}.".startswith(f"{name}.") for name in NEUTRAL)}
    assert unlisted <= {"qdr", "qdr.suite"}
