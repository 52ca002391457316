"""Valid files of every kind that is read, small, and the reader of each with what it promises."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
import torch
from PIL import Image
from safetensors.numpy import save as serialize

from qdr.images import pairs
from qdr.restore import pictures, pretrained
from qdr.restore.footprint import Footprint, footprint
from qdr.rows import read_json, read_lines
from qdr.suite import config, methods
from qdr.suite.data import archive, tasks
from qdr.suite.detection import voc
from qdr.suite.jetson import bundle, results
from qdr.suite.jetson.measure import SCHEMA, digest
from qdr.suite.report import load
from qdr.suite.report.texts import read_claims
from qdr.suite.train.checkpoint import load_weights
from tests.faults.models import model, pack

ROOT = Path(__file__).resolve().parents[2]
CAT = np.add.outer(np.arange(24), np.arange(40)).astype(np.uint8)[..., None] * np.array([1, 2, 3], np.uint8)
DEEP = CAT.astype(np.uint16) * 257


@dataclass(frozen=True)
class Seed:
    """A valid file, the reader of its kind, and whether what the reader returns is what it promises."""

    suffix: str
    data: bytes
    read: Callable[[Path], object]
    good: Callable[[object], bool] = lambda made: made is not None


def image(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(CAT).convert(mode).save(file, kind, **options)
    return file.getvalue()


def tiff(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, compression="zlib", photometric="rgb" if samples.ndim == 3 else "minisblack")
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name in ("a/1.png", "a/2.png"):
            made.writestr(name, image("PNG"))
    return file.getvalue()


def tarred(mode: str, name: str = "qdr-jetson/manifest.json", content: bytes = b'{"files": {}}') -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as made:  # type: ignore[call-overload]
        for number in ("", "2"):
            member = tarfile.TarInfo(name + number)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return file.getvalue()


def jetson_result() -> dict[str, object]:
    times = {"median": 2.0, "p90": 2.1, "p99": 2.2, "min": 1.9, "max": 3.0}
    case = {"task": "derain", "precision": "int8", "height": 64, "width": 64, "batch": 1, "model": "m.onnx", "calls": 200}
    sensors = {"power_mw": {"VDD_IN": {"mean": 9000.0}}, "celsius": {"tj": {"max": 50.0}}}
    case |= {"onnx_sha256": "0", "status": "measured", "sensors": sensors, "engine_ms": times, "end_to_end_ms": times}
    case |= {"accuracy": {"images": 2, "max_level": 1, "mean_level": 0.1, "psnr_db": 60.0}}
    device = {"model": "a Jetson", "l4t": "36.4.3", "tensorrt": "10.3.0", "power_mode": "15W"}
    about = {"schema": SCHEMA, "profile": "smoke", "manifest_sha256": "0", "finished": "now", "sha256": "0"}
    return about | {"device": device, "rules": dict(bundle.RULES), "cases": [case]}


def jetson_rows() -> bytes:
    result = jetson_result()
    (case,) = result["cases"]  # type: ignore[misc]
    numbers = {key: {"median": 2.0, "p90": 2.0, "p99": 2.0} for key in ("engine_ms", "end_to_end_ms")}
    row = case | numbers | {"fps": 500.0, "power_w": None, "hottest_c": 50.0, "benchmarked": True}
    entry = {"device": result["device"], "sha256": "0", "rows": [row]}
    return json.dumps({"status": "not built", "reason": "x", "rows": [], "imported": [entry]}).encode()


def import_result(path: Path) -> object:
    """A result whose checksum was made to fit, as whoever sends a false one would; the rows of its cases."""
    found = read_json(path)
    found |= {"sha256": digest(found)} if "sha256" in found else {}
    device = results.check(found, path)
    return device, [results._row(case, found, {"m.onnx": "0"}, path) for case in found["cases"]]


def unpack(path: Path) -> object:
    """Unpacked, nothing may be outside the folder."""
    archive.unpack(path, path.with_suffix(".d"))
    return path.with_suffix(".d")


def annotation(path: Path) -> object:
    """A VOC annotation, its image beside it."""
    picture = path.with_suffix(".png")
    if not picture.exists():
        Image.fromarray(CAT).save(picture)
    return voc._read("a", picture, path)


def cards(path: Path) -> object:
    """The manifest of a project that is made around it."""
    (path.parent / "data").mkdir(exist_ok=True)
    path.replace(path.parent / "data" / "manifest.json")
    return tasks.load_cards()


def named(path: Path, name: str) -> Path:
    return path.replace(path.with_name(name))


def some(path: Path, lines: int) -> bytes:
    return b"".join(path.read_bytes().splitlines(keepends=True)[:lines])


def rgb(made: object) -> bool:
    return isinstance(made, np.ndarray) and made.dtype == np.uint8 and made.ndim == 3 and made.shape[2] == 3


def grey(made: object) -> bool:
    return isinstance(made, np.ndarray) and made.dtype == np.float32 and made.ndim == 2


def picture(made: object) -> bool:
    return isinstance(made, pictures.Picture) and made.pixels.dtype in (np.uint8, np.uint16) and made.pixels.size > 0


EMBEDDED = ROOT / "results" / "embedded"
VOC = b"<annotation><object><name>sofa</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>3</ymin><xmax>10</xmax>"
SEEDS = {
    "png": Seed(".png", image("PNG", compress_level=0), pictures.read, picture),
    "png of 16 bits": Seed(".png", imagecodecs.png_encode(DEEP), pictures.read, picture),
    "palette": Seed(".png", image("PNG", "P"), pictures.read, picture),
    "jpeg": Seed(".jpg", image("JPEG"), pictures.read, picture),
    "cmyk": Seed(".jpg", image("JPEG", "CMYK"), pictures.read, picture),
    "tiff": Seed(".tif", image("TIFF"), pictures.read, picture),
    "tiff, compressed": Seed(".tif", image("TIFF", compression="tiff_lzw"), pictures.read, picture),
    "tiff of 16 bits": Seed(".tif", tiff(DEEP), pictures.read, picture),
    "webp": Seed(".webp", image("WEBP"), pictures.read, picture),
    "bmp": Seed(".bmp", image("BMP"), pictures.read, picture),
    "image": Seed(".png", image("PNG"), pairs.read_image, rgb),
    "image, jpeg": Seed(".jpg", image("JPEG"), pairs.read_image, rgb),
    "depth": Seed(".png", imagecodecs.png_encode(DEEP[..., 0].copy()), pairs.read_depth, grey),
    "zip": Seed(".zip", zipped(), unpack),
    "tar": Seed(".tar", tarred("w"), unpack),
    "tar.gz": Seed(".tar.gz", tarred("w:gz"), unpack),
    "tar.xz": Seed(".tar.xz", tarred("w:xz"), unpack),
    "bundle": Seed(".tar.gz", tarred("w:gz"), bundle.read_manifest),
    "onnx": Seed(".onnx", model().SerializeToString(), footprint, lambda made: isinstance(made, Footprint)),
    "packaged weights": Seed(".onnx", pack(model()), pretrained.about),
    "weights": Seed(
        ".safetensors",
        serialize({"weight": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}),
        lambda path: load_weights(named(path, "model.safetensors").parent, torch.nn.Linear(2, 2)),
    ),
    "profile": Seed(".yaml", (ROOT / "params.yaml").read_bytes(), config.load),
    "methods": Seed(".yaml", (ROOT / "methods.yaml").read_bytes()[:2000].rpartition(b"\n")[0], methods.catalogue),
    "claims": Seed(".yaml", (ROOT / "docs/claims.yaml").read_bytes().split(b"\ndocs/")[0], read_claims),
    "manifest": Seed(".json", (ROOT / "data/manifest.json").read_bytes(), cards),
    "quality": Seed(".csv", some(EMBEDDED / "quality.csv", 8), lambda path: load.load(path, load.QUALITY)),
    "latency": Seed(".csv", some(EMBEDDED / "latency.csv", 8), lambda path: load.load(path, load.LATENCY)),
    "metrics": Seed(".jsonl", b'{"step": 0, "loss": 0.5}\n{"step": 9, "loss": 0.25}\n', read_lines),
    "machine": Seed(".json", (EMBEDDED / "machine.json").read_bytes(), load.read_machine),
    "jetson": Seed(".json", jetson_rows(), load.read_jetson),
    "jetson's result": Seed(".json", json.dumps(jetson_result()).encode(), import_result),
    "annotation": Seed(".xml", VOC + b"<ymax>20</ymax></bndbox></object></annotation>", annotation),
}
