"""The saved state of an unfinished run: whole whatever happens, with the one before as a fallback."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from qdr.errors import QdrError
from qdr.suite.train.checkpoint import Progress, exclusive, read_state


def layer(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def saved(folder: Path) -> tuple[Progress, nn.Module, nn.Module]:
    """A state after step 10 and one after step 20."""
    progress = Progress(folder / "state.pt", "fingerprint")
    first, second = layer(1), layer(2)
    progress.save(10, [{"step": 0, "loss": 0.1}], first)
    progress.save(20, [{"step": 0, "loss": 0.1}, {"step": 15, "loss": 1 / 3}], second)
    return progress, first, second


def test_the_newest_state_is_gone_on_from(tmp_path: Path) -> None:
    progress, _, second = saved(tmp_path)
    model = layer()
    assert progress.restore(model) == (20, [{"step": 0, "loss": 0.1}, {"step": 15, "loss": 1 / 3}])
    assert torch.equal(model.weight, second.weight)


def test_a_state_of_another_run_is_not(tmp_path: Path) -> None:
    saved(tmp_path)
    assert Progress(tmp_path / "state.pt", "another").restore(layer()) == (0, [])


@given(place=st.floats(0, 1, exclude_max=True), length=st.integers(1, 64), cut=st.booleans())
def test_a_damaged_newest_state_falls_back_to_the_one_before(
    tmp_path_factory: pytest.TempPathFactory, place: float, length: int, cut: bool
) -> None:
    progress, first, _ = saved(tmp_path_factory.mktemp("state"))
    content = bytearray(progress.path.read_bytes())
    at = int(place * len(content))
    if cut:
        del content[at:]
    else:
        content[at : at + length] = bytes(255 - byte for byte in content[at : at + length])
    progress.path.write_bytes(content)
    model = layer()
    step, metrics = progress.restore(model)
    assert (step, len(metrics)) == (10, 1)
    assert torch.equal(model.weight, first.weight)


def test_damage_is_said_and_two_damaged_states_start_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress, _, _ = saved(tmp_path)
    for path in (progress.path, progress.previous):
        path.write_bytes(b"nothing of use")
    assert progress.restore(layer()) == (0, [])
    said = capsys.readouterr().err
    assert str(progress.path) in said
    assert str(progress.previous) in said


def test_killed_between_the_two_renames(tmp_path: Path) -> None:
    progress, first, _ = saved(tmp_path)
    progress.path.unlink()
    model = layer()
    assert progress.restore(model)[0] == 10
    assert torch.equal(model.weight, first.weight)


def test_random_generators_go_on_where_they_were(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "state.pt", "fingerprint")
    torch.manual_seed(5)
    random.seed(5)
    progress.save(1, [], layer(3))
    torch.manual_seed(5)
    random.seed(5)
    layer(3)
    expected = (random.random(), float(torch.rand(())))
    torch.manual_seed(6)
    random.seed(6)
    progress.restore(layer())
    assert (random.random(), float(torch.rand(()))) == expected


def test_a_state_that_does_not_fit_says_so(tmp_path: Path) -> None:
    progress, _, _ = saved(tmp_path)
    with pytest.raises(QdrError, match="does not fit this run"):
        progress.restore(nn.Linear(5, 5))


def test_code_in_a_state_is_not_run(tmp_path: Path) -> None:
    """A file with a right checksum that holds a pickle of something else than data."""
    import hashlib
    import io

    content = io.BytesIO()
    torch.save({"fingerprint": "fingerprint", "step": Path("/")}, content)
    path = tmp_path / "state.pt"
    path.write_bytes(hashlib.sha256(content.getvalue()).digest() + content.getvalue())
    with pytest.raises(QdrError, match="not a saved state"):
        read_state(path)


def hold(state: Path, seconds: float, done: multiprocessing.Queue[float]) -> None:
    with exclusive(state):
        done.put(time.monotonic())
        time.sleep(seconds)
        done.put(time.monotonic())


def test_of_two_commands_one_waits(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    done = context.Queue()
    two = [context.Process(target=hold, args=(tmp_path / "state.pt", 0.3, done)) for _ in range(2)]
    for process in two:
        process.start()
    times = [done.get(timeout=30) for _ in range(4)]
    for process in two:
        process.join()
    assert times == sorted(times), "their holds overlap"
    assert not list(tmp_path.iterdir())
