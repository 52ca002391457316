#!/usr/bin/env python3
"""Build and measure the engines of this bundle on the device it lies on, and write one result file.

    python3 measure.py                  # everything; the same command goes on after an interruption
    python3 measure.py --duration 30    # longer runs

Needs Python 3.8 and TensorRT's `trtexec` (JetPack: /usr/src/tensorrt/bin), nothing else and no network. What is built
or measured once, from the same files with the same TensorRT in the same power mode, is kept in work/. Run as root
(sudo) for the clocks; set the power mode (`nvpmodel -m`) and `jetson_clocks` before, the script changes no setting.

Rules of a run: batch 1, the first photograph of the bundle as input, warm-up, then at least as many calls and seconds
as the manifest says. `engine_ms` is trtexec's GPU compute time, `end_to_end_ms` adds the copies between host and device.
The outputs that were timed, and those of the other photographs, are compared with the reference in the bundle; a case that
is further from it than the manifest allows is `wrong`, and its times are not kept.

Formats: trtexec's --exportTimes, --exportOutput and --loadInputs as in NVIDIA's samples/common/sampleReporting.cpp and
sampleOptions.cpp; tegrastats as in the Jetson Linux Developer Guide, "tegrastats Utility".
"""

from __future__ import annotations

import argparse
import ast
import datetime
import hashlib
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

HERE = Path(__file__).resolve().parent
SCHEMA = "qdr-jetson/1"
PLACES = "/usr/src/tensorrt/bin"
Json = Dict[str, Any]


class Problem(Exception):
    """What is wrong and what to do, on one line."""


def main(arguments: Optional[List[str]] = None) -> int:
    """Measure every case of the manifest; 0: all done, 1: some failed or were wrong, 2: nothing could be measured."""
    options = parse(arguments)
    try:
        manifest = read_manifest(HERE)
        rules = dict(manifest["rules"])
        for key in ("duration_s", "iterations", "warm_up_ms"):
            if getattr(options, key) is not None:
                rules[key] = max(rules[key], getattr(options, key))
        trtexec = Trtexec(options.trtexec)
        device = describe(options.root, trtexec)
    except Problem as problem:
        print(f"measure.py: error: {problem}", file=sys.stderr)
        return 2
    print("{model}, {power_mode}, TensorRT {tensorrt}".format(**device))
    cases = []
    for number, case in enumerate(manifest["cases"], 1):
        name = "{task}-{precision}-{height}x{width}".format(**case)
        print("[{}/{}] {}".format(number, len(manifest["cases"]), name), end=": ", flush=True)
        done = measure(name, case, manifest, rules, trtexec, device)
        cases.append(done)
        print("{median:.3f} ms".format(**done["engine_ms"]) if done["status"] == "measured" else done["reason"], flush=True)
    result = {"schema": SCHEMA, "profile": manifest["profile"], "manifest_sha256": sha256(HERE / "manifest.json")}
    result.update(device=device, rules=rules, cases=cases, finished=now())
    result["sha256"] = digest(result)
    write_json(options.output, result)
    failed = [case for case in cases if case["status"] != "measured"]
    print(f"{options.output}: {len(cases)} cases, {len(failed)} failed or wrong")
    return 1 if failed else 0


def parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    """The command line. Rules can only be made stricter than the manifest's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=HERE / "result.json", help="the result file")
    parser.add_argument("--trtexec", help="path of trtexec, if it is neither on PATH nor in " + PLACES)
    parser.add_argument("--duration", dest="duration_s", type=int, help="seconds per case, at least the manifest's")
    parser.add_argument("--iterations", type=int, help="calls per case, at least the manifest's")
    parser.add_argument("--warm-up", dest="warm_up_ms", type=int, help="milliseconds, at least the manifest's")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where etc/ and proc/ are (in a container: /host)")
    return parser.parse_args(arguments)


# ---- the bundle ---------------------------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> Json:
    """The manifest, after every file it lists was found to have its checksum."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))  # type: Json
    except (OSError, ValueError) as error:
        raise Problem(f"manifest.json cannot be read ({error}): unpack the bundle again") from error
    if manifest.get("schema") != SCHEMA:
        raise Problem("manifest.json has schema {!r}, expected {!r}".format(manifest.get("schema"), SCHEMA))
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise Problem(f"{name} is missing: unpack the bundle again")
        if sha256(path) != expected:
            raise Problem(f"{name} is damaged (checksum differs from the manifest's): copy the bundle again")
    return manifest


