"""YAML, CSV and JSON that are malformed, of another version, or hostile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from qdr.suite.jetson.bundle import RULES
from qdr.suite.jetson.measure import SCHEMA, digest
from tests.faults.fault import Fault, Inject

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "results/embedded"
SPEED = ("report", "speed", "--profile", "embedded")
TABLES = ("report", "tables", "--profile", "embedded")
IMPORT = ("results", "import", "result.json")
KEPT = "nothing; tables and figures stay as they were"
BOMB = "\n".join(
    ["a: &a [x, x]", *(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))]
)


def text(name: str, change: Callable[[str], str] | str) -> Inject:
    """Write a file, or change one that is there."""

    def inject(place: Path) -> None:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(change if isinstance(change, str) else change(path.read_text()))

    return inject


def results(name: str, change: Callable[[str], str]) -> Inject:
    """A copy of the committed results with one file changed."""

    def inject(place: Path) -> None:
        files = (path for path in (ROOT / RESULTS).iterdir() if path.is_file())
        (place / RESULTS).mkdir(parents=True)
        for path in files:
            shutil.copy(path, place / RESULTS)
        text(f"{RESULTS}/{name}", change)(place)

    return inject


def columns(change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    """Change the fields of every row."""
    return lambda content: "".join(",".join(change(line.split(","))) + "\n" for line in content.splitlines())


def line(number: int, change: Callable[[str], str]) -> Callable[[str], str]:
    def apply(content: str) -> str:
        lines = content.splitlines()
        lines[number] = change(lines[number])
        return "\n".join(lines) + "\n"

    return apply


def without(word: str) -> Callable[[str], str]:
    """Drop the rows that have a field."""
    return lambda content: "".join(row for row in content.splitlines(keepends=True) if word not in row.rstrip().split(","))


def record(change: Callable[[dict], object]) -> Callable[[str], str]:
    """Change a JSON object."""

    def apply(content: str) -> str:
        found = json.loads(content)
        change(found)
        return json.dumps(found)

    return apply


def jetson(**changes: object) -> Inject:
    """A result as the Jetson's script writes it, with keys changed and the checksum made to fit."""

    def inject(place: Path) -> None:
        device = {"model": "a Jetson", "l4t": "36.4.3", "tensorrt": "10.3.0", "power_mode": "15W"}
        result: dict[str, object] = {
            "schema": SCHEMA,
            "profile": "smoke",
            "device": device,
            "rules": dict(RULES),
            "cases": [],
        }
        result |= {"manifest_sha256": "0" * 64, "finished": "2026-01-01T00:00:00Z"} | changes
        (place / "result.json").write_text(json.dumps(result | {"sha256": digest(result)}))

    return inject


def claims(place: Path) -> None:
    (place / "README.md").write_text("# A page\n")
    text("docs/claims.yaml", "- a\n")(place)


