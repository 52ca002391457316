from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch

from qdr.errors import QdrError
from qdr.export import conformance
from qdr.export.check import census, check_tensorrt
from qdr.export.conformance import build_with_tensorrt_rtx, has_tensorrt_rtx, print_verdicts, refuse
from qdr.export.half import write_fp16
from qdr.export.qdq import Exporter
from qdr.models.blocks import stride
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.suite import config, paths
from qdr.suite.export.models import examine_all
from qdr.suite.zoo import build_model

needs_rtx = pytest.mark.skipif(not has_tensorrt_rtx(), reason="the extra trt-check is not installed")


@pytest.fixture(scope="module", params=["efm", "efm-no-ldg", pytest.param("nafnet", marks=pytest.mark.slow)])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three files of a model of the zoo."""
    folder = tmp_path_factory.mktemp(request.param)
    made = {kind: folder / f"{request.param}-{kind}.onnx" for kind in ("fp32", "fp16", "int8")}
    torch.manual_seed(0)
    model = build_model(request.param, config.ModelConfig(channels=[16, 32], blocks=[1, 1]))
    Exporter().write(model, made["fp32"], request.param, stride(model))
    write_fp16(made["fp32"], made["fp16"])
    prepare(model, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(model, [torch.rand(1, 3, 32, 32)])
    Exporter().write(model, made["int8"], request.param, stride(model))
    return made


def test_every_convolution_is_quantized_and_every_rule_kept(files: dict[str, Path]) -> None:
    model = onnx.load(files["int8"])
    counts = census(model)
    assert counts["quantized convolutions"] == counts["Conv"] >= 10
    assert counts["FP32 convolutions"] == 0
    assert check_tensorrt(model) == []
    assert check_tensorrt(onnx.load(files["fp32"])) == []  # nothing is quantized, so no rule applies


@needs_rtx
@pytest.mark.parametrize("kind", ["fp32", "fp16", "int8"])
def test_tensorrt_parses_and_builds(files: dict[str, Path], kind: str) -> None:
    assert build_with_tensorrt_rtx(files[kind]) == []


def test_what_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xff")
    if has_tensorrt_rtx():
        assert build_with_tensorrt_rtx(tmp_path / "bad.onnx")[0].startswith("parser: ")
    else:
        with pytest.raises(QdrError, match="TensorRT-RTX is an extra"):
            build_with_tensorrt_rtx(tmp_path / "bad.onnx")


def test_every_engine_of_a_project_is_checked(
    settings: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(QdrError, match="holds no file"):
        examine_all(settings)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [
                onnx.helper.make_node("QuantizeLinear", ["image", "scale"], ["codes"], name="quantize"),
                onnx.helper.make_node("DequantizeLinear", ["codes", "scale"], ["restored"], name="dequantize"),
            ],
            "pair",
            [onnx.helper.make_tensor_value_info("image", 1, [1, 3, 8, 8])],
            [onnx.helper.make_tensor_value_info("restored", 1, [1, 3, 8, 8])],
            [onnx.helper.make_tensor("scale", 1, [], [0.1])],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 19)],
    )
    paths.engines("derain").mkdir(parents=True)
    onnx.save(model, paths.engines("derain") / "mine.onnx")
    monkeypatch.setattr(conformance, "has_tensorrt_rtx", lambda: False)
    monkeypatch.setenv("COLUMNS", "200")
    verdicts = examine_all(settings)
    with pytest.raises(QdrError, match=r"1 of 1 files .*mine\.onnx: quantize: signed int8: .*; use int8"):
        refuse(verdicts)
    print_verdicts(verdicts)
    printed = capsys.readouterr().out
    assert "derain/mine.onnx" in printed
    assert "not installed" in printed
    assert verdicts[0].as_dict()["broken"][0]["rule"] == "signed int8"
    refuse([replace(verdicts[0], published=True)])