def read_image(path: Path) -> Tuple[Tuple[int, ...], bytes]:
    """Shape and bytes of a .npy file of uint8 (numpy format 1.0: magic, header length, header, data)."""
    data = path.read_bytes()
    length = struct.unpack("<H", data[8:10])[0]
    header = ast.literal_eval(data[10 : 10 + length].decode("latin1"))
    if data[:6] != b"\x93NUMPY" or header["descr"] != "|u1" or header["fortran_order"]:
        raise Problem(f"{path.name} is not a C-ordered uint8 .npy file")
    return header["shape"], data[10 + length :]


def write_input(path: Path, image: bytes, dtype: str) -> None:
    """A uint8 image as the raw tensor in [0, 1] that trtexec loads."""
    values = [level / 255 for level in image]
    if dtype == "float16":
        path.write_bytes(struct.pack(f"<{len(values)}e", *values))
    else:
        path.write_bytes(array("f", values).tobytes())


def compare(output: List[float], reference: bytes) -> Json:
    """Largest and mean difference in grey levels and PSNR in dB of an output in [0, 1], rounded to 8 bits."""
    if len(output) != len(reference):
        raise Problem(f"the output has {len(output)} values, the reference {len(reference)}")
    if not all(map(math.isfinite, output)):
        raise Problem("the output has values that are not finite")
    gaps = [abs(round(min(max(value, 0.0), 1.0) * 255) - level) for value, level in zip(output, reference)]
    square = sum(gap * gap for gap in gaps) / len(gaps)
    psnr = 10 * math.log10(255 * 255 / square) if square else 100.0
    return {"max_level": max(gaps), "mean_level": sum(gaps) / len(gaps), "psnr_db": min(psnr, 100.0)}


# ---- TensorRT -----------------------------------------------------------------------------------------------------------


class Trtexec:
    """The device's trtexec: where it is, its version, and which of its options exist."""

    def __init__(self, path: Optional[str]) -> None:
        found = path or shutil.which("trtexec") or shutil.which("trtexec", path=PLACES)
        if not found or not os.access(found, os.X_OK):
            where = path or "on PATH or in " + PLACES
            raise Problem(f"there is no trtexec {where}: install it (sudo apt install tensorrt), or name it with --trtexec")
        self.path = found
        self.help = run([found, "--help"])[1]
        banner = re.search(r"\[TensorRT v(\d+)\]", self.help)
        if banner is None:
            raise Problem(f"{found} --help does not say its TensorRT version")
        self.version = decode_version(int(banner[1]))

    def has(self, option: str) -> bool:
        """Whether --help lists an option."""
        return re.search(r"(?<![\w-])" + re.escape(option) + r"(?![\w-])", self.help) is not None

    def precision(self, precision: str) -> List[str]:
        """How to ask for a file's own precision: typed where this version can, else by flags; FP32 without TF32."""
        if precision == "fp32":
            return ["--noTF32"]
        if self.has("--stronglyTyped"):
            return ["--stronglyTyped"]
        if self.has("--" + precision):
            return ["--" + precision]
        return []  # TensorRT 11 takes every network typed and has no flag

    def build(self, model: Path, engine: Path, case: Json) -> None:
        """Build an engine of one fixed size."""
        shape = "image:1x3x{height}x{width}".format(**case)
        command = [self.path, f"--onnx={model}", f"--saveEngine={engine}"]
        command += [f"--{which}Shapes={shape}" for which in ("min", "opt", "max")]
        command += self.precision(case["precision"])
        command += ["--skipInference" if self.has("--skipInference") else "--buildOnly"]
        if self.has("--timingCacheFile"):
            command += ["--timingCacheFile={}".format(HERE / "work" / "timing.cache")]
        execute(command, "the build")

    def infer(self, engine: Path, case: Json, image: Path, output: Path, rules: Json) -> List[Json]:
        """Run an engine on an image; write its output, return the record of every call after warm-up."""
        times = output.with_suffix(".times.json")
        command = [self.path, f"--loadEngine={engine}", f"--loadInputs=image:{image}"]
        command += ["--shapes=image:1x3x{height}x{width}".format(**case), "--useSpinWait"]
        command += ["--warmUp={warm_up_ms}".format(**rules), "--duration={duration_s}".format(**rules)]
        command += ["--iterations={iterations}".format(**rules)]
        command += [f"--exportTimes={times}", f"--exportOutput={output}"]
        execute(command, "the run")
        calls = json.loads(times.read_text(encoding="utf-8"))  # type: List[Json]
        # Versions before 8.5 export the calls of the warm-up too; trtexec's own summary leaves them out by this rule.
        return [call for call in calls if call["startComputeMs"] >= rules["warm_up_ms"]]


