"""Which engine can be held to what on the processor that tests run on."""

from __future__ import annotations

import pytest

from qdr.runtimes.verify import saturates


def skip_where_sums_saturate(engine: str) -> None:
    """Skip a test of an engine's INT8 where its sums of 8-bit products saturate: there it is found wrong and not used."""
    if saturates(engine):
        pytest.skip(f"the integer sums of {engine} saturate on this processor")
