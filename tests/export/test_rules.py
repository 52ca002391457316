"""Each of TensorRT's rules is broken once, alone, in a legal file; docs/export.md has what TensorRT-RTX says to it.

The tables there: `python -m tests.export.test_rules` writes them anew; read the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from qdr.export.check import check_tensorrt
from qdr.export.conformance import build_with_tensorrt_rtx, has_tensorrt_rtx
from qdr.export.rules import RULES, breaches
from tests.export.breaches import CHANGES, legal_file

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"
Change = Callable[[onnx.ModelProto], str]


@pytest.fixture(scope="module")
def legal(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return legal_file(tmp_path_factory.mktemp("legal") / "efm.onnx")


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def test_the_exported_file_keeps_every_rule(legal: onnx.ModelProto) -> None:
    assert breaches(legal) == []


def test_every_rule_has_a_breach_and_a_source() -> None:
    assert {rule.name for rule in RULES} == {name for name, _, _ in CHANGES}
    assert all(rule.source.split(":")[0] in ("API", "OPS", "TYPES", "PARSER") for rule in RULES)


@pytest.mark.parametrize(("name", "change"), [(n, c) for n, _, c in CHANGES], ids=[what for _, what, _ in CHANGES])
def test_a_breach_names_its_rule_its_node_and_the_remedy(legal: onnx.ModelProto, name: str, change: Change) -> None:
    model = copy_of(legal)
    node = change(model)
    onnx.checker.check_model(model)  # what is broken is TensorRT's rule, not ONNX's
    found = breaches(model)
    assert {breach.rule.name for breach in found} == {name}
    assert node in {breach.node for breach in found}
    (rule,) = {breach.rule for breach in found}
    assert str(found[0]).endswith(rule.remedy)
    assert bool(check_tensorrt(model)) == (rule.kind == "must")


def rules_table() -> str:
    lines = ["| Rule | Kind | A file keeps it when | Source |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {r.name} | {r.kind} | {r.demand} | {r.source} |" for r in RULES)])


def verdicts_table(legal: onnx.ModelProto, folder: Path) -> str:
    lines = ["| Rule | Broken by | TensorRT-RTX |", "| --- | --- | --- |"]
    for name, what, change in CHANGES:
        model, path = copy_of(legal), folder / "broken.onnx"
        change(model)
        onnx.save(model, path)
        refused = build_with_tensorrt_rtx(path)
        lines.append(f"| {name} | {what} | {'refused by the ' + refused[0].split(':')[0] if refused else 'builds'} |")
    return "\n".join(lines)


def between(page: str, name: str) -> str:
    return page.split(f"<!-- {name} -->\n")[1].split(f"\n<!-- end of {name} -->")[0]


def test_the_page_lists_the_rules() -> None:
    assert between(PAGE.read_text(encoding="utf-8"), "rules") == rules_table()


@pytest.mark.slow
@pytest.mark.skipif(not has_tensorrt_rtx(), reason="the extra trt-check is not installed")
def test_the_page_says_what_tensorrt_rtx_says(legal: onnx.ModelProto, tmp_path: Path) -> None:
    assert between(PAGE.read_text(encoding="utf-8"), "verdicts") == verdicts_table(legal, tmp_path)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        written = PAGE.read_text(encoding="utf-8")
        fresh = {"rules": rules_table(), "verdicts": verdicts_table(legal_file(Path(place) / "efm.onnx"), Path(place))}
        for key, table in fresh.items():
            written = written.replace(between(written, key), table)
        PAGE.write_text(written, encoding="utf-8")
