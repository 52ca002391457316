"""An engine that computes something else than a file says gives no pictures and no numbers, wherever it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from qdr import machine
from qdr.errors import QdrError
from qdr.export import numerics
from qdr.export.qdq import Exporter
from qdr.models.efm import EFM
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.runtimes import session as sessions, verify
from qdr.runtimes.session import Session, open_session

Spoil = Callable[[str], None]


@pytest.fixture
def int8(efm: EFM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small exported INT8 model, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verify, "_said", set())
    prepare(efm, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(efm, [torch.rand(1, 3, 64, 64)])
    Exporter().write(efm, tmp_path / "int8.onnx", "efm", efm.stride)
    return tmp_path / "int8.onnx"


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Spoil:
    """Make an engine add three grey levels to every answer."""
    spoilt: set[str] = set()
    original = sessions.open_session

    def opened(engine: str, *arguments: object, **named: object) -> Session:
        found = original(engine, *arguments, **named)  # type: ignore[arg-type]
        if engine in spoilt:
            right = found.run
            found.run = lambda image: right(image) + np.float32(3 / 255)  # type: ignore[method-assign]
        return found

    monkeypatch.setattr(verify, "open_session", opened)
    monkeypatch.setattr(verify, "saturates", lambda engine: False)  # of the engine as it is, not as it was spoilt
    return spoilt.add


def test_the_record_is_the_exact_arithmetic(int8: Path) -> None:
    """The independent reference is ONNX's own evaluator in numpy."""
    model = onnx.load(int8)
    record = numerics.read(model, "int8.onnx")
    assert record is not None
    (expected,) = ReferenceEvaluator(model).run(None, {"image": numerics.to_batch(record.probe)})
    levels = np.abs(numerics.to_pixels(expected) - record.result) * 255
    assert levels.mean() < 0.02
    assert np.array_equal(record.probe, numerics.probe_image())


def test_a_file_says_nothing_of_the_machine_it_was_made_on(int8: Path) -> None:
    assert b"/qdr/" not in int8.read_bytes()
    assert not any(node.metadata_props or node.doc_string for node in onnx.load(int8).graph.node)


@pytest.mark.parametrize("engine", verify.ORDER)
def test_every_engine_here_is_right_or_known_to_be_wrong(int8: Path, engine: str) -> None:
    verdict = verify.verify(int8, engine, "int8")
    if engine != "openvino":  # which saturates on x86 without VNNI
        assert verdict.right
    assert (verdict.mean_level <= 0.5 and verdict.high_level <= 4 and not verdict.overflows) == verdict.right
    assert verdict.overflows == verify.saturates(engine)


