"""Networks that are not this project's own, in INT8: the table results/networks/networks.csv.

    python benchmarks/networks.py --work DIR [--only NAME ...] [--weights NAME=FILE ...] [--out results/networks]
    python benchmarks/networks.py --table        # the tables of docs/quantize.md

Two were published with weights (`examples/published.py`; give their files with --weights), four are shapes of published
networks trained here for minutes on noise of sigma 25 (`examples/`): stand-ins, because their authors' weights are not in
any package. Images come from the folder that QDR_DATA names: training from clean/cc0_train; noise and mosaics from
clean/cc0_val, of which every fourth is held back and the others calibrate; low light from 40 pairs of
lowlight/lol_v1_train.

Each network: FP32, calibration alone (PTQ) and label-free QDR at W8A8 and W7A8 on the pixels of a right engine, at W4A4 by
fake quantization in torch (no engine here executes it), and W8A8 under --max-drop 0.05 and 0.3. dB are PSNR of 8-bit RGB
crops against the targets; milliseconds are for one crop, the fastest of rounds in which INT8 and the same layers in FP32
have their turns in one engine. Rows of a network replace older ones of it.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import pandas as pd
import torch
from PIL import Image

from qdr import machine
from qdr.convert import network
from qdr.convert.frames import Frames, read_frames
from qdr.convert.job import Outcome, Wish, convert
from qdr.convert.judge import Judge, Score
from qdr.convert.tune import distil
from qdr.distill.distiller import bottleneck, frozen_copy
from qdr.errors import QdrError
from qdr.export.file import read_onnx
from qdr.export.mixed import in_reals
from qdr.export.numerics import probe_image, to_batch
from qdr.files import replacing
from qdr.images.pairs import images_in, read_image
from qdr.quant.quantize import quantize
from qdr.runtimes.session import open_session
from qdr.runtimes.torch_eager import TorchSession

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIGMA, STEPS, BATCH, PATCH, RATE = 25, 50, 8, 64, 2e-3
BUDGETS = (0.05, 0.3)
DARK, ROUNDS = 40, 6  # pairs of low light; turns of an engine


@dataclass(frozen=True)
class Network:
    """A network of the table.

    Args:
        factory: file and callable in `examples`.
        task: "noise", "mosaic" or "low light".
        steps: of training here; 0 where weights were published.
        weights: where they come from.
        batch: of the training here.
    """

    factory: str
    task: str
    steps: int
    weights: str
    batch: int = BATCH


STAND_IN = "stand-in, trained here"
NETWORKS = {
    "Zero-DCE": Network("published.py:neuro_low_light", "low light", 0, "package neuro-low-light 0.1.0 (MIT)"),
    "demosaicnet": Network("published.py:bayer", "mosaic", 0, "package demosaicnet 0.0.14 (MIT)"),
    "DnCNN with batch norm": Network("plain.py:dncnn", "noise", 900, STAND_IN),
    "U-Net": Network("plain.py:unet", "noise", 900, STAND_IN),
    "NAFNet, tiny": Network("nafnet.py:tiny", "noise", 700, STAND_IN),
    "Restormer, tiny": Network("restormer.py:tiny", "noise", 150, STAND_IN, 4),
}


def main() -> None:
    """Measure the networks that are asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for checkpoints, noisy images and files")
    parser.add_argument("--table", action="store_true", help="print the tables of the results that are there")
    parser.add_argument("--only", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=FILE", help="of published networks")
    parser.add_argument("--out", type=Path, default=Path("results/networks"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.table:
        return print(tables(options.out / "networks.csv"))
    if options.work is None:
        raise QdrError("name a folder for what is made with --work")
    torch.set_num_threads(options.threads)
    given = {name: Path(file) for name, _, file in (entry.partition("=") for entry in options.weights)}
    for name in options.only:
        about = NETWORKS[name]
        checkpoint = given.get(name) or trained(about, data("clean/cc0_train"), options.work)
        images, targets = pictures(about.task, options.work)
        rows = list(measured(name, about, checkpoint, images, targets, options))
        write(options.out, name, rows, options.threads)


def data(folder: str) -> Path:
    """A folder of public images."""
    root = os.environ.get("QDR_DATA")
    if not root or not (Path(root) / folder).is_dir():
        raise QdrError(f"QDR_DATA names no folder with {folder}: set it")
    return Path(root) / folder


def trained(about: Network, photographs: Path, work: Path) -> Path:
    """The checkpoint of a stand-in, trained if it is not there."""
    path = work / f"{about.factory.replace('.py:', '-')}.pth"
    if about.steps == 0:
        raise QdrError(f"{about.factory} has published weights: give their file with --weights")
    if path.is_file():
        return path
    images = [read_image(file) for file in images_in(photographs).values()]
    torch.manual_seed(0)
    model = network.build(str(EXAMPLES / about.factory)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=about.steps, pct_start=0.1)
    for step in range(about.steps):
        rng = np.random.default_rng((0, step))
        patches = []
        for _ in range(about.batch):
            image = images[rng.integers(len(images))]
            y, x = (int(rng.integers(side - PATCH)) for side in image.shape[:2])
            patches.append(np.rot90(image[y : y + PATCH, x : x + PATCH], int(rng.integers(4))))
        clean = np.stack(patches).transpose(0, 3, 1, 2).astype(np.float32)
        noisy = np.clip(np.rint(clean + rng.normal(0, SIGMA, clean.shape)), 0, 255).astype(np.float32)
        loss = (model(torch.from_numpy(noisy) / 255) - torch.from_numpy(clean) / 255).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        print(f"\r{about.factory}: step {step + 1} of {about.steps}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    work.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save({"params": model.state_dict()}, temporary)
    return path


def pictures(task: str, work: Path) -> tuple[Path, Path]:
    """Folders of degraded and clean images of a task."""
    if task == "low light":
        return _dark(work)
    clean = data("clean/cc0_val")
    if task == "mosaic":  # the network takes the mosaic itself
        return clean, clean
    noisy = work / "noisy"
    if not noisy.is_dir():
        with replacing(noisy) as folder:
            folder.mkdir()
            for number, (name, path) in enumerate(images_in(clean).items()):
                image = read_image(path)
                noise = np.random.default_rng((1, number)).normal(0, SIGMA, image.shape)
                Image.fromarray(np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    return noisy, clean


def _dark(work: Path) -> tuple[Path, Path]:
    """Pairs of LOL's training set as PNG, which it keeps in other formats."""
    folder = work / "low-light"
    if not folder.is_dir():
        with replacing(folder) as made:
            for kind in ("input", "target"):
                (made / kind).mkdir(parents=True)
                for path in sorted(data(f"lowlight/lol_v1_train/{kind}").iterdir())[:DARK]:
                    with Image.open(path) as image:
                        image.convert("RGB").save(made / kind / f"{path.stem}.png")
    return folder / "input", folder / "target"


def measured(
    name: str, about: Network, checkpoint: Path, images: Path, targets: Path, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """The rows of a network."""
    factory = str(EXAMPLES / about.factory)
    frames = read_frames(images, targets, 3)
    usual = {
        "network": name,
        "weights": about.weights,
        "task": about.task,
        "held_back": len(frames.held),
        "side": frames.side,
    }
    usual |= {"calibration": min(32, len(frames.training)), "threads": options.threads}

    def row(scheme: str, variant: str, engine: str, **values: Any) -> dict[str, Any]:
        return usual | {"scheme": scheme, "variant": variant, "engine": engine} | values

    def run(scheme: str, most: float | None) -> tuple[Outcome, dict[str, float]]:
        times = {"begun": perf_counter()}

        def say(line: str) -> None:
            times.setdefault(line.partition(":")[0], perf_counter() - times["begun"])
            print(f"{name} {scheme}: {line.splitlines()[0]}", file=sys.stderr)

        out = options.work / f"{about.factory.replace('.py:', '-')}-{scheme}-{most}.onnx"
        wish = Wish(checkpoint, factory, images, targets, out, scheme, STEPS, "", most, force=True, threads=options.threads)
        outcome = convert(wish, say, lambda *_: None)
        return outcome, times | {"all": perf_counter() - times["begun"]}

    def scored(scheme: str, variant: str, score: Score, psnr: float, seconds: float) -> dict[str, Any]:
        dB = {"psnr_db": round(psnr - score.drop, 3), "drop_db": round(score.drop, 4)}
        return row(scheme, variant, score.engine, **dB, seconds=round(seconds, 1))

    whole: Outcome | None = None
    for scheme in ("W8A8", "W7A8"):
        outcome, times = run(scheme, BUDGETS[0] if scheme == "W8A8" else None)
        assert outcome.psnr is not None
        if whole is None:
            whole = outcome
            yield row("FP32", "fp32", "onnxruntime", psnr_db=round(outcome.psnr, 3), drop_db=0.0)
        yield scored(scheme, "ptq", outcome.ptq, outcome.psnr, times["calibrated"])
        if outcome.qdr is not None:
            yield scored(scheme, "qdr", outcome.qdr, outcome.psnr, times["distilled"])
        if scheme != "W8A8":
            continue
        best = min((score for score in (outcome.ptq, outcome.qdr) if score is not None), key=lambda score: score.drop)
        for most in BUDGETS:
            layers, final, fallback, out = [], best, "", outcome.out
            if best.drop > most:
                searched, times = (outcome, times) if most == BUDGETS[0] else run(scheme, most)
                layers, final, fallback, out = searched.kept, searched.final, searched.fallback, searched.out
            made = scored(scheme, f"max-drop {most:g}", final, outcome.psnr, times["all"])
            share = round(sum(layer.share for layer in layers), 4)
            about_layers = {
                "layers_float": len(layers),
                "layers": outcome.layers,
                "share_float": share,
                "fallback": fallback,
            }
            speed = raced(out, final.engine, frames.side, options.threads) if out == outcome.out or layers else {}
            yield made | about_layers | {"kept": int(final.drop <= most)} | speed
    assert whole is not None
    yield from (row("W4A4", variant, "fake-quant", **values) for variant, values in faked(checkpoint, factory, frames))


@lru_cache
def raced(path: Path, engine: str, side: int, threads: int) -> dict[str, float]:
    """Milliseconds of a file and of its layers in FP32 in the same engine, in turn."""
    image, plain = to_batch(probe_image(side, side)), path.with_suffix(".fp32.onnx")
    onnx.save(in_reals(read_onnx(path)), plain)
    fp32 = open_session("onnxruntime" if engine == "exact" else engine, plain, "fp32", threads)
    sessions, best = (open_session(engine, path, "int8", threads), fp32), [math.inf, math.inf]
    for number, session in list(enumerate(sessions)) * ROUNDS:
        for _ in range(2):  # the first finds the other's values in the caches
            begun = perf_counter()
            session.run(image)
            best[number] = min(best[number], (perf_counter() - begun) * 1e3)
    return {"milliseconds": round(best[0], 2), "fp32_milliseconds": round(best[1], 2), "speed": round(best[1] / best[0], 3)}


def faked(checkpoint: Path, factory: str, frames: Frames) -> Iterator[tuple[str, dict[str, Any]]]:
    """W4A4 by fake quantization in torch, calibrated and distilled."""
    begun, model = perf_counter(), network.load(checkpoint, factory)
    teacher, example = frozen_copy(model), frames.calibration()[0]
    judge = Judge(frames.held, frames.targets, TorchSession(teacher, "torch").run, 30.0)
    place, psnr = bottleneck(model, example), judge.against_targets()
    assert psnr is not None
    quantize(model, frames.calibration(), "W4A4")
    for variant in ("ptq", "qdr"):
        if variant == "qdr":
            model = copy.deepcopy(model)
            distil(model, teacher, frames, STEPS, place, lambda *_: None)
        drop = judge.score(TorchSession(model, "fake-quant").run, "fake-quant").drop
        yield (
            variant,
            {"psnr_db": round(psnr - drop, 3), "drop_db": round(drop, 4), "seconds": round(perf_counter() - begun, 1)},
        )


def write(out: Path, name: str, rows: list[dict[str, Any]], threads: int) -> None:
    """Put a network's rows in the place of older ones."""
    table, new = out / "networks.csv", pd.DataFrame(rows)
    if table.is_file():
        old = pd.read_csv(table)
        new = pd.concat([old[old["network"] != name], new])
    order = {key: number for number, key in enumerate(NETWORKS)}
    new = new.sort_values("network", key=lambda column: column.map(order), kind="stable")
    for column in ("layers_float", "layers", "kept"):
        new[column] = new[column].astype("Int64") if column in new else pd.NA
    out.mkdir(parents=True, exist_ok=True)
    with replacing(table) as temporary:
        new.to_csv(temporary, index=False)
    about = {
        "machine": machine.processor(),
        "versions": machine.versions(),
        "threads": threads,
        "load": math.floor(os.getloadavg()[0]),
    }
    with replacing(out / "machine.json") as temporary:
        temporary.write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def tables(results: Path) -> str:
    """The tables of docs/quantize.md: dB and seconds, then what a promise in dB costs."""
    rows = {(row.network, row.scheme, row.variant): row for row in pd.read_csv(results).itertuples()}
    networks = [name for name in NETWORKS if (name, "FP32", "fp32") in rows]

    def drops(name: str, scheme: str) -> str:
        found = [rows.get((name, scheme, variant)) for variant in ("ptq", "qdr")]
        return " / ".join("-" if row is None else f"{row.drop_db:.3f}" for row in found)

    lines = [
        "| Network | Weights | FP32, dB | W8A8 | W7A8 | W4A4 (fake) | Engine | Seconds |",
        f"| {' | '.join(['---'] * 8)} |",
    ]
    for name in networks:
        first, last = rows[name, "FP32", "fp32"], rows.get((name, "W8A8", "qdr")) or rows[name, "W8A8", "ptq"]
        three = " | ".join(drops(name, scheme) for scheme in ("W8A8", "W7A8", "W4A4"))
        seconds = f"{rows[name, 'W8A8', 'ptq'].seconds:.0f} / {last.seconds:.0f}"
        lines.append(f"| {name} | {first.weights} | {first.psnr_db:.2f} | {three} | {last.engine} | {seconds} |")
    lines += [
        "",
        "| Network | Budget, dB | Lost | Layers in float | Multiply-accumulates in float | ms, INT8 / FP32 | Speed |",
    ]
    lines += [f"| {' | '.join(['---'] * 7)} |"]
    for name in networks:
        for most in BUDGETS:
            row = rows[name, "W8A8", f"max-drop {most:g}"]
            kept = f"{int(row.layers_float)} of {int(row.layers)} | {100 * row.share_float:.0f} %"
            lost = f"{row.drop_db:.3f}" + ("" if row.kept else ": not kept")
            times = f"{row.milliseconds:.1f} / {row.fp32_milliseconds:.1f}"
            lines.append(f"| {name} | {most:g} | {lost} | {kept} | {times} | {row.speed:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except QdrError as error:
        sys.exit(f"networks: error: {error}")
