"""Trials on validation images, from which a profile's settings are chosen."""

from __future__ import annotations

import shutil

from qdr.rows import write_rows
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.train.plan import list_runs, run_folder
from qdr.suite.train.pool import final_psnr, make_all


def search(config: Config) -> None:
    """Train the profile's trials and write their PSNR on validation images to results/<profile>/search.csv."""
    trials = [run for task in config.tasks for run in list_runs(config.search, task)]
    make_all(config, trials)
    rows = []
    for run in trials:
        about = {"profile": config.profile, "task": run.task, "method": run.method, "bits": run.bits, "images": run.images}
        rows.append(about | {"seed": run.seed, "val_psnr": f"{final_psnr(run):.4f}"})
        shutil.rmtree(run_folder(run))
    write_rows(paths.results(config.profile) / "search.csv", rows)