def test_an_engine_that_saturates_is_right_for_small_weights_only(
    int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where its pixels pass on the probe: what overflows depends on the image."""
    monkeypatch.setattr(verify, "saturates", lambda engine: True)
    verdict = verify.verify(int8, "exact", "int8")
    assert (verdict.right, verdict.overflows) == (False, True)
    assert "its 16-bit sums overflow" in str(verdict)
    model = onnx.load(int8)
    for tensor in model.graph.initializer:
        if tensor.name.endswith(".integers"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) // 2, tensor.name))
    onnx.save(model, tmp_path / "halved.onnx")
    assert numerics.fits_16_bits(model)
    assert verify.verify(tmp_path / "halved.onnx", "exact", "int8").right


def test_the_largest_products_are_what_they_say() -> None:
    """A model that makes 1 of an image of ones; sums of pairs in 16 bits would make 0.51."""
    model = numerics.largest_products()
    assert not numerics.fits_16_bits(model)
    (found,) = numerics.exact_session(model.SerializeToString()).run(None, {"image": np.ones((1, 3, 16, 16), np.float32)})
    np.testing.assert_allclose(found, 1, atol=1e-5)


def test_a_verdict_is_kept_per_file(int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = verify.verify(int8, "exact", "int8")
    monkeypatch.setattr(verify, "judge", lambda *_: pytest.fail("judged again"))
    assert verify.verify(int8, "exact", "int8") == first
    model = onnx.load(int8)
    numerics.set_metadata(model, "note", "another file")
    onnx.save(model, int8)
    with pytest.raises(BaseException, match="judged again"):
        verify.verify(int8, "exact", "int8")


def test_a_damaged_verdict_is_judged_anew(int8: Path, tmp_path: Path) -> None:
    first = verify.verify(int8, "exact", "int8")
    (kept,) = (tmp_path / "cache" / "qdr" / "verdicts").iterdir()
    for content in ("{", "{}", json.dumps({"right": True, "other": 1})):
        kept.write_text(content)
        assert verify.verify(int8, "exact", "int8").right == first.right


def test_a_cache_that_cannot_be_written_costs_time_only(int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert verify.verify(int8, "exact", "int8").right


def test_a_wrong_engine_is_passed_over_and_said_once(int8: Path, spoil: Spoil, capsys: pytest.CaptureFixture[str]) -> None:
    spoil("openvino")
    spoil("onnxruntime")
    for _ in range(2):
        assert verify.open_right(int8, "int8").name == "exact"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("qdr: openvino computes int8.onnx wrongly on this processor (")
    assert "; taking exact, " in line
    assert line.endswith(" times its time")


def test_the_fastest_right_one_is_taken_where_speed_counts(int8: Path, spoil: Spoil, tmp_path: Path) -> None:
    spoil("openvino")
    candidates = [(int8, engine) for engine in verify.ORDER]
    times = {engine: verify.verify(int8, engine, "int8").milliseconds for engine in verify.ORDER[1:]}
    assert verify.choose(candidates, "int8", 2) == (int8, min(times, key=lambda engine: times[engine]))
    assert verify.choose(candidates, "int8", 2, by_speed=False) == (int8, "onnxruntime")


def test_a_wrong_engine_that_was_named_is_an_error(int8: Path, spoil: Spoil) -> None:
    spoil("openvino")
    with pytest.raises(QdrError, match=r"openvino does not compute what .*int8\.onnx says .* take --engine exact"):
        verify.open_right(int8, "int8", engine="openvino")
    for engine in verify.ORDER:
        spoil(engine)
    with pytest.raises(QdrError, match="does not compute"):
        verify.open_right(int8, "int8")


def test_a_wrong_record_makes_every_engine_wrong(int8: Path, tmp_path: Path) -> None:
    """The guard is the record, not what one engine says of another."""
    model = onnx.load(int8)
    record = numerics.compute(model)
    shifted = numerics.Record(record.probe, record.result * 0.9, record.spread)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numerics, "compute", lambda *_: shifted)
        numerics.attach(model)
    onnx.save(model, int8)
    assert not verify.verify(int8, "exact", "int8").right


def test_a_file_changed_since_is_held_against_what_it_says_now(int8: Path) -> None:
    model = onnx.load(int8)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "head.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(0.1), bias.name))
    onnx.save(model, int8)
    assert numerics.read(model, "int8.onnx") is None
    assert verify.verify(int8, "exact", "int8").right


def test_a_damaged_record_is_named(int8: Path) -> None:
    model = onnx.load(int8)
    text = numerics.metadata(model, numerics.KEY)
    assert text is not None
    for changed in (text.replace('"spread": 0', '"spread": 9'), text[: len(text) // 2], "[]"):
        numerics.set_metadata(model, numerics.KEY, changed)
        with pytest.raises(QdrError, match="numerics record is damaged"):
            numerics.read(model, "int8.onnx")


def test_the_integer_sums_of_onnx_runtime_are_exact_in_both_forms(int8: Path) -> None:
    """Weights as uint8 where sums of pairs would saturate: the same numbers on a processor where they would not."""
    from qdr.export.lower_ort import lower

    model = onnx.load(int8)
    record = numerics.read(model, "int8.onnx")
    assert record is not None
    batch = numerics.to_batch(record.probe)
    plain, shifted = (
        numerics.exact_session(lower(model, saturating).SerializeToString(), optimized=False).run(None, {"image": batch})[0]
        for saturating in (False, True)
    )
    assert np.array_equal(plain, shifted)
    stored = {tensor.name: tensor.data_type for tensor in lower(model, True).graph.initializer}
    assert onnx.TensorProto.UINT8 in {kind for name, kind in stored.items() if name.endswith(".weight")}


def test_an_fp32_file_is_judged_too(efm: EFM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Exporter().write(efm, tmp_path / "fp32.onnx", "efm", efm.stride)
    assert open_session("openvino", tmp_path / "fp32.onnx").name == "openvino"
    assert verify.open_right(tmp_path / "fp32.onnx", "fp32").name == "openvino"
    if machine.has_bf16():
        assert verify.verify(tmp_path / "fp32.onnx", "openvino", "bf16").right
