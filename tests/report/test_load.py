from __future__ import annotations

import json
from pathlib import Path

import pytest

from qdr.cli import main
from qdr.errors import QdrError
from qdr.rows import read_json, read_rows, write_rows
from qdr.suite import config
from qdr.suite.report.load import (
    CENSUS,
    COSTS,
    DETECTION,
    FEATURES,
    GRAPH,
    KERNELS,
    LATENCY,
    LATER,
    PARITY,
    QUALITY,
    ROOFLINE,
    SENSITIVITY,
    TRAINING,
    load,
)
from qdr.suite.report.plan import read_plan

ROOT = Path(__file__).resolve().parents[2]


SCHEMAS = {
    "quality": QUALITY,
    "parity": PARITY,
    "training": TRAINING,
    "features": FEATURES,
    "sensitivity": SENSITIVITY,
    "latency": LATENCY,
    "census": CENSUS,
    "kernels": KERNELS,
    "costs": COSTS,
    "detection": DETECTION,
    "roofline": ROOFLINE,
    "graph": GRAPH,
}
SINCE = {"detection", "roofline", "census", "graph", "costs"}  # results of before their stage have none
MEASURED = [path.parent.name for path in (ROOT / "results").glob("*/quality.csv")]
PLANNED = [path.parent.name for path in (ROOT / "results").glob("*/steps.csv")]


@pytest.mark.parametrize("profile", MEASURED)
@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items())
def test_the_committed_results_fit_their_schema(profile: str, name: str, schema: dict[str, object]) -> None:
    path = ROOT / "results" / profile / f"{name}.csv"
    if name in SINCE and not path.is_file():
        pytest.skip(f"measured before there was {name}.csv")
    assert len(load(path, schema)) > 0  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items())
def test_the_schema_is_the_documented_one(name: str, schema: dict[str, object]) -> None:
    text = (ROOT / "results" / "README.md").read_text()
    section = text.split(f"## {name}.csv")[1].split("## ")[0]
    assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == list(schema)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",qat,", ",qta,", r"line \d+: method 'qta' is not valid: did you mean 'qat'"),
        (",derain,", ",rain,", r"task 'rain' is not valid: did you mean 'derain'"),
        ("rgb-full", "rgb", r"protocol 'rgb' is not valid"),
        ("W8A8", "W8", r"bits 'W8' is not valid"),
        (",psnr,rgb-full,", ",psnr,rgb-full,nan", r"value 'nan.*must be finite|could not convert"),
        ("profile,task", "task,profile", r"has columns task,profile,.*; expected profile,task,"),
    ],
)
def test_a_bad_row_is_named(results: Path, old: str, new: str, message: str) -> None:
    path = results / "quality.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(QdrError, match=message):
        load(path, QUALITY)


def test_a_row_that_is_there_twice(results: Path) -> None:
    path = results / "quality.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[3]]) + "\n")
    with pytest.raises(QdrError, match=r"the same row as line 4"):
        load(path, QUALITY)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(QdrError, match="run `dvc repro`"):
        load(tmp_path / "quality.csv", QUALITY)
    with pytest.raises(QdrError, match="run `dvc repro`"):
        read_json(tmp_path / "jetson.json")
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(QdrError, match="not valid JSON"):
        read_json(tmp_path / "bad.json")


def test_latency_of_before_it_was_measured_end_to_end(results: Path) -> None:
    path = results / "latency.csv"
    assert list(load(path, LATENCY))[-5:] == LATER
    rows = read_rows(path)
    write_rows(path, [{name: value for name, value in row.items() if name not in LATER} for row in rows])
    assert len(load(path, LATENCY)) == len(rows)
    write_rows(path, [{name: value for name, value in row.items() if name != LATER[0]} for row in rows])
    with pytest.raises(QdrError, match="has columns"):
        load(path, LATENCY)


@pytest.mark.parametrize("profile", PLANNED)
def test_the_committed_step_times_fit_their_schema_and_the_profile(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    plan = read_plan(config.load(config.profile_path(profile)))
    assert plan.hours(1) >= plan.hours(2) >= plan.longest


@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml")))
def test_every_profile_has_a_plan(profile: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no steps were timed, models and steps alone, and how to time them."""
    monkeypatch.chdir(ROOT)
    assert main(["plan", "--profile", profile, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] > 0
    assert main(["plan", "--profile", profile]) == 0
    shown = capsys.readouterr().out
    assert ("simulated" in shown) == (profile in PLANNED)
    assert (f"qdr plan --profile {profile} --measure" in shown) == (profile not in PLANNED)