def decode_version(number: int) -> str:
    """TensorRT's version from its number: 8502 is 8.5.2, 100300 is 10.3.0."""
    unit = 10000 if number >= 100000 else 1000
    return f"{number // unit}.{number % unit // 100}.{number % 100}"


def execute(command: List[str], what: str) -> None:
    """Run trtexec; on failure raise with its last error."""
    code, text = run(command)
    if code != 0 or "&&&& PASSED" not in text:
        errors = [line for line in text.splitlines() if "[E]" in line] or text.splitlines() or ["no message"]
        raise Problem(f"{what} failed (exit {code}): {errors[-1].strip()}")


# ---- one case -----------------------------------------------------------------------------------------------------------


def measure(name: str, case: Json, manifest: Json, rules: Json, trtexec: Trtexec, device: Json) -> Json:
    """The record of a case, from work/ if it was measured before under the same conditions."""
    work = HERE / "work"
    work.mkdir(exist_ok=True)
    model = HERE / case["model"]
    checksum = manifest["files"][case["model"]]
    about = dict(case, onnx_sha256=checksum)
    built_from = {"onnx": checksum, "tensorrt": device["tensorrt"], "device": device["model"]}
    built_from["flags"] = trtexec.precision(case["precision"])
    inputs = [manifest["files"][image[side]] for image in case["images"] for side in ("input", "reference")]
    conditions = dict(built_from, rules=rules, power_mode=device["power_mode"], images=inputs)
    kept = read_json(work / (name + ".json"))
    if kept.get("conditions") == conditions:
        record = kept["record"]  # type: Json
        return record
    try:
        engine = work / (name + ".engine")
        built = read_json(work / (name + ".engine.json"))
        if built.get("from") != built_from or not engine.is_file() or sha256(engine) != built["sha256"]:
            temporary = work / (name + ".engine.part")
            trtexec.build(model, temporary, case)
            temporary.replace(engine)
            write_json(work / (name + ".engine.json"), {"from": built_from, "sha256": sha256(engine)})
        record = dict(about, status="measured", reason="", **time_and_check(name, case, rules, trtexec, engine))
        off, allowed = record["accuracy"]["mean_level"], case["gate_mean_level"]
        if off > allowed:
            reason = f"wrong: {off:.2f} grey levels off the reference on average, at most {allowed} are allowed"
            record = dict(about, status="wrong", reason=reason, accuracy=record["accuracy"])
    except Problem as problem:
        return dict(about, status="failed", reason=str(problem))
    write_json(work / (name + ".json"), {"conditions": conditions, "record": record})
    return record


def time_and_check(name: str, case: Json, rules: Json, trtexec: Trtexec, engine: Path) -> Json:
    """Time an engine on the first image while tegrastats runs, and compare the outputs of all images."""
    work = HERE / "work"
    image, output = work / (name + ".input.bin"), work / (name + ".output.json")
    found = []
    timed = {}  # type: Json
    for number, pair in enumerate(case["images"]):
        shape, levels = read_image(HERE / pair["input"])
        if shape != (3, case["height"], case["width"]):
            raise Problem("{} has shape {}".format(pair["input"], shape))
        write_input(image, levels, case["dtype"])
        if number == 0:
            with Tegrastats(work / (name + ".tegrastats.txt")) as sensors:
                calls = trtexec.infer(engine, case, image, output, rules)
            if len(calls) < rules["iterations"]:
                raise Problem("only {} calls were timed, {} were asked for".format(len(calls), rules["iterations"]))
            timed = {
                "calls": len(calls),
                "engine_ms": summarize([call["computeMs"] for call in calls]),
                "end_to_end_ms": summarize([call["h2dMs"] + call["computeMs"] + call["d2hMs"] for call in calls]),
                "sensors": sensors.summary(),
            }
        else:
            trtexec.infer(engine, case, image, output, {"warm_up_ms": 0, "duration_s": 0, "iterations": 1})
        (tensor,) = json.loads(output.read_text(encoding="utf-8"))
        found.append(compare(tensor["values"], read_image(HERE / pair["reference"])[1]))
    accuracy = {"images": len(found), "max_level": max(one["max_level"] for one in found)}  # type: Json
    accuracy["mean_level"] = max(one["mean_level"] for one in found)
    accuracy["psnr_db"] = min(one["psnr_db"] for one in found)
    return dict(timed, accuracy=accuracy)


