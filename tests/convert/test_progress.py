from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

import qdr
from qdr.convert import budget, job, tune
from qdr.convert.job import Outcome, Wish, convert
from qdr.convert.judge import Score
from qdr.convert.progress import Progress
from qdr.export import mixed, numerics
from tests.convert.test_convert import FACTORY, Small, checkpoint, file, frames, images  # noqa: F401 (fixtures)


def run(wish: Wish, show: Any = lambda *_: None) -> Outcome:
    return convert(wish, lambda _: None, show)


class Stop(KeyboardInterrupt):
    pass


def stop_at(what: str, number: int) -> Any:
    def show(label: str, done: int, _: int) -> None:
        if label == what and done == number:
            raise Stop

    return show


def weights(path: Path) -> bytes:
    return onnx.load(path).graph.SerializeToString(deterministic=True)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_the_same_bits(
    checkpoint: Path,  # noqa: F811
    frames: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tune, "SAVE", 2)
    asked = {"scheme": "W4A8", "steps": 6, "most": 0.0, "threads": 1, "engine": "exact"}
    whole = Wish(checkpoint, FACTORY, frames, None, tmp_path / "whole.onnx", **asked)  # type: ignore[arg-type]
    parts = Wish(checkpoint, FACTORY, frames, None, tmp_path / "parts.onnx", **asked)  # type: ignore[arg-type]
    first = run(whole)
    folder = tmp_path / ".parts.onnx.progress"
    with pytest.raises(Stop):
        run(parts, stop_at("QDR", 5))
    steps: list[int] = []

    def watch(label: str, done: int, count: int) -> None:
        stop_at("sensitivity by layer", 2)(label, done, count)
        steps.extend([done] * (label == "QDR"))

    with pytest.raises(Stop):
        run(parts, watch)
    assert steps == [5, 6]
    assert sorted(path.name for path in folder.iterdir()) == ["layers", "training"]
    last = run(parts)
    assert not folder.exists()
    assert weights(whole.out) == weights(parts.out)
    assert [layer.gain for layer in first.kept] == [layer.gain for layer in last.kept]


def test_states_are_found_by_what_made_them(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "out.onnx", "a")
    assert progress.find("training") is None
    progress.keep("training", {"step": 3, "x": torch.ones(2)})
    state = progress.find("training")
    assert state is not None
    assert state["step"] == 3
    assert Progress(tmp_path / "out.onnx", "b").find("training") is None
    path = progress.folder / "training"
    path.write_bytes(path.read_bytes()[:-1])
    assert progress.find("training") is None
    progress.clear()
    assert not progress.folder.exists()


def test_lmr_goes_on_where_it_was() -> None:
    def losses(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"a": x.square().mean(), "b": (x - 1).abs().mean()}

    ends = []
    for cut in (None, 3):
        x, lmr = torch.linspace(0.1, 0.9, 8).requires_grad_(), qdr.LMR(every=2)
        for step in range(6):
            if step == cut:
                state, lmr = lmr.state_dict(), qdr.LMR(every=2)
                lmr.load_state_dict(state)
            log = lmr.backward(losses(x * 1.0), x)
        ends.append(log)
    assert ends[0] == ends[1]


def test_layers_in_fp16(file: Path) -> None:  # noqa: F811
    model, real, _ = job.quantize_onnx(onnx.load(file), images(2), "W8A8")
    halves = mixed.in_float(model, list(real), real, half=True)
    onnx.checker.check_model(halves, full_check=True)
    stored = {tensor.name: tensor.data_type for tensor in halves.graph.initializer}
    assert all(stored[f"{name}.real"] == TensorProto.FLOAT16 for name in real)
    image = images(1)[0]
    full = mixed.in_float(model, list(real), real)
    a, b = (numerics.exact_session(m.SerializeToString()).run(None, {"image": image})[0] for m in (halves, full))
    assert 0 < np.abs(a - b).max() < 0.01


def test_fp16_is_taken_where_it_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget.mixed, "in_float", lambda *_, **__: onnx.ModelProto())
    found = budget.Mixed(onnx.ModelProto(), [budget.Kept("a", 1.0, 0.1)], Score(0.04, 50, 10.0, "x"), {})

    def taken(milliseconds: float, drop: float) -> bool:
        def confirm(model: onnx.ModelProto) -> Score:
            return found.score if model is found.model else Score(drop, 50, milliseconds, "x")

        return budget.in_half(found, onnx.ModelProto(), 0.05, confirm)[0] is not found

    assert taken(5.0, 0.045)
    assert not taken(9.5, 0.045)
    assert not taken(5.0, 0.06)
