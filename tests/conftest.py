"""Shared fixtures: a small project in a temporary folder, and small networks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Two workers share two cores: a second thread in each would wait for the other's, spinning. Read when libraries are loaded.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image

from qdr.models.efm import EFM
from qdr.suite import config
from tests import network

network.block()
ROOT = Path(__file__).resolve().parent.parent
# A run today tests what it tested yesterday; the weekly run of CI looks for new examples (HYPOTHESIS_PROFILE=new-examples).
hypothesis.settings.register_profile("same-examples", derandomize=True, deadline=None)
hypothesis.settings.register_profile("new-examples", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same-examples"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Verdicts on engines are kept for the session, not in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project root with the smoke profile active; the working directory of the test."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    profile = (ROOT / "profiles" / "smoke.yaml").read_text()
    (tmp_path / "params.yaml").write_text(profile.replace("threads: 2", "threads: 1"))
    shutil.copy(ROOT / "methods.yaml", tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data" / "manifest.json", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pairs(project: Path) -> Path:
    """Prepared pairs of the task derain: smooth images with noise, 6 to train, 2 in each other split."""
    rng = np.random.default_rng(0)
    for split, count in {"train": 6, "val": 2, "photos": 2, "scenes": 2}.items():
        folder = project / "data" / "prepared" / "derain" / split
        for kind in ("input", "target", "truth"):
            (folder / kind).mkdir(parents=True)
        for i in range(count):
            ramp = np.linspace(30, 220, 64)
            clean = np.stack([ramp[:, None] * 0.5 + ramp[None, :] * 0.5 + 10 * c for c in range(3)], axis=2)
            noisy = clean + rng.normal(0, 15, clean.shape)
            for kind, image in (("target", clean), ("input", noisy)):
                Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / kind / f"im{i}.png")
            Image.fromarray(np.full((64, 64), 60, np.uint8)).save(folder / "truth" / f"im{i}.png")
    return project / "data" / "prepared" / "derain"


@pytest.fixture
def settings(project: Path) -> config.Config:
    return config.load()


@pytest.fixture
def efm() -> EFM:
    """A small EFM whose every part does something (fresh ones start as the identity)."""
    torch.manual_seed(0)
    model = EFM((16, 32), (1, 1))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 4:
                torch.nn.init.kaiming_normal_(parameter).mul_(0.6)
    return model.eval()
