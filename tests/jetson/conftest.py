"""A project with exported engines, its bundle unpacked, and a device of stand-ins.

The stand-ins are made for these tests only and answer in the formats of a Jetson's real programs.

trtexec: options and exit lines of NVIDIA/TensorRT samples/common/sampleOptions.cpp and logger.cpp, files of
sampleReporting.cpp (`exportJSONTrace`, `exportJSONOutput`: "dimensions" is text, "values" a list). An "engine" is the
ONNX file itself behind a mark, "run" in ONNX Runtime, so that the outputs are real; only the times are made up.
tegrastats: a line as a Jetson AGX Orin with JetPack 6 prints it (Jetson Linux Developer Guide, "tegrastats Utility").
nvpmodel -q prints the mode's name and number; jetson_clocks --show one line per clock.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from qdr.export.qdq import Exporter
from qdr.models.blocks import stride
from qdr.rows import write_json, write_rows
from qdr.suite import config
from qdr.suite.bench.kernels import write_int8
from qdr.suite.config import ModelConfig
from qdr.suite.export.engines import engine_file
from qdr.suite.jetson import bundle
from qdr.suite.train.plan import Run
from qdr.suite.zoo import build_model

MODEL = ModelConfig([32, 32], [1, 1])
Measure = Callable[..., "subprocess.CompletedProcess[str]"]


TRTEXEC = '''#!{python}
import hashlib, json, os, shutil, sys
OPTIONS = """  --onnx=<file>  --saveEngine=<file>  --loadEngine=<file>  --minShapes=spec  --optShapes=spec  --maxShapes=spec
  --shapes=spec  --loadInputs=spec  --iterations=N  --warmUp=N  --duration=N  --useSpinWait  --noTF32  --fp16  --int8
  {extra}  --timingCacheFile=<file>  --exportTimes=<file>  --exportOutput=<file>"""
argument = dict((a.lstrip("-").split("=", 1) + [""])[:2] for a in sys.argv[1:])
test = "TensorRT.trtexec [TensorRT v{version}] # " + " ".join(sys.argv)
print("&&&& RUNNING", test)

def fail(message):
    print("[11/25/2026-06:00:00] [E]", message)
    print("&&&& FAILED", test)
    sys.exit(1)

if "help" in argument:
    print(OPTIONS)
    sys.exit(0)
for name in argument:
    if "--" + name not in OPTIONS:
        fail("Unknown option: --" + name)
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
if "onnx" in argument:
    if {refuse!r} and {refuse!r} in argument["onnx"]:
        fail("Error[10]: Could not find any implementation for node head.")
    model = open(argument["onnx"], "rb").read()
    open(argument["saveEngine"], "wb").write(b"ENGINE" + argument["optShapes"].encode() + b"\\0" + model)
else:
    head, _, model = open(argument["loadEngine"], "rb").read().partition(b"\\0")
    if not head.endswith(argument["shapes"].encode()):
        fail("Static dimension mismatch while setting input shape.")
    image = open(argument["loadInputs"].split(":", 1)[1], "rb").read()
    known = os.path.join({cache!r}, hashlib.sha256(head + model + image).hexdigest())
    if not os.path.exists(known):  # ONNX Runtime takes a second to start: once per model and image is enough
        import numpy as np, onnxruntime
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        (wanted,) = session.get_inputs()
        tensor = np.frombuffer(image, np.float16 if "16" in wanted.type else np.float32)
        shape = [int(n) for n in argument["shapes"].split(":")[1].split("x")]
        (output,) = session.run(None, {{"image": tensor.reshape(shape)}})
        values = [float("%.6g" % v) for v in output.ravel().astype(np.float32)]
        dimensions = "x".join(map(str, output.shape))
        with open(known, "w") as file:
            json.dump([{{"name": "restored", "dimensions": dimensions, "values": values}}], file)
    output = json.load(open(known))
    if {spoil!r} and {spoil!r} in argument["loadEngine"]:
        output[0]["values"] = [value + 0.02 for value in output[0]["values"]]
    json.dump(output, open(argument["exportOutput"], "w"))
    warm, count = int(argument["warmUp"]), int(argument["iterations"])
    calls, clock = [], -1.0 if warm == 0 else 0.0
    while sum(call["startComputeMs"] >= warm for call in calls) < count:
        clock += 1.0 if warm == 0 else warm / 5 if clock < warm else 2.0
        compute = 1.25 + 0.001 * (len(calls) % 10)
        if clock < warm:
            compute = 99.0  # older versions export the warm-up too: it must not count
        times = {{"startEnqMs": clock, "endEnqMs": clock + 0.1, "startH2dMs": clock, "endH2dMs": clock + 0.25}}
        times |= {{"startComputeMs": clock, "endComputeMs": clock + compute, "startD2hMs": clock, "endD2hMs": clock + 0.5}}
        calls.append(times | {{"h2dMs": 0.25, "computeMs": compute, "d2hMs": 0.5, "latencyMs": compute + 0.75}})
    json.dump(calls, open(argument["exportTimes"], "w"))
print("&&&& PASSED", test)
'''
TEGRASTATS = f"""#!/bin/sh
while true; do
echo "11-25-2026 06:00:00 RAM 2771/30536MB (lfb 1x4MB) SWAP 0/15268MB (cached 0MB) CPU [0%@729,off] EMC_FREQ 3%@3199 \
GR3D_FREQ 97%@[1300,1300] cpu@48.5C soc2@45.1C gpu@47.25C tj@49.5C cv0@-256C \
VDD_GPU_SOC 9000mW/8500mW VDD_CPU_CV 1000mW/900mW VIN_SYS_5V0 4000mW/3900mW"
{shutil.which("sleep")} 0.02  # PATH has the stand-ins only
done
"""
NVPMODEL = "#!/bin/sh\necho 'NV Power Mode: MAXN'\necho 0\n"
CLOCKS = "#!/bin/sh\necho 'GPU MinFreq=306000000 MaxFreq=1300500000 CurrentFreq=1300500000'\n"
CLOCKS += "echo 'EMC MinFreq=204000000 MaxFreq=3199000000 CurrentFreq=3199000000 FreqOverride=1'\n"


def write_device(
    cache: Path, folder: Path, version: int = 100300, extra: str = "--stronglyTyped  --skipInference", refuse: str = "",
    spoil: str = "",
) -> Path:  # fmt: skip
    """Write the programs to folder/bin and the files of the system to folder/root; return folder/bin."""
    programs, root = folder / "bin", folder / "root"
    for made in (programs, root / "etc", root / "proc" / "device-tree"):
        made.mkdir(parents=True, exist_ok=True)
    log = str(folder / "trtexec.log")
    about = {"version": version, "extra": extra, "refuse": refuse, "spoil": spoil, "log": log, "cache": str(cache)}
    trtexec = TRTEXEC.format(python=sys.executable, **about)
    for name, text in (("trtexec", trtexec), ("tegrastats", TEGRASTATS), ("nvpmodel", NVPMODEL), ("jetson_clocks", CLOCKS)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (root / "etc" / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
    (root / "proc" / "device-tree" / "model").write_bytes(b"NVIDIA Jetson AGX Orin Developer Kit\0")
    return programs


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The FP32 and the INT8 file of a small EFM with random weights."""
    folder = tmp_path_factory.mktemp("engines")
    torch.manual_seed(0)
    model = build_model("efm", MODEL)
    for parameter in model.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter).data.mul_(0.3)
    Exporter().write(model, folder / "fp32.onnx", "efm", stride(model))
    write_int8(model, folder / "int8.onnx")
    return {precision: (folder / f"{precision}.onnx").read_bytes() for precision in ("fp32", "int8")}


