"""Pack the trained models of the active profile as the weights that come with qdr, each with its model card.

Of a task's models of one scheme the one with the highest PSNR on the profile's validation images is taken, so that no
trained model is handed out that is worse than its own calibration. The FP32 teacher goes with them, in FP16 numbers.

Everything is read, nothing typed: the file is the exported one whose quality was measured, PSNR and SSIM come from
results/<profile>/quality.csv, the revision from its provenance.json, data from the profile and the sources' cards. The run's
own record must name the profile's model and schedule.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from statistics import fmean, median
from typing import Any

from safetensors.torch import save

from qdr.errors import QdrError
from qdr.export.file import read_onnx
from qdr.files import replacing
from qdr.metrics.protocol import PROTOCOL
from qdr.models.pretrained import KEY
from qdr.restore import pretrained
from qdr.rows import read_json, read_rows
from qdr.runtimes.session import restore
from qdr.runtimes.verify import open_right
from qdr.suite import paths
from qdr.suite.config import SCENES, Config
from qdr.suite.data.datacard import how_degraded, weights_licence
from qdr.suite.data.loader import PairSet
from qdr.suite.data.tasks import Card, load_cards
from qdr.suite.export.engines import engine_file
from qdr.suite.methods import NONE
from qdr.suite.modelcard import Score, card
from qdr.suite.train.checkpoint import load_weights
from qdr.suite.train.plan import Run, plan, run_folder, teacher
from qdr.suite.zoo import build_model

FP32 = "fp32"


def release(config: Config, folder: Path) -> list[Path]:
    """Write `<task>-<scheme>.onnx`, `<task>-FP32.safetensors` and a card `<task>.md` of every task of the profile to
    `folder`; returns the files of weights.

    Raises:
        QdrError: when a model is not trained, exported or measured, or belongs to another profile; nothing is then written.
    """
    packed = {task: [(scheme, *_pack(config, task, scheme)) for scheme in pretrained.SCHEMES] for task in config.tasks}
    teachers = {task: _teacher(config, task) for task in config.tasks}
    written = []
    for task, files in packed.items():
        for scheme, _, content in files:
            written.append(folder / f"{task}-{scheme}.onnx")
            with replacing(written[-1]) as temporary:
                temporary.write_bytes(content)
        written.append(folder / f"{task}-FP32.safetensors")
        with replacing(written[-1]) as temporary:
            temporary.write_bytes(teachers[task])
        with replacing(folder / f"{task}.md") as temporary:
            temporary.write_text(card(config, [about for _, about, _ in files]), encoding="utf-8")
    return written


def validated(config: Config, task: str, scheme: str) -> dict[Run, float]:
    """A task's models of a scheme, on all images and of the EFM, with their PSNR in dB on the validation images."""
    runs = [run for run in plan(config, task) if (run.bits, run.images) == (scheme, "all")]
    runs = [run for run in runs if run.recipe.model == "efm" and run.recipe.tool == NONE]
    found = {}
    for run in runs:
        path = run_folder(run) / "metrics.jsonl"
        try:
            found[run] = float(json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["val_psnr"])
        except (OSError, LookupError, ValueError) as error:
            raise QdrError(f"{path} has no PSNR of {run.title} on validation images: run `dvc repro`") from error
    if not found:
        raise QdrError(f"profile {config.profile!r} has no model of {task} in {scheme}: add it to a block")
    return found


def clean_shift(config: Config, run: Run) -> dict[str, float]:
    """By how many grey levels a model changes the mean of pictures that nothing is wrong with: the targets of the validation
    split, restored by its engine. The count of pictures, and of the absolute changes the median and the largest.
    """
    targets = PairSet.load(run.task, "val").targets
    with closing(open_right(engine_file(run), "int8", config.threads)) as session:
        shifts = [abs(float(restore(session, target).mean()) - float(target.mean())) for target in targets]
    return {"images": len(shifts), "median": round(median(shifts), 2), "largest": round(max(shifts), 2)}


def _teacher(config: Config, task: str) -> bytes:
    """The FP32 teacher's weights in FP16 numbers, with the arguments of its network (`EFM.from_pretrained` reads them)."""
    run = teacher(task, FP32)
    tensors = load_weights(run_folder(run), build_model(run.recipe.model, config.model)).state_dict()
    return save(
        {name: tensor.half() for name, tensor in tensors.items()}, {KEY: json.dumps(vars(config.model), sort_keys=True)}
    )


