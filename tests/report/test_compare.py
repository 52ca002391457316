"""`qdr compare`: what it finds, what it refuses to compare, and what it says where a side cannot be read."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings as examples, strategies as st

from qdr.cli import main
from qdr.errors import QdrError
from qdr.rows import read_rows, write_rows
from qdr.suite.evaluate.stats import Bootstrap
from qdr.suite.report.compare import compare, failures, show
from qdr.suite.report.compare.rows import SECTIONS, Comparison, Row, Section, filled, same_machine

Edit = Callable[[dict[str, str]], bool]


@pytest.fixture
def two(results: Path, project: Path) -> tuple[Path, Path]:
    """Two equal results folders, A and B."""
    a, b = project / "A" / "smoke", project / "B" / "smoke"
    shutil.copytree(results, a)
    shutil.copytree(results, b)
    return a, b


def change(path: Path, edit: Callable[[dict[str, str]], dict[str, Any] | None]) -> None:
    """Rewrite every row of a CSV; None drops it."""
    write_rows(path, [kept for row in read_rows(path) if (kept := edit(row)) is not None])


def drop(row: dict[str, str]) -> dict[str, Any]:
    """QDR at W8A8 loses about 1 dB on photographs in rain."""
    hit = row["task"] == "derain" and row["method"] == "qdr" and row["bits"] == "W8A8" and row["metric"] == "psnr"
    if hit and row["split"] == "photos":
        return row | {"value": f"{float(row['value']) - 1 - 0.1 * int(row['image'][2:]):.6f}"}
    return dict(row)


def section(found: Comparison, kind: str, quantity: str = "") -> Section:
    return next(s for s in next(iter(found.profiles.values())) if s.kind == kind and s.name.startswith(quantity))


def test_the_same_results_twice(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    a, b = map(str, two)
    assert main(["compare", a, b, "--fail-on", "any"]) == 0
    assert show.NOTHING in capsys.readouterr().out
    found = compare(a, b)
    assert found.alike
    assert all(len(s.rows) > 0 for s in next(iter(found.profiles.values())) if s.name != "AP" and s.kind != "training")
    assert main(["compare", a, b, "--markdown", "-"]) == 0
    assert show.NOTHING in capsys.readouterr().out


def test_a_planted_drop_is_found_with_its_sign_and_size(two: tuple[Path, Path]) -> None:
    a, b = two
    change(b / "quality.csv", drop)
    psnr = section(compare(str(a), str(b)), "quality", "PSNR")
    (found,) = psnr.changed
    assert found.what == ("derain", "photos", "qdr", "W8A8", "all", "rgb-full", "openvino")
    assert found.change == pytest.approx(-1.2)
    assert found.interval is not None
    assert found.interval.low < -1.2 < found.interval.high < 0
    assert psnr.better(found) is False
    assert psnr.rows[0] == found  # the most telling first
    assert not section(compare(str(a), str(b)), "quality", "SSIM").changed


def test_the_gate(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    a, b = map(str, two)
    change(two[1] / "quality.csv", drop)
    assert main(["compare", a, b, "--fail-on", "quality"]) == 1
    assert "smoke: derain/photos/qdr/W8A8/all/rgb-full/openvino: -1.200 [" in capsys.readouterr().err
    assert main(["compare", a, b, "--fail-on", "quality", "--drop", "1.3"]) == 0
    assert main(["compare", a, b, "--fail-on", "speed"]) == 0
    assert main(["compare", b, a, "--fail-on", "any"]) == 0  # a gain is no failure
    assert main(["compare", a, b]) == 0


@examples(max_examples=20)
@given(st.lists(st.tuples(st.floats(10, 40), st.floats(10, 40)), min_size=2, max_size=8))
def test_swapped_sides_give_opposite_signs(values: list[tuple[float, float]]) -> None:
    import pandas as pd

    def frame(side: int) -> pd.DataFrame:
        return pd.DataFrame(
            {"m": "x", "image": range(len(values)), "seed": 0, "metric": "psnr", "value": [v[side] for v in values]}
        )

    stats, psnr = Bootstrap(200, 0.95), dataclasses.replace(SECTIONS[0], what=("m",), how=())
    (there,) = filled(psnr, [frame(0), frame(1)], stats).rows
    (back,) = filled(psnr, [frame(1), frame(0)], stats).rows
    assert there.change == pytest.approx(-back.change)
    assert there.interval is not None
    assert back.interval is not None
    assert (there.interval.low, there.interval.high) == pytest.approx((-back.interval.high, -back.interval.low), abs=1e-9)
    assert there.significant == back.significant


def test_swapped_folders_give_opposite_signs(two: tuple[Path, Path]) -> None:
    a, b = map(str, two)
    change(two[1] / "quality.csv", drop)
    change(two[1] / "latency.csv", lambda row: row | {"median_ms": float(row["median_ms"]) * 2})
    there, back = compare(a, b), compare(b, a)
    for kind in ("quality", "speed"):
        pairs = list(zip(section(there, kind).changed, section(back, kind).changed, strict=True))
        assert pairs
        for one, other in pairs:
            expected = 1 / other.change if kind == "speed" else -other.change
            assert one.what == other.what
            assert one.change == pytest.approx(expected)


def test_a_method_of_one_side_is_listed(two: tuple[Path, Path]) -> None:
    a, b = two
    change(b / "quality.csv", lambda row: None if row["method"] == "ptq" else dict(row))
    found = section(compare(str(a), str(b)), "quality", "PSNR")
    assert {key[2] for key in found.only["A"]} == {"ptq"}
    assert found.only["B"] == []
    assert "only in A: lowlight" not in show.markdown(compare(str(a), str(b)))
    assert "only in A: derain photos ptq W4A4 all fake-quant" in show.markdown(compare(str(a), str(b)))


def test_a_method_that_this_version_does_not_know(two: tuple[Path, Path]) -> None:
    a, b = two
    change(a / "quality.csv", lambda row: row | {"method": "gone"} if row["method"] == "ptq" else dict(row))
    found = section(compare(str(a), str(b)), "quality", "PSNR")
    assert {key[2] for key in found.only["A"]} == {"gone"}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda row: row | {"protocol": "y-full"}, "protocol rgb-full in A, y-full in B"),
        (lambda row: row | {"engine": "onnxruntime"}, "engine openvino in A, onnxruntime in B"),
        (lambda row: None if row["image"] == "im4" else row, "5 images in A, 4 in B; only in A: im4"),
        (
            lambda row: row | {"image": "x" + row["image"]},
            "5 images in A, 5 in B; only in A: im0, im1, im2, ...; only in B: xim0",
        ),
    ],
    ids=["protocol", "engine", "fewer-images", "other-images"],
)
def test_what_is_measured_otherwise_is_not_compared(
    two: tuple[Path, Path], capsys: pytest.CaptureFixture[str], edit: Edit, reason: str
) -> None:
    a, b = two
    change(
        b / "quality.csv",
        lambda row: edit(row) if (row["task"], row["method"]) == ("derain", "ptq") and row["bits"] == "W8A8" else row,
    )  # type: ignore[return-value]
    found = section(compare(str(a), str(b)), "quality", "PSNR")
    assert len(found.refused) == 2  # photos and scenes
    assert all(said.startswith(reason) for _, said in found.refused)
    assert not found.changed
    assert not any(found.only.values())
    assert main(["compare", str(a), str(b), "--fail-on", "quality"]) == 1  # a gate that cannot look does not pass
    out, error = capsys.readouterr()
    assert "not compared" in out
    assert reason in error


def test_latency_on_another_machine_is_judged_by_the_ratio_to_fp32(two: tuple[Path, Path]) -> None:
    a, b = two
    change(
        b / "latency.csv",
        lambda row: row | {"median_ms": float(row["median_ms"]) * (4 if row["precision"] == "int8" else 2)},
    )
    found = section(compare(str(a), str(b)), "speed")
    ratios = {row.what[2]: (row.change, row.to_fp32) for row in found.rows}
    assert ratios == {"fp32": (2, None), "bf16": (2, 1), "int8": (4, 2)}
    assert found.absolute
    assert len(failures(compare(str(a), str(b)), "speed", 0.05, 1.1)) == 6  # three precisions at two sides
    (b / "latency.json").write_text(json.dumps({"cpu": "another CPU", "cpu_count": 8}))
    found = section(compare(str(a), str(b)), "speed")
    assert not found.absolute
    assert "different machines: absolute times are not comparable" in found.notes[0]
    assert "A: a CPU, ? cores. B: another CPU, 8 cores." in found.notes[0]
    lines = failures(compare(str(a), str(b)), "speed", 0.05, 1.1)
    expected = [f"smoke: efm/openvino/int8/2/1/{s}/{s}: 2.00 times as long, relative to FP32" for s in (64, 128)]
    assert sorted(lines) == sorted(expected)


def test_a_run_that_does_not_say_where_it_was_is_on_another_machine() -> None:
    assert same_machine({"cpu": "x"}, {"cpu": "x"})
    assert not same_machine({}, {})


def test_parity_training_and_detection(two: tuple[Path, Path]) -> None:
    a, b = two
    for folder, psnr in ((a, "30.0"), (b, "29.5")):
        rows = read_rows(folder / "training.csv")
        last = [
            row | {"step": "10", "metric": "val_psnr", "value": psnr}
            for row in rows
            if row["metric"] == "grad_rec" and row["step"] == "10"
        ]
        write_rows(folder / "training.csv", [*rows, *last])
    change(b / "parity.csv", lambda row: row | {"mean_level": "0.2"})
    change(b / "detection.csv", lambda row: row | {"value": float(row["value"]) / 2})
    found = compare(str(a), str(b))
    assert {row.change for row in section(found, "training").rows} == {-0.5}
    assert all(section(found, "parity").better(row) is False for row in section(found, "parity").rows)
    assert all(row.interval is None and row.after == row.before / 2 for row in section(found, "detection").rows)
    change(b / "detection.csv", lambda row: row | {"images": "50"})
    refused = section(compare(str(a), str(b)), "detection").refused
    assert refused
    assert refused[0][1] == "images 40 in A, 50 in B"


def test_every_form_says_the_same_twice(two: tuple[Path, Path], project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = map(str, two)
    change(two[1] / "quality.csv", drop)
    outputs = []
    for turn in ("one", "two"):
        assert main(["compare", a, b, "--markdown", str(project / turn / "c.md")]) == 0
        printed = capsys.readouterr().out
        assert main(["compare", a, b, "--json"]) == 0
        outputs.append((printed, (project / turn / "c.md").read_text(), capsys.readouterr().out))
    assert outputs[0] == outputs[1]
    assert outputs[0][0] == outputs[0][1], "few rows changed, so that none is left out"
    assert "52 compared, 51 equal, 0 significantly better, 1 significantly worse, 0 n.s." in outputs[0][0]
    (row,) = (line for line in outputs[0][0].splitlines() if line.startswith("| derain photos qdr"))
    assert re.search(r"\| -1\.200 \[-1\.\d+, -1\.\d+\] worse \|$", row)
    record = json.loads(outputs[0][2])
    (psnr,) = (s for s in record["profiles"]["smoke"] if s["quantity"] == "PSNR (dB)")
    (worse,) = (row for row in psnr["rows"] if row["difference"])
    assert worse["significant"]
    assert worse["task"] == "derain"


def test_profiles(two: tuple[Path, Path]) -> None:
    a, b = two
    shutil.copytree(a, a.parent / "other")
    found = compare(str(a.parent), str(b.parent))
    assert list(found.profiles) == ["smoke"]
    assert found.notes == ["profile other: only in A"]
    assert compare(str(a.parent), str(b), "smoke").alike
    assert compare(str(a.parent / "other"), str(b)).notes == ["profiles other (A) and smoke (B)"]
    with pytest.raises(QdrError, match="no results of profile 'smke': did you mean 'smoke'"):
        compare(str(a.parent), str(b), "smke")
    (b.parent / "smoke").rename(b.parent / "third")
    with pytest.raises(QdrError, match=r"no profile is in both: .* has other, smoke; .* has third"):
        compare(str(a.parent), str(b.parent))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace(",derain,", ",rain,", 1), "quality.csv, line "),
        (lambda text: text.splitlines()[0] + "\n", "quality.csv has no rows"),
    ],
    ids=["value", "empty"],
)
def test_results_that_cannot_be_read(
    two: tuple[Path, Path], capsys: pytest.CaptureFixture[str], edit: Callable[[str], str], message: str
) -> None:
    a, b = two
    (b / "quality.csv").write_text(edit((b / "quality.csv").read_text()))
    assert main(["compare", str(a), str(b)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_columns_of_another_version(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    a, b = two
    later = ("end_to_end_median_ms", "mean_level")
    change(a / "latency.csv", lambda row: {key: value for key, value in row.items() if key not in later} | {"extra": 1})
    change(b / "quality.csv", lambda row: {key: value for key, value in row.items() if key != "protocol"})
    found = compare(str(a), str(b))
    assert found.notes == [
        "A: smoke/latency.csv lacks end_to_end_median_ms, mean_level",
        "B: smoke/quality.csv lacks protocol: it is not compared",
    ]
    assert section(found, "speed").rows
    assert not section(found, "quality").rows
    assert main(["compare", str(a), str(b)]) == 0
    assert "quality.csv lacks protocol: it is not compared" in capsys.readouterr().out
    assert main(["compare", str(a), str(b), "--fail-on", "quality"]) == 1  # a gate that cannot look does not pass


def test_sides_that_share_nothing(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for path in two[1].glob("*.csv"):
        path.unlink()
    change(two[0] / "quality.csv", lambda row: row | {"method": "a-" + row["method"]})
    shutil.copy(two[0] / "quality.csv", two[1])
    change(two[0] / "quality.csv", lambda row: row | {"method": "b-" + row["method"]})
    assert main(["compare", *map(str, two)]) == 2
    assert "can be compared: they share no measured row" in capsys.readouterr().err


# ---- git -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(results: Path, project: Path) -> Path:
    """The project under git: one commit without results, one with."""
    git(project, "init", "--quiet", "--initial-branch", "main")
    git(project, "add", "profiles", "params.yaml")
    git(project, "commit", "--quiet", "--message", "no results yet")
    shutil.move(results, project / "smoke")
    (project / "results").mkdir(exist_ok=True)
    shutil.move(project / "smoke", project / "results" / "smoke")
    git(project, "add", "results")
    git(project, "commit", "--quiet", "--message", "results")
    return project


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_revision_against_the_worktree(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "main"]) == 0
    assert show.NOTHING in capsys.readouterr().out
    change(repository / "results" / "smoke" / "quality.csv", drop)
    found = compare("HEAD", "worktree")
    assert found.a == f"HEAD ({git(repository, 'rev-parse', '--short=7', 'HEAD')})"
    assert [row.change for row in section(found, "quality", "PSNR").changed] == [pytest.approx(-1.2)]
    assert [row.change for row in section(compare(".", "main"), "quality", "PSNR").changed] == [pytest.approx(1.2)]
    assert "results/smoke/quality.csv" in git(repository, "status", "--short")  # nothing was checked out
    git(repository, "commit", "--all", "--quiet", "--message", "worse")
    assert [row.change for row in section(compare("HEAD~1", "HEAD"), "quality", "PSNR").changed] == [pytest.approx(-1.2)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mian", "'mian' is neither a folder with results"),
        ("profiles", "'profiles' is neither a folder with results"),
        ("HEAD~1", "revision HEAD~1 has no folder results/"),
    ],
)
def test_a_side_that_is_not_there(repository: Path, capsys: pytest.CaptureFixture[str], name: str, message: str) -> None:
    assert main(["compare", name, "worktree"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_error_in_a_revision_names_the_revision(repository: Path) -> None:
    path = repository / "results" / "smoke" / "quality.csv"
    path.write_text(path.read_text().replace(",derain,", ",rain,", 1))
    git(repository, "commit", "--all", "--quiet", "--message", "broken")
    with pytest.raises(QdrError, match=r"^HEAD \(\w{7}\):results/smoke/quality\.csv, line \d+: task 'rain'"):
        compare("HEAD", "HEAD~1")


def test_a_latency_of_zero_is_refused(two: tuple[Path, Path]) -> None:
    a, b = two
    change(b / "latency.csv", lambda row: row | {"median_ms": "0"})
    with pytest.raises(QdrError, match=r"latency\.csv: median_ms 0\.0 is not a time"):
        compare(str(a), str(b))


def test_no_interval_of_one_image() -> None:
    one = Row(("x",), 30.0, 29.0, -1.0)
    assert not one.significant
    assert SECTIONS[0].better(one) is None
