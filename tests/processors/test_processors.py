"""Other processors than this one: capped, emulated x86 without VNNI, emulated ARM. docs/processors.md has the figures.

On x86 without VNNI, OpenVINO must be found wrong for W8A8 files and right for W7A8 files, and ONNX Runtime right for both.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from qdr.models import TASKS
from qdr.restore import pretrained
from qdr.runtimes.session import open_session, restore
from qdr.runtimes.verify import GATES

ROOT = Path(__file__).resolve().parents[2]
FILES = [pretrained.FOLDER / f"{task}-{scheme}.onnx" for task in TASKS for scheme in pretrained.SCHEMES]
CAP = {"ONEDNN_MAX_CPU_ISA": "AVX2"}  # OpenVINO then multiplies as on a processor without VNNI, bit for bit
X86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="not an x86 processor")
SYSROOT = os.environ.get("QDR_AARCH64_SYSROOT", "")


@dataclass(frozen=True)
class Judged:
    """What `judge.py` found: verdicts and restored pictures by file and engine."""

    saturates: bool
    verdicts: dict[str, dict[str, dict[str, float]]]
    pictures: dict[str, NDArray[np.uint8]]

    def right(self, engine: str, scheme: str) -> set[bool]:
        """The verdicts on an engine for all files of a scheme."""
        return {bool(found[engine]["right"]) for stem, found in self.verdicts.items() if stem.endswith(scheme)}


def judge(into: Path, engines: str, files: list[Path], python: list[str], **environment: str) -> Judged:
    """Run `judge.py` with a Python of another processor."""
    pictures = into / "pictures.npz"
    arguments = [str(ROOT / "tests" / "processors" / "judge.py"), engines, str(pictures), *map(str, files)]
    paths = os.pathsep.join([str(ROOT), environment.pop("PYTHONPATH", "")])
    given = os.environ | {"PYTHONPATH": paths, "XDG_CACHE_HOME": str(into)} | environment
    done = subprocess.run([*python, *arguments], env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(pictures) as kept:
        return Judged(**json.loads(done.stdout.splitlines()[-1]), pictures=dict(kept))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """The exact arithmetic of every file, on this processor."""
    return judge(tmp_path_factory.mktemp("here"), "exact", FILES, [sys.executable])


@X86
def test_openvino_capped_to_avx2_is_found_wrong(tmp_path: Path) -> None:
    found = judge(tmp_path, "openvino", FILES[:2], [sys.executable], **CAP)
    assert found.right("openvino", "W8A8") == {False}
    assert found.right("openvino", "W7A8") == {True}


@X86
def test_restore_capped_to_avx2_says_so_and_gives_the_exact_picture(tmp_path: Path) -> None:
    """The command with its defaults; the picture is what the exact arithmetic makes of the file it took."""
    picture = np.random.default_rng(1).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "in.png")
    command = [sys.executable, "-m", "qdr.cli", "restore", "in.png", "out.png", "--task", TASKS[0]]
    given = os.environ | CAP | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"qdr: openvino computes {FILES[0].name} wrongly on this processor (" in done.stderr
    taken = FILES[f"with {FILES[1].name}" in done.stderr]
    exact = restore(open_session("exact", taken), picture)
    levels = np.abs(np.asarray(Image.open(tmp_path / "out.png")).astype(int) - exact)
    assert _within(levels)


@pytest.mark.slow
@X86
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="no qemu-x86_64 (Debian: qemu-user)")
def test_emulated_x86_without_vnni(tmp_path: Path, here: Judged) -> None:
    """Haswell has AVX2 and nothing above. "unshifted" shows that the emulated sums really saturate."""
    qemu = ["qemu-x86_64", "-cpu", "Haswell", sys.executable]
    found = judge(tmp_path, "openvino,onnxruntime,unshifted", FILES, qemu)
    assert found.saturates
    assert found.right("openvino", "W8A8") == {False}
    assert False in found.right("unshifted", "W8A8")
    assert found.right("openvino", "W7A8") == found.right("unshifted", "W7A8") == {True}
    assert found.right("onnxruntime", "A8") == {True}
    capped = judge(tmp_path, "openvino", FILES, [sys.executable], **CAP)
    for path in FILES:
        key = f"{path.stem}|openvino"
        assert np.array_equal(found.pictures[key], capped.pictures[key])  # the cap is a faithful substitute
    _parity(found, here)


@pytest.mark.slow
@pytest.mark.skipif(not SYSROOT, reason="QDR_AARCH64_SYSROOT names no sysroot (tests/processors/sysroot.sh makes one)")
@pytest.mark.parametrize("cpu", ["cortex-a72", "neoverse-n1"])  # without and with dot products
def test_emulated_aarch64(tmp_path: Path, here: Judged, cpu: str) -> None:
    qemu = ["qemu-aarch64", "-L", SYSROOT, "-cpu", cpu, f"{SYSROOT}/usr/bin/python3.11"]
    found = judge(tmp_path, "openvino,onnxruntime", FILES, qemu, PYTHONPATH=f"{SYSROOT}/site")
    assert not found.saturates
    assert found.right("onnxruntime", "A8") == {True}
    verdicts = {stem: engines["openvino"] for stem, engines in found.verdicts.items()}
    off = {stem: verdict["mean"] for stem, verdict in verdicts.items() if not verdict["right"]}
    assert off.keys() == {"denoise-W7A8"}  # rounding that falls to the other side, which weights for noise magnify
    assert off["denoise-W7A8"] < 0.7
    _parity(found, here)


def _parity(found: Judged, here: Judged) -> None:
    """What a right engine restores there is what the exact arithmetic gives here."""
    for stem, engines in found.verdicts.items():
        for engine in (engine for engine, verdict in engines.items() if verdict["right"]):
            levels = np.abs(found.pictures[f"{stem}|{engine}"].astype(int) - here.pictures[f"{stem}|exact"])
            assert _within(levels), (stem, engine, levels.mean())


def _within(levels: NDArray[np.int_]) -> bool:
    mean, high = GATES["int8"]
    return bool(levels.mean() <= mean and np.quantile(levels, 0.999) <= high)
