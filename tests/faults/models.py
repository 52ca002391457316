"""Model files that are broken, of another kind, or carry code."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from safetensors.numpy import save as serialize

from qdr.export import numerics
from qdr.restore import pretrained
from qdr.suite.train.checkpoint import load_weights, read_state
from tests.faults.fault import Fault, Inject
from tests.faults.pictures import picture

RESTORE = ("restore", "in.png", "out.png", "--model", "m.onnx")
GONE = "nothing; OUT is not written"


class Code:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("open('touched', 'w').close()",))


def model(name: str = "image", channels: int = 3, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """One convolution of 1x1."""
    shape = ["n", channels, "h", "w"]
    values = [helper.make_tensor_value_info(n, kind, shape) for n in (name, "restored")]
    weight = numpy_helper.from_array(np.ones((channels, channels, 1, 1), np.float32), "w")
    graph = helper.make_graph([helper.make_node("Conv", [name, "w"], ["restored"])], "g", values[:1], values[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def onnx_file(data: onnx.ModelProto | bytes) -> Inject:
    def inject(place: Path) -> None:
        picture().save(place / "in.png")
        (place / "m.onnx").write_bytes(data if isinstance(data, bytes) else data.SerializeToString())

    return inject


def identity() -> onnx.ModelProto:
    """A model that gives the image back."""
    proto = model()
    weight = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    return proto


def nowhere() -> onnx.ModelProto:
    """A model whose weights are not numbers."""
    proto = model()
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((3, 3, 1, 1), np.nan, np.float32), "w"))
    return proto


def smaller() -> onnx.ModelProto:
    """A model that halves the image."""
    proto = model()
    proto.graph.node[0].attribute.append(helper.make_attribute("strides", [2, 2]))
    return proto


def elsewhere() -> onnx.ModelProto:
    """A model that names another file for its weights."""
    proto = model()
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../etc/passwd")
    return proto


def beside() -> onnx.ModelProto:
    """A model whose weights are in a file beside it, which is not there."""
    proto = elsewhere()
    proto.graph.initializer[0].external_data[0].value = "m.onnx.data"
    return proto


def two_inputs() -> onnx.ModelProto:
    """A model that takes the strength of the noise too."""
    proto = identity()
    proto.graph.input.append(helper.make_tensor_value_info("sigma", TensorProto.FLOAT, [1]))
    return proto


def bright() -> onnx.ModelProto:
    """A model that gives values of 0 to 255."""
    proto = identity()
    weight = 255 * np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    return proto


def weights(data: bytes) -> Inject:
    return lambda place: (place / "model.safetensors").write_bytes(data)


def header(**about: str) -> bytes:
    return serialize({"a": np.zeros(3, np.float32)}, metadata={"about": json.dumps(about)})


def read_weights() -> object:
    """`qdr.suite.train.checkpoint.load_weights`"""
    return load_weights(Path.cwd(), torch.nn.Linear(2, 2))


def packaged(change: Callable[[ModelProto], object]) -> Inject:
    """Packaged weights to which something was done."""

    def inject(place: Path) -> None:
        made = ModelProto.FromString(pack(model()))
        change(made)
        (place / "derain-W8A8.onnx").write_bytes(made.SerializeToString())

    return inject


def pack(made: ModelProto) -> bytes:
    numerics.attach(made)
    return pretrained.pack(made, {"task": "derain", "bits": "W8A8", "model": "efm", "licence": "Apache-2.0"})


def read_packaged() -> object:
    """`qdr.restore.pretrained.about`"""
    return pretrained.about(Path.cwd() / "derain-W8A8.onnx")


def state(data: bytes) -> Inject:
    """A saved state whose checksum was made to fit."""
    return lambda place: (place / "a.pt").write_bytes(hashlib.sha256(data).digest() + data)


def read_unfinished() -> object:
    """`qdr.suite.train.checkpoint.read_state`"""
    return read_state(Path.cwd() / "a.pt")


FAULTS = [
    Fault(
        "state-pickle",
        "a pickle with code for an unfinished training",
        state(pickle.dumps(Code(), protocol=2)),
        read_unfinished,
        "a.pt is not a saved state",
        "nothing; nothing is run",
    ),
    Fault(
        "onnx-text", "a text with the suffix .onnx", onnx_file(b"hello world"), RESTORE, "m.onnx is not an ONNX file", GONE
    ),
    Fault("onnx-empty", "an ONNX file of no bytes", onnx_file(b""), RESTORE, "m.onnx is not an ONNX file", GONE),
    Fault(
        "onnx-cut",
        "an ONNX file cut in the middle",
        onnx_file(model().SerializeToString()[:70]),
        RESTORE,
        "m.onnx is not an ONNX file",
        GONE,
    ),
    Fault(
        "onnx-elsewhere",
        "an ONNX file that names /etc/passwd for its weights",
        onnx_file(elsewhere()),
        RESTORE,
        "keeps its tensor 'w' in another file: export it as one file",
        GONE,
    ),
    Fault(
        "onnx-weights-missing",
        "an ONNX file whose weights are in a file that is missing",
        onnx_file(beside()),
        RESTORE,
        "keeps its weights in m.onnx.data, which is not beside it: copy that file there",
        GONE,
    ),
    Fault(
        "onnx-two-inputs",
        "an ONNX file that takes more than a picture",
        onnx_file(two_inputs()),
        RESTORE,
        "takes 'image', 'sigma' and gives 'restored': a model of one picture in and one out is needed",
        GONE,
    ),
    Fault(
        "onnx-values",
        "an ONNX file that gives values of 0 to 255 and says nothing of it",
        onnx_file(bright()),
        RESTORE,
        "of a picture of 0 to 1: say what its values run over with --values",
        GONE,
    ),
    Fault(
        "onnx-channels",
        "an ONNX file for one channel",
        onnx_file(model(channels=1)),
        RESTORE,
        "takes 'image' of [?, 1, ?, ?]: an RGB picture, [n, 3, h, w] or [n, h, w, 3], is needed",
        GONE,
    ),
    Fault(
        "onnx-type",
        "an ONNX file that takes doubles",
        onnx_file(model(kind=TensorProto.DOUBLE)),
        RESTORE,
        "takes 'image' of type double: float, float16, uint8 are run here",
        GONE,
    ),
    Fault(
        "onnx-nan",
        "an ONNX file whose weights are not numbers",
        onnx_file(nowhere()),
        RESTORE,
        "m.onnx gives values that are no numbers: its weights are damaged",
        GONE,
    ),
    Fault(
        "onnx-smaller",
        "an ONNX file that halves the image",
        onnx_file(smaller()),
        RESTORE,
        "models that keep the size are run here",
        GONE,
    ),
    Fault(
        "onnx-pickle",
        "a pickle with code and the suffix .onnx",
        onnx_file(pickle.dumps(Code())),
        RESTORE,
        "m.onnx is not an ONNX file",
        "nothing; nothing is run",
    ),
    Fault(
        "weights-pickle",
        "a pickle with code for a model's weights",
        weights(pickle.dumps(Code())),
        read_weights,
        "model.safetensors is damaged",
        "nothing; nothing is run",
    ),
    Fault(
        "weights-cut",
        "a model's weights cut in the middle",
        weights(header()[:60]),
        read_weights,
        "model.safetensors is damaged",
    ),
    Fault(
        "weights-other",
        "the weights of another network",
        weights(header()),
        read_weights,
        "model.safetensors is of another network",
    ),
    Fault(
        "packaged-pickle",
        "a pickle with code for packaged weights",
        lambda place: (place / "derain-W8A8.onnx").write_bytes(pickle.dumps(Code())),
        read_packaged,
        "derain-W8A8.onnx is damaged",
        "nothing; nothing is run",
    ),
    Fault(
        "packaged-changed",
        "packaged weights of which a number was changed",
        packaged(lambda made: made.graph.initializer[0].CopyFrom(identity().graph.initializer[0])),
        read_packaged,
        "its graph is not the one that was exported",
    ),
    Fault(
        "packaged-record",
        "packaged weights whose numerics record was changed",
        packaged(lambda made: setattr(made.metadata_props[0], "value", made.metadata_props[0].value.replace("64", "32", 1))),
        read_packaged,
        "its numerics record is damaged",
    ),
    Fault(
        "packaged-header",
        "packaged weights whose header is no object",
        packaged(lambda made: setattr(made.metadata_props[1], "value", "[1]")),
        read_packaged,
        "must hold an object",
    ),
]
