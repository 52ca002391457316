"""What every check is divided by, measured in the same run, in turn with it: the same work on every machine and revision.

Nothing here calls qdr, so that a change of qdr never changes a reference. And the clock: processor time.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

Work = Callable[[], object]
Check = Callable[[str, Work, Work, int], None]  # name, work, its reference, rounds


def cpu_seconds() -> float:
    """Processor time of this process, all its threads, and its finished children (user and system).

    The turns of other programs do not count, so that a check holds on a shared machine. What is lost: waiting (a disk, a
    lock, an idle second core) is not seen here; `qdr bench` measures wall time.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def keep_memory() -> None:
    """Have glibc keep freed memory: whether large tensors are mapped anew each time depends on what was freed before,
    and costs up to half of a small kernel's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mmap_threshold, trim_threshold = -3, -1  # of malloc.h
        mallopt(mmap_threshold, 32 * 2**20)
        mallopt(trim_threshold, 2**30)


def convolution() -> Work:
    """Computing: two FP32 3x3 convolutions, 64 to 64 channels on 64x64 pixels, one thread (about 6 ms)."""
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
    image = torch.randn(1, 64, 64, 64).contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.no_grad():
            conv(conv(image))

    return run


def copy() -> Work:
    """Memory: 1 MiB copied forty times, within a cache (about 1 ms); a copy beyond it depends on what the neighbours do."""
    source = np.ones(2**17)
    target = np.empty_like(source)

    def run() -> None:
        for _ in range(40):
            np.copyto(target, source)

    return run


def start(code: str = "pass", times: int = 1) -> Work:
    """A process of this Python that runs `code`, `times` over; "pass" is the reference of everything that starts one.

    With one thread for numpy's and torch's libraries: a second one spins at the start for as long as it has a core.
    """
    single = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

    def run() -> None:
        for _ in range(times):
            subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, env=single)

    return run
