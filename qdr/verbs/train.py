"""The verbs that make models of the pipeline: teachers, and everything that starts from one."""

from __future__ import annotations

import argparse
from pathlib import Path

from qdr.errors import QdrError
from qdr.verbs.data import task, tasks
from qdr.verbs.parser import Front


def declare(front: Front) -> None:
    """Add these verbs."""
    verb = front.group("train")
    train = verb(
        "train",
        _train,
        "train, fine-tune or quantize the models of all tasks, of one task, or one model",
        examples="qdr train                                       # all that the profile asks for, and its small detector\n"
        "qdr train derain\n"
        "qdr train derain fp32                           # a teacher\n"
        "qdr train derain qdr --bits W8A8\n"
        "qdr train derain qdr@weight=1 --bits W4A4 --images 2    # one key of the method changed",
    )
    train.add_argument("task", nargs="?", help="a task of the active profile (default: all)")
    train.add_argument("method", nargs="?", help="a method of methods.yaml (default: the whole plan)")
    train.add_argument("--bits", default="FP32", help="FP32, W8A8, W6A6, W4A8 or W4A4")
    train.add_argument("--images", default="all", help="all, or how many training images to use")
    train.add_argument("--seed", type=int, default=0, help="of the run (0)")
    adopt = verb(
        "adopt",
        _adopt,
        "take up models that were trained on another machine from the same commit, profile and data",
        examples="qdr adopt gpu-machine/work    # its folder work/, then: qdr train",
    )
    adopt.add_argument("folder", type=Path, help="the folder work/ of the other machine")
    verb(
        "search",
        _search,
        "train the profile's trials and record their PSNR on validation images",
        examples="qdr search    # writes results/PROFILE/search.csv",
    )


def _train(options: argparse.Namespace) -> None:
    from qdr.errors import check_choice
    from qdr.suite import config
    from qdr.suite.train.plan import Run
    from qdr.suite.train.pool import Extra, make_one, make_tasks

    active = config.load()
    if options.method is None:
        from qdr.suite.detection.train import make_detector

        beside = [] if options.task else [Extra("detector", active.detect.steps, make_detector)]
        return make_tasks(active, tasks(options), beside)
    check_choice("bits", options.bits, config.BITS)
    if options.images != "all" and not (options.images.isdigit() and int(options.images) > 0):
        raise QdrError(f"--images must be 'all' or a positive number, got {options.images!r}")
    make_one(active, Run(task(options), options.method, options.bits, options.images, options.seed))


def _adopt(options: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.train.adopt import MACHINE, adopt

    for run in adopt(config.load(), options.folder):
        print(f"{run.title}: adopted; all but {', '.join(MACHINE)} is as here")


def _search(_: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.train.search import search

    search(config.load())
