"""Quantization-aware Distilled Restoration: benchmark suite and reference implementation.

Threads of OpenMP that wait for one another sleep instead of spinning (OMP_WAIT_POLICY): beside other work on the same
cores a spinning thread holds the core that the thread it waits for needs. libgomp reads the variable when torch loads it,
so it is set here, which runs before any module of qdr imports torch, unless the environment sets it.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
