"""Take up models that were trained on another machine, so that this one goes on from them instead of training them again.

A model's identity holds everything that decides its bits, the machine too (`qdr.suite.train.run`). Trained elsewhere from
the same code, configuration, data and teachers, it may differ in the machine alone: that is what is checked here, and
written into the model's record under `adopted`. A teacher's PSNR on validation images is measured here, on the images of
this project; those of hundreds of students are the other machine's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from qdr.errors import QdrError
from qdr.files import replacing
from qdr.rows import read_json
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.data.loader import PairSet
from qdr.suite.train.loop import validate
from qdr.suite.train.plan import Run, matrix, run_folder
from qdr.suite.train.run import fingerprint, identity, load_model

MACHINE = ("bf16", "capability", "device", "torch")


def adopt(config: Config, work: Path) -> list[Run]:
    """Adopt every model of the profile that lies in `work`, the folder work/ of another machine; returns them.

    Raises:
        QdrError: where there is none, or one of them differs in more than the machine.
    """
    adopted = []
    for run in matrix(config):  # teachers first: the identity of the others holds their checksums
        folder = work / run_folder(run).relative_to(paths.teachers(run.task).parents[1])
        if (folder / "run.json").is_file():
            _adopt(config, run, folder)
            adopted.append(run)
    if not adopted:
        raise QdrError(f"{work} holds no model of profile {config.profile!r} (teachers/TASK/RUN, runs/TASK/RUN)")
    return adopted


def _adopt(config: Config, run: Run, folder: Path) -> None:
    theirs, ours = read_json(folder / "run.json"), json.loads(json.dumps(identity(config, run)))
    machine = {key: theirs[key] for key in MACHINE if theirs.get(key) != ours[key]}
    if wrong := [key for key in ours if key not in MACHINE and theirs.get(key) != ours[key]]:
        raise QdrError(
            f"{folder} was trained with another {' and another '.join(wrong)} than this project has: check out the same "
            "commit and profile on both machines, prepare the same data, and train it again"
        )
    record: dict[str, Any] = ours | {"adopted": machine}
    stored = paths.store(fingerprint(ours))
    with replacing(stored) as temporary:
        shutil.copytree(folder, temporary)
        (temporary / "run.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    with replacing(run_folder(run)) as temporary:
        shutil.copytree(stored, temporary)
    if run.recipe.scratch:
        _validate(config, run, stored)


def _validate(config: Config, run: Run, stored: Path) -> None:
    """Write the PSNR on this project's validation images into the last line of the metrics, in the store and the folder."""
    psnr = validate(load_model(config, run), PairSet.load(run.task, "val"))
    for folder in (stored, run_folder(run)):
        *before, last = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        with replacing(folder / "metrics.jsonl") as temporary:
            line = json.dumps(json.loads(last) | {"val_psnr": psnr}, sort_keys=True)
            temporary.write_text("".join(f"{text}\n" for text in (*before, line)), encoding="utf-8")