FAULTS = [
    Fault(
        "yaml-broken",
        "params.yaml with a bracket that is not closed",
        text("params.yaml", lambda t: t + "x: [1\n"),
        ("prepare", "derain"),
        "params.yaml: ",
    ),
    Fault(
        "yaml-code",
        "params.yaml with `!!python/object/apply:os.system`",
        text("params.yaml", lambda t: t + "x: !!python/object/apply:os.system ['touch touched']\n"),
        ("prepare", "derain"),
        "could not determine a constructor",
        "nothing; nothing is run",
    ),
    Fault(
        "yaml-bomb",
        "params.yaml of 300 bytes whose aliases stand for 80 million values",
        text("params.yaml", BOMB),
        ("prepare", "derain"),
        "aliases are not read here",
    ),
    Fault(
        "yaml-twice",
        "params.yaml with `threads` twice",
        text("params.yaml", lambda t: t + "threads: 8\n"),
        ("prepare", "derain"),
        "the key 'threads' is there twice",
    ),
    Fault(
        "yaml-key",
        "params.yaml with the key `thread`",
        text("params.yaml", lambda t: t + "thread: 8\n"),
        ("prepare", "derain"),
        "unknown key thread: did you mean 'threads'?",
    ),
    Fault(
        "yaml-type",
        "params.yaml with `threads: many`",
        text("params.yaml", lambda t: t.replace("threads: 1", "threads: many", 1)),
        ("prepare", "derain"),
        "threads must be int, got 'many'",
    ),
    Fault(
        "yaml-latin",
        "params.yaml that is not UTF-8",
        lambda place: (place / "params.yaml").write_bytes(b"profile: \xe9\n"),
        ("prepare", "derain"),
        "params.yaml is not text in UTF-8",
    ),
    Fault(
        "profile-broken",
        "a profile that lacks a key",
        text("profiles/full.yaml", lambda t: t.replace("threads:", "# threads:", 1)),
        ("profile", "full"),
        "full.yaml: missing key threads",
        "nothing; the active profile stays",
    ),
    Fault(
        "methods-broken",
        "methods.yaml whose method has an unknown key",
        text("methods.yaml", lambda t: t + "mine: {label: Mine, quantiser: lsq}\n"),
        ("prepare", "derain"),
        "unknown key mine.quantiser: did you mean 'quantizer'?",
    ),
    Fault(
        "method-changed",
        "a method with a change that is not YAML",
        lambda place: None,
        ("train", "derain", "qdr@weight=[", "--bits", "W8A8"),
        "is not valid YAML",
    ),
    Fault(
        "claims-broken",
        "docs/claims.yaml that is a list",
        claims,
        ("report", "texts"),
        "claims.yaml must be a mapping of pages",
        "nothing; no page is changed",
    ),
    Fault(
        "csv-missing",
        "quality.csv of another version, without a column",
        results("quality.csv", columns(lambda f: f[:-1])),
        TABLES,
        "quality.csv has columns",
        KEPT,
    ),
    Fault(
        "csv-extra",
        "quality.csv of another version, with a column more",
        results("quality.csv", columns(lambda f: [*f, "x"])),
        TABLES,
        "quality.csv has columns",
        KEPT,
    ),
    Fault(
        "csv-type",
        "quality.csv with a text where a number belongs",
        results("quality.csv", line(7, lambda row: row.rsplit(",", 1)[0] + ",fast")),
        TABLES,
        "quality.csv, line 8: value 'fast' is not valid",
        KEPT,
    ),
    Fault(
        "csv-nan",
        "quality.csv with a value that is not a number",
        results("quality.csv", line(7, lambda row: row.rsplit(",", 1)[0] + ",nan")),
        TABLES,
        "quality.csv, line 8: value 'nan' is not valid: must be finite",
        KEPT,
    ),
    Fault(
        "csv-twice",
        "quality.csv with a row twice",
        results("quality.csv", line(7, lambda row: f"{row}\n{row}")),
        TABLES,
        "quality.csv, line 9: the same row as line 8",
        KEPT,
    ),
    Fault(
        "csv-cut",
        "quality.csv cut in the middle of a row",
        results("quality.csv", lambda t: t[: t.rindex(",", 0, len(t) // 2)]),
        TABLES,
        "fields, the header has",
        KEPT,
    ),
    Fault(
        "csv-quote",
        "quality.csv with a quote that is not closed",
        results("quality.csv", line(7, lambda row: '"' + row)),
        TABLES,
        "not CSV",
        KEPT,
    ),
    Fault(
        "csv-no-fp32",
        "latency.csv without its FP32 rows",
        results("latency.csv", without("fp32")),
        SPEED,
        "latency.csv has no fp32 row of efm in openvino",
        KEPT,
    ),
    Fault(
        "csv-no-ssim",
        "quality.csv without any SSIM",
        results("quality.csv", without("ssim")),
        TABLES,
        "quality.csv has no ssim of input FP32",
        KEPT,
    ),
    Fault(
        "csv-no-model",
        "kernels.csv without the model of the prediction",
        results("kernels.csv", without("base")),
        SPEED,
        "kernels.csv has no model 'base'",
        KEPT,
    ),
    Fault(
        "json-broken",
        "latency.json cut in the middle",
        results("latency.json", lambda t: t[: len(t) // 2]),
        SPEED,
        "latency.json is not valid JSON",
        KEPT,
    ),
    Fault(
        "json-lacks",
        "latency.json of another version, without `cpu`",
        results("latency.json", record(lambda r: r.pop("cpu"))),
        SPEED,
        "latency.json: 'cpu' must be text, it is missing",
        KEPT,
    ),
    Fault(
        "json-peaks",
        "machine.json whose peak is a text",
        results("machine.json", record(lambda r: r["peaks"]["int8_gops"].update({"2": "fast"}))),
        SPEED,
        "machine.json: peaks.int8_gops: '2' must be a number, got 'fast'",
        KEPT,
    ),
    Fault(
        "json-nan",
        "jetson.json with NaN",
        results("jetson.json", lambda t: t.replace('"rows": []', '"rows": [NaN]')),
        SPEED,
        "NaN, where a number must be finite",
        KEPT,
    ),
    Fault(
        "json-deep",
        "a manifest of a hundred thousand brackets",
        text("data/manifest.json", "[" * 100_000),
        ("data", "status"),
        "manifest.json is not valid JSON",
    ),
    Fault(
        "json-twice",
        "a manifest with a source twice",
        text("data/manifest.json", '{"photos": {}, "photos": {}}'),
        ("data", "status"),
        "the key 'photos' is there twice",
    ),
    Fault(
        "jetson-cut",
        "a Jetson's result.json cut in the middle",
        text("result.json", '{"schema": "qdr-je'),
        IMPORT,
        "result.json is not valid JSON",
        "nothing; jetson.json stays",
    ),
    Fault(
        "jetson-edited",
        "a Jetson's result with a number changed by hand",
        text("result.json", json.dumps({"schema": SCHEMA, "sha256": "0"})),
        IMPORT,
        "was changed after it was written",
        "nothing; jetson.json stays",
    ),
    Fault(
        "jetson-version",
        "a Jetson's result of another version",
        jetson(schema="qdr-jetson/0"),
        IMPORT,
        "has schema 'qdr-jetson/0', expected",
        "nothing; jetson.json stays",
    ),
    Fault(
        "jetson-type",
        "a Jetson's result whose device is a list",
        jetson(device=[]),
        IMPORT,
        "'device' must be an object, got []",
        "nothing; jetson.json stays",
    ),
    Fault(
        "jetson-case",
        "a Jetson's result with a case that is a number",
        jetson(cases=[3]),
        IMPORT,
        "cases[0] must hold an object, got 3",
        "nothing; jetson.json stays",
    ),
]
