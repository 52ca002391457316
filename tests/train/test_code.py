"""A model's identity follows the code that decides its bits, and nothing else."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qdr.suite.train import code

QAT = ("qdr.models.efm", "qdr.quant.prepare", "qdr.quant.layers", "qdr.quant.quantizers.lsq", "qdr.distill.balancers.fixed")
FOUND = filter(None, map(shutil.which, ("python3.11", "python3.12", "python3.13", "python3.14")))
PYTHONS = [
    sys.executable,
    *(python for python in FOUND if not subprocess.run([python, "-c", ""], capture_output=True).returncode),
]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two modules as if they were of qdr, of which `one` imports `other`."""
    import qdr

    monkeypatch.setattr(qdr, "__path__", [*qdr.__path__, str(tmp_path)])
    (tmp_path / "one.py").write_text("from qdr.other import f\n\n\ndef g() -> int:\n    return f()\n")
    (tmp_path / "other.py").write_text("def f() -> int:\n    return 1\n")
    yield tmp_path
    for name in ("qdr.one", "qdr.other"):
        sys.modules.pop(name, None)


def digest() -> str:
    code.digest.cache_clear()
    code._read.cache_clear()
    return code.digest(("qdr.one",))


def test_words_do_not_count_and_code_does_however_deep(package: Path) -> None:
    before = digest()
    (package / "other.py").write_text('"""Words."""\n\n\ndef f() -> int:\n    """More."""\n    return 1  # one\n')
    assert digest() == before
    (package / "other.py").write_text("def f() -> int:\n    return 2\n")
    assert digest() != before


def test_every_version_of_python_finds_the_same() -> None:
    """Models are adopted from machines of another version."""
    source = "@cache\ndef f(x: int, *, y: int = 1) -> str:\n    return f'{x!r} {y:>3}' if x else 'a'\n\n\nclass A: ...\n"
    script = f"{inspect.getsource(code._text)}\nimport ast\nprint(_text(ast.parse({source!r})))"
    found = {subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout for python in PYTHONS}
    assert len(found) == 1


def test_what_decides_a_quantized_model_is_read_and_its_rivals_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    read = code._read
    monkeypatch.setattr(code, "_read", lambda name: (seen.add(name), read(name))[1])
    code.digest.cache_clear()
    code.digest(QAT)
    loop = {f"qdr.suite.{name}" for name in ("train.run", "train.loop", "train.objective", "train.optim", "data.loader")}
    assert {*QAT, *loop, "qdr.seed", "qdr.ranks", "qdr.quant.integer", "qdr.quant.layers", "qdr.quant.observers"} <= seen
    assert (
        not {"qdr.models.peers.nafnet", "qdr.quant.quantizers.pact", "qdr.distill.balancers.lmr", "qdr.suite.config"} & seen
    )
    seen.clear()
    code.digest(("qdr.models.efm", "qdr.distill.balancers.fixed"))
    assert not seen & {"qdr.quant.layers", "qdr.distill.points", "qdr.quant.quantizers.lsq"}
