"""The command line: its help, its mistakes, its JSON, its completion."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from qdr import cli
from qdr.cli import main, parser
from qdr.export.qdq import Exporter
from qdr.models.blocks import stride
from tests.networks import quantized, small_efm

ROOT = Path(__file__).resolve().parent.parent
HEAVY = (
    "torch",
    "numpy",
    "pandas",
    "matplotlib",
    "onnx",
    "openvino",
    "onnxruntime",
    "scipy",
    "skimage",
    "yaml",
    "rich",
    "shtab",
)


def verbs(above: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every verb, and the verbs of verbs."""
    for action in above._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield verb
                yield from verbs(verb)


ALL = list(verbs(parser()))


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engines") / "int8.onnx"
    model = small_efm()
    Exporter().write(quantized(model), path, "efm", stride(model))
    return path


def test_help_of_every_verb_imports_nothing_heavy() -> None:
    code = f"""
import sys, qdr.cli
front = qdr.cli.parser()
front.format_help()
for verb in front._verbs.choices.values(): verb.format_help()
print([m for m in {HEAVY} if m in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_verb_is_in_one_group_of_the_help() -> None:
    text = parser().format_help()
    listed = re.findall(r"^  (\w+) +\w", text.split("\noptions:")[0], re.MULTILINE)
    assert sorted(listed) == sorted(verb.prog.split()[1] for verb in ALL if verb.prog.count(" ") == 1)
    titles = re.findall(r"^([a-z ]+):$", text, re.MULTILINE)
    assert titles == ["data", "train", "many machines", "export and measure", "report", "use", "options", "exit codes"]


@pytest.mark.parametrize("verb", ALL, ids=lambda verb: verb.prog)
def test_examples_are_legal_and_of_the_verb(verb: argparse.ArgumentParser) -> None:
    lines = re.findall(r"^  (?:source <\()?(qdr [^#\n)>]*)", verb.format_help().split("\nexamples:\n")[1], re.MULTILINE)
    assert lines
    for line in lines:
        assert line.startswith(verb.prog), line
        options = parser().parse_args([word for word in line.split()[1:] if word != "|"])
        assert callable(options.verb)


@pytest.mark.parametrize("verb", ALL, ids=lambda verb: verb.prog)
def test_every_argument_has_help(verb: argparse.ArgumentParser) -> None:
    without = [a.dest for a in verb._actions if not a.help and not isinstance(a, argparse._SubParsersAction)]
    assert not without


def test_profiles_in_the_help_are_those_of_the_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "profiles" / "mine.yaml").write_text("# Our own photographs. Command: make mine.\nprofile: mine\n")
    with pytest.raises(SystemExit) as stop:
        main(["profile", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert re.search(r"^  mine +Our own photographs$", text, re.MULTILINE)
    assert all(path.stem in text for path in (project / "profiles").glob("*.yaml"))


def test_help_outside_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["profile", "--help"])
    assert "outside a project" in capsys.readouterr().out
    assert main(["completion", "bash"]) == 0
    assert "derain" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profile", "embeded"], "unknown profile 'embeded': did you mean 'embedded'"),
        (["prepare", "derian"], "unknown task 'derian': did you mean 'derain'"),
        (["train", "derain", "qrd"], "unknown method 'qrd': did you mean 'qdr'"),
        (["train", "derain", "qdr", "--bits", "W8A9"], "unknown bits 'W8A9': did you mean 'W8A8'"),
        (["train", "derain", "qdr", "--bits", "FP32"], "method 'qdr' does not go with bits 'FP32'"),
        (["train", "derain", "qdr", "--bits", "W8A8", "--images", "none"], "--images must be"),
        (["fetch", "photo"], "unknown source 'photo': did you mean 'photos'"),
        (["export"], "train it first"),
        (["export", "--json"], "`qdr export --check --json`"),
        (["data", "cards", "--profile", "publik"], "unknown profile 'publik': did you mean 'public'"),
        (["restore", "no.png", "out.png", "--task", "derain"], "no.png does not exist"),
    ],
)
def test_mistakes_are_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian", "derain"], "qdr: error: unknown verb 'trian': did you mean 'train'"),
        (["data", "stats"], "qdr data: error: unknown verb 'stats': did you mean 'status'"),
        (["report", "tabels"], "qdr report: error: unknown choice 'tabels': did you mean 'tables'"),
        (["train", "derain", "--bit", "W8A8", "--imges", "2"], "did you mean '--images'?; see `qdr train --help`"),
        (["data", "status", "--jsn"], "qdr data status: error: unknown argument '--jsn': did you mean '--json'?"),
        (["fetch"], "qdr fetch: error: the following arguments are required: source; see `qdr fetch --help`"),
        (["train", "derain", "--seed", "x"], "qdr train: error: argument --seed: invalid int value: 'x'"),
        ([], "qdr: error: the following arguments are required: VERB"),
    ],
)
def test_mistakes_in_the_command_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_traceback_on_request_changes_no_exit_code(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = main(["prepare", "derian"]), capsys.readouterr().err
    monkeypatch.setenv("QDR_TRACEBACK", "1")
    traced = main(["prepare", "derian"]), capsys.readouterr().err
    assert traced[0] == plain[0] == 2
    assert traced[1].startswith("Traceback")
    assert traced[1].endswith(plain[1])


def test_exit_codes_are_the_documented_ones(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("qdr.suite.data.sources.print_states", interrupted)
    assert main(["data", "status"]) == 130
    assert main(["profile"]) == 0
    assert re.findall(r"^  (\d+) ", cli.EXIT_CODES, re.MULTILINE) == ["0", "1", "2", "130"]


def test_profile_switches_and_keeps_the_old_one_on_a_mistake(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "public"]) == 0
    assert capsys.readouterr().out.startswith("public: ")
    active = (project / "params.yaml").read_bytes()
    (project / "profiles" / "broken.yaml").write_text("profile: broken\n")
    assert main(["profile", "broken"]) == 2
    assert (project / "params.yaml").read_bytes() == active


def test_no_permission(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "params.yaml")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert main(["profile", "embedded"]) == 2
    assert "check permissions" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert re.fullmatch(r"qdr \d+\.\d+\.\d+\n", shown)
    assert main(["version"]) == 0
    assert shown.strip() in capsys.readouterr().out.splitlines()
    assert main(["version", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert shown == f"qdr {record['versions']['qdr']}\n"
    assert {"torch", "openvino", "python"} <= record["versions"].keys()
    assert record["machine"]["cpu_count"] >= 1


def test_json_of_profile_and_data(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["profile"], record["data"]["seed"]) == ("smoke", 2603)
    assert main(["data", "status", "--json"]) == 0
    states = {state["source"]: state for state in json.loads(capsys.readouterr().out)}
    assert states.keys() == json.loads((project / "data" / "manifest.json").read_text()).keys()
    assert states["photos"] | {"licence": ""} == {
        **{"source": "photos", "word": "missing", "where": "", "found": 0, "todo": "qdr fetch photos"},
        **{"count": 7, "split": "test", "licence": "", "terms": "free"},
    }


def test_json_of_export_check(project: Path, int8: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "work" / "engines" / "derain").mkdir(parents=True)
    shutil.copy(int8, project / "work" / "engines" / "derain" / "mine.onnx")
    assert main(["export", "--check", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["file"], record["good"], record["broken"]) == ("derain/mine.onnx", True, [])
    assert record["quantized"] == record["convolutions"] > 0


def test_json_of_restore(int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (32, 32), (90, 120, 60)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    arguments = ["restore", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(int8), "--json"]
    assert main(arguments) == 1
    record = json.loads(capsys.readouterr().out)
    (failed,) = record.pop("failed")
    nothing: dict[str, list[str]] = {key: [] for key in ("foreign", "left", "notes", "passed", "videos")}
    assert record == nothing | {"target": str(tmp_path / "out"), "restored": 1, "skipped": 0, "exact": True}
    assert failed["file"] == str(tmp_path / "in" / "bad.png")
    assert "bad.png" in failed["reason"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "profiles" / "mine.yaml").write_text("")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    names = ("restore", "derain", "mine", "openvino", "qat-kd-decoder", "photos", "--fail-on")
    assert [name for name in names if name not in script] == []
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_bash_completes_a_verb(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    ask = '\nCOMP_WORDS=(qdr trai); COMP_CWORD=1; COMP_TYPE=9; _shtab_qdr; echo "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash"], input=capsys.readouterr().out + ask, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "train"


def test_colours_only_where_they_are_wanted(project: Path) -> None:
    """FORCE_COLOR stands for a terminal; NO_COLOR (no-color.org) has the last word."""
    command = [sys.executable, "-m", "qdr.cli", "data", "status"]
    base = {"PATH": "", "PYTHONPATH": str(ROOT)}
    colour = re.compile(r"\x1b\[[\d;]*3\d[\d;]*m")
    for settings, coloured in (({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)):
        done = subprocess.run(command, env=base | settings, capture_output=True, text=True, check=True)
        assert bool(colour.search(done.stdout)) is coloured, settings


def test_no_file_writes_its_own_colours() -> None:
    sources = [path for path in (ROOT / "qdr").rglob("*.py") if re.search(r"\\(?:033|x1b|e)\[", path.read_text("utf-8"))]
    assert [path.name for path in sources] == ["errors.py"], "which shows how they are taken out of a message"
