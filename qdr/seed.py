"""Seeds and determinism: the same seed and machine give the same bits, whatever the number of cores.

Bits differ between thread counts, so that training has one thread; they differ between memory formats and CPU
capabilities, so those are recorded in every provenance.
"""

from __future__ import annotations

import os
import random
import zlib


def derive(*parts: int | str) -> int:
    """A stable 32-bit seed from numbers and names, the same on every machine.

    >>> derive(2603, "derain", "astronaut") == derive(2603, "derain", "astronaut")
    True
    >>> derive(1, "a") != derive(1, "b")
    True
    """
    return zlib.crc32("/".join(str(part) for part in parts).encode())


def seed_everything(seed: int) -> None:
    """Seed Python and torch and take one thread; allow deterministic algorithms only, on a CUDA device with
    QDR_DETERMINISTIC=1 alone: there they cost speed.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    fast = torch.cuda.is_available() and os.environ.get("QDR_DETERMINISTIC") != "1"
    # as use_deterministic_algorithms, which also imports torch's compiler: two seconds
    torch.set_deterministic_debug_mode("default" if fast else "error")
    torch.backends.cudnn.benchmark = fast
    # Nothing here reads memory that it did not write, and filling it costs a tenth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