def _pack(config: Config, task: str, scheme: str) -> tuple[dict[str, str], bytes]:
    """What a file is, and the exported file with it."""
    candidates = validated(config, task, scheme)
    run = max(candidates, key=lambda candidate: candidates[candidate])
    record = read_json(run_folder(run) / "run.json", model=dict)
    schedule = vars(config.tune) if run.recipe.trains else None
    for key, expected in (("model", vars(config.model)), ("schedule", schedule)):
        if record.get(key) != expected:
            raise QdrError(
                f"{run_folder(run)} was trained with another {key} than profile {config.profile!r}: run `dvc repro`"
            )
    results = paths.results(config.profile)
    scores = measured(results / "quality.csv", run)
    sources = load_cards()
    about = {
        "task": run.task,
        "model": run.recipe.model,
        "model_config": json.dumps(vars(config.model)),
        "method": run.method,
        "bits": run.bits,
        "profile": config.profile,
        "seed": str(run.seed),
        "clean": json.dumps(clean_shift(config, run)),
        "validation": json.dumps({candidate.method: round(psnr, 2) for candidate, psnr in candidates.items()}),
        "scores": json.dumps([vars(score) for score in scores]),
        "protocol": PROTOCOL,
        "training_data": _training_data(config, run.task, sources),
        "schedule": json.dumps({"fp32": vars(config.fp32), "quantized": vars(config.tune)}, sort_keys=True),
        "revision": str(read_json(results / "provenance.json").get("git_revision")),
        "licence": weights_licence(config, run.task, sources),
    }
    return about, pretrained.pack(read_onnx(engine_file(run)), about)


def measured(path: Path, run: Run) -> list[Score]:
    """Mean PSNR and SSIM of input, FP32 teacher and model on each test set, in the order of the file.

    Raises:
        QdrError: when the file has no rows of the run.
    """
    columns = ("task", "split", "protocol", "images", "metric", "method", "bits", "seed", "value")
    ours = {"task": run.task, "protocol": PROTOCOL, "images": run.images}
    rows = [r for r in read_rows(path, *columns) if ours.items() <= r.items()]
    fp32 = run.start

    def mean(split: str, metric: str, method: str, bits: str, seed: int) -> tuple[float, int]:
        wanted = {"split": split, "metric": metric, "method": method, "bits": bits, "seed": str(seed)}
        values = [_number(path, r["value"]) for r in rows if wanted.items() <= r.items()]
        if not values:
            raise QdrError(f"{path} has no {metric} of {method} {bits} on {split} for task {run.task!r}: run `dvc repro`")
        return fmean(values), len(values)

    splits = list(dict.fromkeys(r["split"] for r in rows))
    if not splits:
        raise QdrError(f"{path} has no rows of task {run.task!r}: run `dvc repro`")
    scores = []
    for split in splits:
        both: dict[str, Any] = {}
        for metric in ("psnr", "ssim"):
            for name, which in (("input", ("input", "FP32", 0)), ("fp32", (fp32.method, "FP32", 0)), ("int8", _key(run))):
                both[f"{metric}_{name}"], both["images"] = mean(split, metric, *which)
        scores.append(Score(split, **both))
    return scores


def _number(path: Path, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise QdrError(f"{path}: value {text!r} is no number: run `dvc repro`") from error


def _key(run: Run) -> tuple[str, str, int]:
    return run.method, run.bits, run.seed


def _training_data(config: Config, task: str, cards: dict[str, Card]) -> str:
    sources, scenes = config.data.train[task], config.data.scenes
    if sources == [SCENES]:
        made = f"{scenes.train} procedural scenes of {scenes.size}x{scenes.size}"
        return f"{made}, degraded by qdr's own {config.data.degrade[task]!r}"
    told = []
    for found in (cards[source] for source in sources if source != SCENES):
        how = "real pairs" if found.kind == "pairs" else how_degraded(config, task)
        told.append(f"{found.title} ({found.count} images, {how}; licence of the images: {found.licence})")
    return ", ".join(told) + f", and {scenes.train} procedural scenes" * (SCENES in sources)