def summarize(milliseconds: List[float]) -> Json:
    """Median, 90th and 99th percentile (linear between neighbours), smallest and largest."""
    ordered = sorted(milliseconds)

    def percentile(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    values = {"median": 0.5, "p90": 0.9, "p99": 0.99}
    summary = {name: percentile(share) for name, share in values.items()}
    return dict(summary, min=ordered[0], max=ordered[-1])


# ---- the device ---------------------------------------------------------------------------------------------------------


class Tegrastats:
    """tegrastats in the background, five times a second, into a file."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process = None  # type: Optional[subprocess.Popen[bytes]]

    def __enter__(self) -> Tegrastats:
        if shutil.which("tegrastats"):
            with self.log.open("wb") as file:
                self.process = subprocess.Popen(["tegrastats", "--interval", "200"], stdout=file, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def summary(self) -> Json:
        """Mean and largest power per rail (mW), temperature (°C) and GPU load (%) while the engine ran."""
        if self.process is None:
            return {"samples": 0, "reason": "there is no tegrastats"}
        return parse_tegrastats(self.log.read_text(encoding="utf-8", errors="replace"))


def parse_tegrastats(text: str) -> Json:
    """What a tegrastats log says: `tj@45.0C`, `VDD_GPU_SOC 2384mW/2384mW` (now/average), `GR3D_FREQ 99%`."""
    lines = [line for line in text.splitlines() if "RAM " in line]
    power, heat, load = {}, {}, []  # type: Dict[str, List[float]], Dict[str, List[float]], List[float]
    for line in lines:
        for rail, now_mw in re.findall(r"\b(V\w+) (\d+)mW(?:/\d+mW)+", line):
            power.setdefault(rail, []).append(float(now_mw))
        for sensor, celsius in re.findall(r"\b(\w+)@(-?\d+(?:\.\d+)?)C\b", line):
            heat.setdefault(sensor.lower(), []).append(float(celsius))
        load += [float(percent) for percent in re.findall(r"\bGR3D_FREQ (\d+)%", line)]

    def ends(values: List[float]) -> Json:
        return {"mean": sum(values) / len(values), "max": max(values)}

    summary = {"samples": len(lines)}  # type: Json
    summary["power_mw"] = {rail: ends(values) for rail, values in sorted(power.items())}
    summary["celsius"] = {sensor: ends(values) for sensor, values in sorted(heat.items()) if max(values) > -200}
    if load:
        summary["gpu_percent"] = ends(load)
    return summary


def describe(root: Path, trtexec: Trtexec) -> Json:
    """Module, L4T, TensorRT, power mode and clocks; what cannot be read says why."""
    mode = re.search(r"NV Power Mode: *(\S+)", output_of(["nvpmodel", "-q"]))
    clocks = output_of(["jetson_clocks", "--show"])
    release = read_text(root / "etc/nv_tegra_release")
    l4t = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release)
    frequencies = re.findall(r"^(GPU|EMC) .*?CurrentFreq=(\d+)", clocks, re.MULTILINE)
    return {
        "model": read_text(root / "proc/device-tree/model").rstrip("\0\n") or "unknown",
        "l4t": f"{l4t[1]}.{l4t[2]}" if l4t else "unknown",
        "tensorrt": trtexec.version,
        "power_mode": mode[1] if mode else "unknown",
        "clocks_hz": {name.lower(): int(hertz) for name, hertz in frequencies},
        "jetson_clocks": clocks,
        "python": sys.version.split()[0],
    }


def output_of(command: List[str]) -> str:
    """What a command prints, or why it did not."""
    if shutil.which(command[0]) is None:
        return f"not available: there is no {command[0]}"
    code, text = run(command)
    return text.strip() if code == 0 else "not available: {}".format((text.strip().splitlines() or [f"exit {code}"])[-1])


# ---- files and processes ------------------------------------------------------------------------------------------------


def run(command: List[str]) -> Tuple[int, str]:
    """Exit code and everything a command prints."""
    environment = dict(os.environ, LC_ALL="C")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def sha256(path: Path) -> str:
    """Checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest(result: Json) -> str:
    """Checksum of a result without its own: a slip of the pen or of the wire shows; it is no signature."""
    plain = {key: value for key, value in result.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_text(path: Path) -> str:
    """The text of a file, empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def read_json(path: Path) -> Json:
    """A kept record, empty if there is none or an interruption left half of it."""
    try:
        record = json.loads(read_text(path))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def write_json(path: Path, record: Json) -> None:
    """Write a record whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(path)


def now() -> str:
    """UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nmeasure.py: interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)