@pytest.fixture
def active(project: Path, pairs: Path, engines: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> config.Config:
    """The smoke profile with the tasks derain (benchmarked) and denoise, exported."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    keep = ["derain", "denoise"]
    for block in (*params["blocks"].values(), *params["search"].values()):
        block["tasks"] = [task for task in block["tasks"] if task in keep] or ["derain"]
    (project / "params.yaml").write_text(yaml.safe_dump(params | {"tasks": keep}))
    (project / "data" / "prepared" / "denoise").symlink_to(pairs)
    for task in keep:
        for run, precision in ((Run(task, "fp32", "FP32", "all", 0), "fp32"), (Run(task, "qdr", "W8A8", "all", 0), "int8")):
            engine_file(run).parent.mkdir(parents=True, exist_ok=True)
            engine_file(run).write_bytes(engines[precision])
    monkeypatch.setattr(bundle, "SIZES", ((64, 64), (96, 64)))
    return config.load()


@pytest.fixture(scope="session")
def kept() -> dict[str, bytes]:
    """The archive of the first test that needs it: the others take the same bytes."""
    return {}


@pytest.fixture
def archive(active: config.Config, project: Path, kept: dict[str, bytes]) -> Path:
    """The bundle."""
    target = project / "kit.tar.gz"
    if "archive" not in kept:
        assert bundle.write_bundle(active, target) == 7
        kept["archive"] = target.read_bytes()
    target.write_bytes(kept["archive"])
    return target


@pytest.fixture
def make_device(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a device: its TensorRT, the options it has beside the common ones, models that it refuses or computes wrongly."""
    cache = tmp_path_factory.getbasetemp() / "outputs"
    cache.mkdir(exist_ok=True)
    return partial(write_device, cache)


@pytest.fixture
def kit(archive: Path, project: Path, make_device: Callable[..., Path]) -> Path:
    """The bundle, unpacked as on a device."""
    with tarfile.open(archive) as tar:
        tar.extractall(project / "device", filter="data")
    make_device(project / "device")
    return project / "device" / bundle.ROOT


@pytest.fixture
def measure(kit: Path) -> Measure:
    """Run the bundle's script in a process of its own, with nothing but the stand-ins (and sh) to call."""

    def run(*arguments: str, programs: Path | None = None) -> subprocess.CompletedProcess[str]:
        root = kit.parent / "root"
        where = str(programs or kit.parent / "bin")
        command = [sys.executable, "-I", str(kit / "measure.py"), "--root", str(root), *arguments]
        environment = {"PATH": where, "HOME": os.environ.get("HOME", "/")}
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=kit.parent)

    return run


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first complete run leaves its files for the tests after it."""
    return tmp_path_factory.mktemp("jetson") / "measured"


@pytest.fixture
def result(kit: Path, measure: Measure, measured: Path) -> dict[str, Any]:
    """What a complete run writes."""
    if not measured.is_dir():
        done = measure()
        assert done.returncode == 0, done.stdout + done.stderr
        shutil.copytree(kit, measured / kit.name)
        shutil.copy(kit.parent / "trtexec.log", measured)
    shutil.copytree(measured, kit.parent, dirs_exist_ok=True)
    read: dict[str, Any] = json.loads((kit / "result.json").read_text())
    return read


@pytest.fixture
def speed(project: Path) -> Path:
    """Latency of this machine beside which the Jetson's rows appear."""
    folder = project / "results" / "smoke"
    row = {"model": "efm", "precision": "fp32", "engine": "openvino", "threads": 2, "batch": 1, "height": 64, "width": 64}
    row |= {"median_ms": 9, "p90_ms": 9, "p99_ms": 9, "fps": 111, "peak_rss_mib": 99, "calls": 5, "repeats": 1}
    write_rows(folder / "latency.csv", [row])
    write_json(folder / "latency.json", {"cpu": "a CPU"})
    write_json(folder / "jetson.json", {"status": "not built", "reason": "no GPU", "rows": []})
    return folder
