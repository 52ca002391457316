"""Bundle, unpack, measure, import, table: the whole way, against stand-ins."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdr.cli import main
from qdr.rows import read_json
from qdr.runtimes import tensorrt
from qdr.suite import config
from qdr.suite.export.engines import engine_file
from qdr.suite.jetson import bundle
from qdr.suite.jetson.measure import digest
from qdr.suite.jetson.stage import jetson
from qdr.suite.report.tables.jetson import jetson_table
from qdr.suite.report.tables.others import latency_table
from qdr.suite.train.plan import Run

NAMES = ["derain-fp32-64x64", "derain-fp16-64x64", "derain-int8-64x64", "derain-fp32-96x64", "derain-fp16-96x64"]
NAMES += ["derain-int8-96x64", "denoise-int8-64x64"]


def calls(kit: Path) -> list[list[str]]:
    """How often and with what trtexec was called."""
    return [json.loads(line) for line in (kit.parent / "trtexec.log").read_text().splitlines()]


def save(result: dict[str, Any], target: Path) -> Path:
    """A result with a checksum that fits it."""
    result["sha256"] = digest(result)
    target.write_text(json.dumps(result))
    return target


def test_the_archive_has_the_same_bytes_each_time(active: config.Config, archive: Path, project: Path) -> None:
    bundle.write_bundle(active, project / "again.tar.gz")
    assert (project / "again.tar.gz").read_bytes() == archive.read_bytes()
    with tarfile.open(archive) as tar:
        files = {m.name.removeprefix(f"{bundle.ROOT}/"): m for m in tar.getmembers()}
        assert all((m.mtime, m.uid, m.uname) == (0, 0, "") for m in files.values())
        manifest = json.loads(tar.extractfile(files["manifest.json"]).read())  # type: ignore[union-attr]
        for name, checksum in manifest["files"].items():
            assert hashlib.sha256(tar.extractfile(files[name]).read()).hexdigest() == checksum  # type: ignore[union-attr]
    assert set(files) == {"manifest.json", *manifest["files"]}
    named = {"{task}-{precision}-{height}x{width}".format(**case) for case in manifest["cases"]}
    assert named == set(NAMES)
    assert {case["dtype"] for case in manifest["cases"] if case["precision"] == "fp16"} <= {"float16", "float32"}


def test_what_the_device_measures(kit: Path, result: dict[str, Any]) -> None:
    device = result["device"]
    assert device["model"] == "NVIDIA Jetson AGX Orin Developer Kit"
    assert (device["l4t"], device["tensorrt"], device["power_mode"]) == ("36.4.3", "10.3.0", "MAXN")
    assert device["clocks_hz"] == {"gpu": 1300500000, "emc": 3199000000}
    assert [case["status"] for case in result["cases"]] == ["measured"] * 7
    for case in result["cases"]:
        assert case["calls"] >= bundle.RULES["iterations"]
        times = case["engine_ms"]
        assert times["max"] < 2, "the calls of the warm-up do not count"
        assert times["median"] == pytest.approx(1.2545)
        assert case["end_to_end_ms"]["median"] == pytest.approx(times["median"] + 0.75)
        assert case["sensors"]["power_mw"]["VDD_GPU_SOC"] == {"mean": 9000, "max": 9000}
        assert case["sensors"]["celsius"]["tj"]["max"] == 49.5
        assert "cv0" not in case["sensors"]["celsius"], "a sensor that is off reads -256"
        assert case["accuracy"]["images"] == bundle.IMAGES
        assert case["accuracy"]["max_level"] <= 4, "ONNX Runtime and OpenVINO agree on the same file"
        assert case["accuracy"]["mean_level"] <= 0.5
    built = [call for call in calls(kit) if any(a.startswith("--onnx") for a in call)]
    assert len(built) == 7
    for call in built:
        typed = "fp32" not in call[0]
        assert ("--stronglyTyped" in call) == typed
        assert ("--noTF32" in call) == (not typed)
        assert any(a.startswith("--timingCacheFile=") for a in call)
        assert "--skipInference" in call


def test_wrong_pixels_are_no_measurement(
    kit: Path, measure: Any, make_device: Callable[..., Path], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_device(kit.parent, spoil="denoise-int8")
    done = measure()
    assert done.returncode == 1
    assert "wrong: 5." in done.stdout
    wrong = [case for case in json.loads((kit / "result.json").read_text())["cases"] if case["status"] != "measured"]
    assert [(case["task"], case["precision"], case["status"]) for case in wrong] == [("denoise", "int8", "wrong")]
    assert "engine_ms" not in wrong[0]
    assert main(["results", "import", str(kit / "result.json")]) == 0
    captured = capsys.readouterr()
    assert "qdr: not taken: denoise int8: wrong: 5." in captured.err
    assert "6 rows" in captured.out


def test_percentiles_are_numpys() -> None:
    from qdr.suite.jetson.measure import summarize

    values = np.random.default_rng(0).gamma(2.0, 1.0, 137).tolist()
    found = summarize(values)
    assert [found[k] for k in ("median", "p90", "p99")] == pytest.approx(np.percentile(values, [50, 90, 99]).tolist())


@pytest.mark.slow
def test_what_is_measured_once_is_kept(
    kit: Path, measure: Any, result: dict[str, Any], make_device: Callable[..., Path]
) -> None:
    count = len(calls(kit))
    assert measure().returncode == 0
    assert len(calls(kit)) == count, "neither built nor measured again"
    again = json.loads((kit / "result.json").read_text())
    assert again["cases"] == result["cases"]
    (kit / "work" / f"{NAMES[0]}.json").write_text("{ half")  # interrupted while writing
    (kit / "work" / f"{NAMES[1]}.engine").write_bytes(b"half an engine")
    (kit / "work" / f"{NAMES[1]}.json").unlink()
    assert measure().returncode == 0
    new = [next(a for a in call if a.startswith(("--onnx", "--loadEngine"))) for call in calls(kit)[count:]]
    assert [name.rpartition("/")[2] for name in new if name.startswith("--onnx")] == ["derain-fp16.onnx"]
    make_device(kit.parent, version=100701)  # another TensorRT: everything anew
    count = len(calls(kit))
    assert measure().returncode == 0
    assert sum(any(a.startswith("--onnx") for a in call) for call in calls(kit)[count:]) == 7


def test_older_and_newer_tensorrt_get_the_flags_they_have(kit: Path, measure: Any, make_device: Callable[..., Path]) -> None:
    make_device(kit.parent, version=8502, extra="--buildOnly")
    assert measure().returncode == 0
    assert json.loads((kit / "result.json").read_text())["device"]["tensorrt"] == "8.5.2"
    built = [call for call in calls(kit) if any(a.startswith("--onnx") for a in call)]
    for call in built:
        assert [a for a in call if a in ("--int8", "--fp16")] == [f"--{p}" for p in ("int8", "fp16") if f"-{p}" in call[0]]
        assert "--buildOnly" in call


def test_one_failed_build_is_reported_and_the_others_go_on(
    kit: Path, measure: Any, make_device: Callable[..., Path]
) -> None:
    make_device(kit.parent, refuse="fp16")
    done = measure()
    assert done.returncode == 1
    assert "7 cases, 2 failed" in done.stdout
    cases = json.loads((kit / "result.json").read_text())["cases"]
    failed = [case for case in cases if case["status"] == "failed"]
    assert {case["precision"] for case in failed} == {"fp16"}
    assert "Could not find any implementation for node head" in failed[0]["reason"]


def test_a_damaged_file_stops_it_before_anything_is_built(kit: Path, measure: Any) -> None:
    model = kit / "models" / "derain-int8.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    done = measure()
    assert done.returncode == 2
    start, end = "measure.py: error: models/derain-int8.onnx is damaged", "manifest's): copy the bundle again\n"
    assert done.stderr == f"{start} (checksum differs from the {end}"
    assert not (kit / "result.json").exists()
    assert not (kit.parent / "trtexec.log").exists()


def test_no_trtexec(kit: Path, measure: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = measure(programs=tmp_path / "empty")
    assert done.returncode == 2
    assert "there is no trtexec on PATH or in /usr/src/tensorrt/bin: install it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_the_other_programs_it_says_unknown(kit: Path, measure: Any) -> None:
    for name in ("tegrastats", "nvpmodel", "jetson_clocks"):
        (kit.parent / "bin" / name).unlink()
    assert measure().returncode == 0
    result = json.loads((kit / "result.json").read_text())
    assert result["device"]["power_mode"] == "unknown"
    assert result["device"]["jetson_clocks"] == "not available: there is no jetson_clocks"
    assert result["cases"][0]["sensors"] == {"samples": 0, "reason": "there is no tegrastats"}


def test_its_rows_end_in_the_tables(
    kit: Path, result: dict[str, Any], speed: Path, active: config.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", "import", str(kit / "result.json")]) == 0
    assert "7 rows" in capsys.readouterr().out
    table = jetson_table(speed / "jetson.json")
    assert table is not None
    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert len(rows) == 7
    (int8,) = (r for r in rows if (r["Task"], r["Precision"], r["Size"]) == ("derain", "int8", "64x64"))
    assert (int8["Device"], int8["Power mode"]) == ("NVIDIA Jetson AGX Orin Developer Kit", "MAXN")
    assert (int8["TensorRT"], int8["FPS"], int8["Power (W)"], int8["Hottest (°C)"]) == ("10.3.0", "797", "14.0", "49.5")
    text = latency_table(speed / "latency.csv", speed / "jetson.json").markdown()
    label = "tensorrt (NVIDIA Jetson AGX Orin Developer Kit, MAXN, TensorRT 10.3.0)"
    assert f"| efm | {label} | int8 | 2.00 |" in text
    assert text.count(label) == 3, "the benchmarked task's three precisions at the table's size"
    assert "tensorrt (Jetson)" not in text
    if tensorrt.unavailable():
        jetson(active)
        record = read_json(speed / "jetson.json")
        assert record["status"] == "not built"
        assert len(record["imported"]) == 1, "the stage does not wipe what was brought back"
    assert main(["results", "import", str(kit / "result.json")]) == 0
    assert len(read_json(speed / "jetson.json")["imported"]) == 1, "the same device again replaces its entry"
    result["device"]["power_mode"] = "50W"
    assert main(["results", "import", str(save(result, kit / "other.json"))]) == 0
    assert len(read_json(speed / "jetson.json")["imported"]) == 2


def change(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(result: dict[str, Any]) -> None:
        target: Any = result
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = to

    return apply


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change("schema", to="qdr-jetson/0"), "has schema 'qdr-jetson/0', expected"),
        (change("profile", to="public"), "is of profile 'public', the active one is 'smoke': use --profile"),
        (change("device", "model", to="\x1b[31m"), "device.model is"),
        (change("device", "tensorrt", to=None), "device.tensorrt is None"),
        (change("rules", "duration_s", to=1), "rules.duration_s is 1, at least 5 is asked for"),
        (change("cases", 0, "onnx_sha256", to="0" * 64), "the model is not the one exported here"),
        (change("cases", 0, "model", to="models/other.onnx"), "the model is not the one exported here"),
        (change("cases", 0, "engine_ms", "median", to=-1.0), "engine_ms cannot be"),
        (change("cases", 0, "engine_ms", "p90", to=0.5), "engine_ms cannot be"),
        (change("cases", 0, "engine_ms", "median", to=float("nan")), "must be finite"),
        (change("cases", 0, "engine_ms", "median", to="fast"), "median must be float"),
        (
            change("cases", 0, "end_to_end_ms", to={"median": 1.0, "p90": 1.0, "p99": 1.0, "min": 1.0, "max": 1.0}),
            "with its copies",
        ),
        (change("cases", 0, "calls", to=3), "3 calls, the rules ask for 200"),
        (change("cases", 0, "accuracy", "psnr_db", to=140.0), "accuracy cannot be"),
        (change("cases", 0, "accuracy", to={}), "missing key"),
        (change("cases", to=[]), "has no measured case"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_what_is_refused(
    active: config.Config,
    genuine: dict[str, Any],
    project: Path,
    capsys: pytest.CaptureFixture[str],
    edit: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    edit(genuine)
    assert main(["results", "import", str(save(genuine, project / "r.json"))]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (project / "results" / "smoke" / "jetson.json").exists()


@pytest.fixture
def genuine(active: config.Config) -> dict[str, Any]:
    """A result as the script writes it, without running it."""
    files = bundle.checksums(bundle.models(active))
    times = {"median": 2.0, "p90": 2.1, "p99": 2.2, "min": 1.9, "max": 3.0}
    case = {"task": "derain", "precision": "int8", "height": 64, "width": 64, "batch": 1, "model": "models/derain-int8.onnx"}
    case |= {"onnx_sha256": files["models/derain-int8.onnx"], "status": "measured", "calls": 200, "sensors": {}}
    case |= {"engine_ms": dict(times), "end_to_end_ms": {key: value + 1 for key, value in times.items()}}
    case |= {"accuracy": {"images": 2, "max_level": 1, "mean_level": 0.1, "psnr_db": 60.0}}
    device = {"model": "a Jetson", "l4t": "36.4.3", "tensorrt": "10.3.0", "power_mode": "15W"}
    about = {"schema": "qdr-jetson/1", "profile": "smoke", "manifest_sha256": "0" * 64, "finished": "2026-01-01T00:00:00Z"}
    return about | {"device": device, "rules": dict(bundle.RULES), "cases": [case]}


def test_a_genuine_result_is_taken(genuine: dict[str, Any], project: Path) -> None:
    assert main(["results", "import", str(save(genuine, project / "r.json"))]) == 0


def test_a_result_that_was_edited(genuine: dict[str, Any], project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(genuine, project / "r.json")
    path.write_text(path.read_text().replace("2.0", "1.0"))
    assert main(["results", "import", str(path)]) == 2
    assert "was changed after it was written (its checksum differs)" in capsys.readouterr().err


def test_engines_that_changed_since_need_the_bundle(
    kit: Path, archive: Path, result: dict[str, Any], active: config.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run("denoise", "qdr", "W8A8", "all", 0)
    engine_file(run).write_bytes(engine_file(Run("denoise", "fp32", "FP32", "all", 0)).read_bytes())
    assert main(["results", "import", str(kit / "result.json")]) == 2
    assert "make a new bundle, or give the old one (--bundle)" in capsys.readouterr().err
    assert main(["results", "import", str(kit / "result.json"), "--bundle", str(archive)]) == 0
    bundle.write_bundle(active, archive)
    assert main(["results", "import", str(kit / "result.json"), "--bundle", str(archive)]) == 2
    assert "give the bundle that was on the device" in capsys.readouterr().err
    assert main(["results", "import", str(kit / "result.json"), "--bundle", str(kit / "README.md")]) == 2
    assert "is not a bundle of `qdr jetson bundle`" in capsys.readouterr().err


def test_missing_engines(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jetson", "bundle", "kit.tar.gz"]) == 2
    assert "does not exist: export it first" in capsys.readouterr().err
    assert not (project / "kit.tar.gz").exists()
