"""TensorRT >= 10: explicit Q/DQ files only, engines built on the device that runs them. An optional extra.

TensorRT 10 needs the flag INT8 for a Q/DQ network; 11 dropped flags and calibrators and takes every network strongly
typed. The adapter detects what the installed version has. An engine is written with the device's name and TensorRT's
version beside it, and a foreign one is refused with both names; what the builder timed is kept in a cache beside it,
which TensorRT itself ignores on another device. Nothing here has been run on a Jetson yet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdr.errors import QdrError
from qdr.files import replacing
from qdr.runtimes.census import Layer, of_tensorrt
from qdr.runtimes.session import InputSpec

EXTRA = "pip install -c constraints.txt -e '.[tensorrt]'"


def unavailable() -> str | None:
    """Why TensorRT cannot be used here, in one line, or None."""
    try:
        import tensorrt
    except ImportError:
        return f"TensorRT is not installed ({EXTRA})"
    if int(tensorrt.__version__.split(".")[0]) < 10:
        return f"TensorRT {tensorrt.__version__} is too old: 10 or later is needed"
    import torch

    if not torch.cuda.is_available():
        return "no CUDA device, or a PyTorch without CUDA"
    return None


def device_name() -> str:
    """The GPU's name."""
    import torch

    return torch.cuda.get_device_name()


def build(model: Path, engine: Path, side: int) -> None:
    """Build an engine from an exported ONNX file for one image of `side` x `side`, and write it with its origin."""
    trt = _require()
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    typed = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if typed else 0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.read_bytes()):
        raise QdrError(f"TensorRT cannot read {model}: {parser.get_error(0)}")
    settings = builder.create_builder_config()
    if not typed and hasattr(trt.BuilderFlag, "INT8"):
        settings.set_flag(trt.BuilderFlag.INT8)
    profile = builder.create_optimization_profile()
    shape = (1, 3, side, side)
    profile.set_shape(network.get_input(0).name, shape, shape, shape)
    settings.add_optimization_profile(profile)
    settings.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the census
    timings = engine.parent / "timing.cache"
    cache = settings.create_timing_cache(timings.read_bytes() if timings.is_file() else b"")
    settings.set_timing_cache(cache, False)
    plan = builder.build_serialized_network(network, settings)
    if plan is None:
        raise QdrError(f"TensorRT built no engine from {model}; its log above says why")
    with replacing(timings) as temporary:
        temporary.write_bytes(bytes(settings.get_timing_cache().serialize()))
    with replacing(engine) as temporary:
        temporary.write_bytes(bytes(plan))
    with replacing(_origin(engine)) as temporary:
        temporary.write_text(json.dumps({"device": device_name(), "tensorrt": trt.__version__}), encoding="utf-8")


class TensorRtSession:
    """An engine on the first CUDA device."""

    name = "tensorrt"

    def __init__(self, path: Path) -> None:
        trt = _require()
        here = {"device": device_name(), "tensorrt": trt.__version__}
        origin = _origin(path)
        built = json.loads(origin.read_text(encoding="utf-8")) if origin.is_file() else None
        if built != here:
            raise QdrError(f"{path} was built on {built}, this is {here}: build it here with `qdr jetson`")
        engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise QdrError(f"TensorRT cannot load {path}: build it again with `qdr jetson`")
        self._engine, self._context = engine, engine.create_execution_context()
        _, _, largest = engine.get_tensor_profile_shape("image", 0)
        self.input_spec = InputSpec("image", tuple(largest))  # an engine is built for one size

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Restore [n, 3, h, w] in [0, 1], including both copies between host and device."""
        import torch

        if not self.input_spec.accepts(image.shape):
            raise QdrError(f"this engine takes images of {self.input_spec.shape}, not {image.shape}: build one of that size")
        source = torch.from_numpy(image).cuda()
        result = torch.empty_like(source)
        self._context.set_input_shape("image", tuple(image.shape))
        self._context.set_tensor_address("image", source.data_ptr())
        self._context.set_tensor_address("restored", result.data_ptr())
        stream = torch.cuda.current_stream()
        self._context.execute_async_v3(stream.cuda_stream)
        stream.synchronize()
        restored: NDArray[np.float32] = result.cpu().numpy()
        return restored

    def census(self) -> list[Layer]:
        """The layers it runs, from TensorRT's engine inspector."""
        trt = _require()
        inspector = self._engine.create_engine_inspector()
        return of_tensorrt(inspector.get_engine_information(trt.LayerInformationFormat.JSON))

    def close(self) -> None:
        """Release the engine."""
        del self._context, self._engine


def _origin(engine: Path) -> Path:
    return engine.with_suffix(".json")


def _require() -> Any:
    reason = unavailable()
    if reason is not None:
        raise QdrError(f"the engine tensorrt is unavailable: {reason}")
    import tensorrt

    return tensorrt
