from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qdr.errors import QdrError
from qdr.suite.processes import side_by_side


def whose(number: int) -> tuple[int, int]:
    """The number and the process that was given it."""
    return number, os.getpid()


def refuse(number: int) -> None:
    raise QdrError(f"number {number}")


def test_results_come_in_the_order_of_the_items_from_other_processes() -> None:
    found = side_by_side(whose, range(5), 2)
    assert [number for number, _ in found] == list(range(5))
    assert os.getpid() not in {process for _, process in found}


def test_one_process_is_this_one() -> None:
    assert side_by_side(whose, range(3), 1) == [(number, os.getpid()) for number in range(3)]
    assert side_by_side(whose, [7], 2) == [(7, os.getpid())]


def test_an_error_is_the_caller_s() -> None:
    with pytest.raises(QdrError, match="number 0"):
        side_by_side(refuse, range(2), 2)


WORK = """
import sys, time
from pathlib import Path
from qdr.errors import Interrupted
from qdr.suite.processes import side_by_side

def slow(number):
    Path(f"{number}.begun").touch()
    time.sleep(60)

if __name__ == "__main__":
    try:
        side_by_side(slow, range(8), 2, "work")
    except Interrupted as error:
        sys.exit(128 + error.signal)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("pause", [0.0, 0.1, 0.3])
def test_a_second_interrupt_does_not_hang(tmp_path: Path, number: signal.Signals, pause: float) -> None:
    (tmp_path / "work.py").write_text(WORK)
    job = subprocess.Popen(
        [sys.executable, "work.py"], cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("*.begun"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(job.pid, number)  # the whole group, as a terminal does
    time.sleep(pause)
    os.killpg(job.pid, number)
    _, said = job.communicate(timeout=20)
    assert job.returncode == 128 + number
    assert "Traceback" not in said
    assert len(list(tmp_path.glob("*.begun"))) == 2
