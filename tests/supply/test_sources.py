"""No unsafe loader in the tree, and one module that opens each kind of file."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
import yaml

from qdr.suite import strict
from tests.supply.sources import ROOT, calls, files, unsafe

# What opens a file of each kind, and the modules that may: the opener, and those that read what this process itself wrote.
OPENERS = {
    "PIL.Image.open": {
        "qdr/restore/walk.py",
        "qdr/images/decode.py",
        "qdr/suite/data/degrade/camera.py",  # from memory
    },
    "tifffile.TiffFile": {"qdr/restore/deep.py"},
    "imagecodecs.png_decode": {"qdr/restore/deep.py"},
    "onnx.load": {
        "qdr/export/file.py",
        "qdr/export/calibrated.py",  # what ONNX Runtime just wrote
        "qdr/runtimes/ort.py",  # within a net for whatever its library raises
    },
    "tarfile.open": {
        "qdr/suite/data/archive.py",
        "qdr/suite/jetson/bundle.py",
        "qdr/suite/report/compare/sides.py",
    },  # its writer; git's
    "zipfile.ZipFile": {"qdr/suite/data/archive.py", "qdr/convert/program.py"},
    "yaml.load": {"qdr/suite/strict.py"},
    "yaml.safe_load": set(),
    "csv.reader": {"qdr/rows.py"},
    "csv.DictReader": set(),
    "pandas.read_csv": set(),
    "torch.load": {
        "qdr/state.py",
        "qdr/metrics/perceptual.py",
        "qdr/convert/network.py",
        "qdr/convert/program.py",
    },
    "torch.export.load": {"qdr/convert/program.py"},
    "safetensors.safe_open": {"qdr/models/pretrained.py"},
    "safetensors.torch.load_file": {"qdr/suite/train/checkpoint.py", "qdr/convert/network.py"},
    "requests.get": {"qdr/suite/data/download.py"},
    "numpy.load": {
        "qdr/restore/video.py",
        "qdr/suite/data/wheels.py",
        "qdr/suite/bench/worker.py",
        "qdr/suite/bench/accuracy.py",
        "qdr/suite/bench/latency.py",
    },
}
SHORT = {"np.load": "numpy.load", "pd.read_csv": "pandas.read_csv", "Image.open": "PIL.Image.open"}


EXAMPLES = ("tests/docs/", "tests/jetson/test_page.py")  # these run what this repository's own pages say
RUN = ("exec", "eval", "compile", "subprocess.run")


@cache
def used(path: Path) -> set[str]:
    """What a file calls, by its long name."""
    return {SHORT.get(name, name) for name, _ in calls(ast.parse(path.read_text(encoding="utf-8")))}


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_unsafe_loader(path: Path) -> None:
    found = unsafe(path.read_text(encoding="utf-8"))
    examples = path.relative_to(ROOT).as_posix().startswith(EXAMPLES)
    assert [what for what in found if not (examples and what.partition(": ")[2] in RUN)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(f)",
        "from pickle import loads\nloads(b)",
        "import pickle as p\np.loads(b)",
        "import torch\ntorch.load(f)",
        "import torch\ntorch.load(f, weights_only=False)",
        "from torch import load\nload(f)",
        "import yaml\nyaml.load(f)",
        "import yaml\nyaml.load(f, Loader=yaml.FullLoader)",
        "import yaml\nyaml.load(f, yaml.Loader)",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "eval(text)",
        "exec(text)",
        "import tarfile\nwith tarfile.open(f) as tar:\n    tar.extractall(d)",
        "import subprocess\nsubprocess.run(c, shell=True)",
        "import os\nos.system(c)",
        "model = load(name, trust_remote_code=True)",
        "import requests\nrequests.get(u, verify=False)",
    ],
)
def test_what_is_found(source: str) -> None:
    assert len(unsafe(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(f, weights_only=True)\nmodel.eval()",
        "import yaml\nyaml.load(f, Loader=yaml.SafeLoader)\nyaml.safe_load(f)",
        "import numpy as np\nnp.load(f)",
        "import tarfile\nwith tarfile.open(f) as tar:\n    tar.extractall(d, filter='data')",
        "import zipfile\nwith zipfile.ZipFile(f) as z:\n    z.extractall(d)",
        "import subprocess\nsubprocess.run(['a'])",
    ],
)
def test_what_is_let_through(source: str) -> None:
    assert unsafe(source) == []


def test_the_yaml_loader_is_a_safe_one() -> None:
    assert issubclass(strict._Plain, yaml.SafeLoader)


@pytest.mark.parametrize("opener", OPENERS)
def test_one_door_for_each_kind_of_file(opener: str) -> None:
    users = {path.relative_to(ROOT).as_posix() for path in (ROOT / "qdr").rglob("*.py") if opener in used(path)}
    assert users == OPENERS[opener]
