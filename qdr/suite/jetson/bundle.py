"""One archive that measures a profile's engines on a Jetson: models, photographs, reference outputs, one script.

Nothing in it needs calibration, a network or a Python package: `measure.py` finds TensorRT's own `trtexec` on the
device. The same engines give the same bytes. `manifest.json` says what is measured (`cases`), by which rules, and the
checksum of every file.

Every task's INT8 file is measured at the smallest size; the benchmarked task's FP32, FP16 and INT8 files at every size.
References: INT8 against the INT8 of an engine that is right on this processor, FP32 and FP16 against its FP32, on real
degraded test photographs, cut to size from the middle and mirrored where they are smaller. A case whose output is further
from its reference than `gates` allow is wrong, and is not timed into any table.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from rich.progress import track

from qdr.errors import QdrError
from qdr.export.check import check_tensorrt
from qdr.export.file import read_onnx
from qdr.export.half import to_fp16
from qdr.files import replacing
from qdr.images.pairs import match, read_image
from qdr.rows import check_keys
from qdr.runtimes.session import restore
from qdr.runtimes.verify import open_right
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.data.archive import BROKEN, open_tar
from qdr.suite.export.engines import engine_file
from qdr.suite.jetson.measure import SCHEMA
from qdr.suite.train.plan import Run

ROOT = "qdr-jetson"
LARGEST = 2**20  # bytes of a manifest
_NO_BUNDLE: tuple[type[Exception], ...] = (*BROKEN, LookupError, QdrError)
SIZES = ((256, 256), (512, 512))  # height, width
IMAGES = 2
GATES = {"fp32": 0.1, "fp16": 0.5, "int8": 0.5}  # grey levels off the reference, on average
RULES = {"batch": 1, "warm_up_ms": 1000, "duration_s": 5, "iterations": 200}
DTYPES: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16"}
Image = NDArray[np.uint8]
Files = dict[str, bytes]

README = """# Measure the engines of profile {profile} on this Jetson

    sudo nvpmodel -q; sudo jetson_clocks      # choose the power mode before (nvpmodel -m), then hold the clocks
    sudo python3 measure.py                   # builds, measures, checks; writes result.json

Python 3.8 or later and TensorRT's trtexec (JetPack has both), no network, no pip. After an interruption the same
command goes on. Bring back `result.json` and run, where the engines came from:

    qdr results import result.json

The photographs are for this measurement; their source's licence may forbid passing them on.
"""


def write_bundle(config: Config, target: Path) -> int:
    """Write the archive, whole or not at all; return the number of cases in it.

    Raises:
        QdrError: when an engine or the photographs are missing.
    """
    files = models(config)
    cases: list[dict[str, Any]] = []
    for task in track(config.tasks, "references"):
        for height, width in SIZES if task == config.bench.task else SIZES[:1]:
            cases += _cases(config, task, height, width, files)
    folder = Path(__file__).parent
    files["measure.py"] = (folder / "measure.py").read_bytes()
    files["README.md"] = README.format(profile=config.profile).encode()
    record = {"schema": SCHEMA, "profile": config.profile, "rules": RULES, "cases": cases, "files": checksums(files)}
    files["manifest.json"] = (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()
    with replacing(target) as temporary:
        temporary.write_bytes(_archive(files))
    return len(cases)


def models(config: Config) -> Files:
    """The ONNX files by their name in the archive.

    Raises:
        QdrError: when an engine is missing or breaks TensorRT's rules.
    """
    files: Files = {}
    for task in config.tasks:
        int8 = engine_file(Run(task, "qdr", "W8A8", "all", 0))
        broken = check_tensorrt(read_onnx(int8))
        if broken:
            raise QdrError(f"{int8} breaks TensorRT's rules: {'; '.join(broken)}")
        files[_model(task, "int8")] = int8.read_bytes()
        if task == config.bench.task:
            fp32 = engine_file(Run(task, "fp32", "FP32", "all", 0))
            half = to_fp16(read_onnx(fp32))
            files[_model(task, "fp32")] = fp32.read_bytes()
            files[_model(task, "fp16")] = half.SerializeToString(deterministic=True)
    return files


def checksums(files: Files) -> dict[str, str]:
    """The SHA-256 of every file."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def read_manifest(archive: Path) -> tuple[dict[str, Any], str]:
    """The manifest of a bundle, and its checksum.

    Raises:
        QdrError: when the file is no bundle.
    """
    try:
        with open_tar(archive) as tar:
            member = tar.getmember(f"{ROOT}/manifest.json")
            inside = tar.extractfile(member) if member.isreg() and member.size <= LARGEST else None
            if inside is None:
                raise ValueError(f"its manifest is no file, or has {member.size} bytes")
            text = inside.read()
            manifest = check_keys(json.loads(text), f"{archive}: its manifest", files=dict)
    except _NO_BUNDLE as error:
        raise QdrError(f"{archive} is not a bundle of `qdr jetson bundle`: {error}") from error
    return manifest, hashlib.sha256(text).hexdigest()


def _model(task: str, precision: str) -> str:
    return f"models/{task}-{precision}.onnx"


def _cases(config: Config, task: str, height: int, width: int, files: Files) -> Iterator[dict[str, Any]]:
    """The cases of a task at a size; adds their images and references to `files`."""
    photographs = [_fit(image, height, width) for image in _photographs(config, task)]
    where = f"images/{task}-{height}x{width}"
    for number, image in enumerate(photographs):
        files[f"{where}-{number}.npy"] = _npy(image)
    for precision in ("fp32", "fp16", "int8") if task == config.bench.task else ("int8",):
        source = "int8" if precision == "int8" else "fp32"
        if f"{where}-0.{source}.npy" not in files:
            run = Run(task, "qdr", "W8A8", "all", 0) if source == "int8" else Run(task, "fp32", "FP32", "all", 0)
            session = open_right(engine_file(run), source, config.threads)
            for number, image in enumerate(photographs):
                files[f"{where}-{number}.{source}.npy"] = _npy(restore(session, image))
            session.close()
        pairs = [{"input": f"{where}-{n}.npy", "reference": f"{where}-{n}.{source}.npy"} for n in range(len(photographs))]
        name = _model(task, precision)
        yield {"task": task, "precision": precision, "height": height, "width": width, "model": name, "images": pairs} | {
            "batch": RULES["batch"],
            "gate_mean_level": GATES[precision],
            "dtype": _dtype(files[name]),
        }


def _photographs(config: Config, task: str) -> list[Image]:
    """The first degraded images of the test set that figures show first."""
    folder = paths.prepared(task, config.data.test[task][0].source)
    return [read_image(source) for _, source, _ in match(folder)[:IMAGES]]


def _fit(image: Image, height: int, width: int) -> Image:
    """The middle of an image, mirrored outwards where it is smaller."""
    down, right = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    image = np.pad(image, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)), mode="symmetric")
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _npy(image: Image) -> bytes:
    """An image [h, w, 3] as a .npy file of [3, h, w]."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(image.transpose(2, 0, 1)), version=(1, 0))
    return stream.getvalue()


def _dtype(model: bytes) -> str:
    return DTYPES[onnx.load_from_string(model).graph.input[0].type.tensor_type.elem_type]


def _archive(files: Files) -> bytes:
    """A .tar.gz without dates, owners or a chance order."""
    stream = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as zipped,
        tarfile.open(mode="w", fileobj=zipped, format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(f"{ROOT}/{name}")
            entry.size, entry.mode = len(data), 0o755 if name.endswith(".py") else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()
