"""Disks that fill up, folders that cannot be written, and two pipelines at once."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from qdr.restore import pictures
from qdr.rows import write_rows
from qdr.suite.data.download import download
from qdr.suite.train.checkpoint import Progress, save_run
from tests.faults.fault import MIB, Fault

STATE = Path("work/unfinished/a.pt")
FULL = "check permissions and free space, then run it again"


class State:
    """What has a state of so many MiB."""

    def __init__(self, size: float) -> None:
        self.weights = torch.zeros(int(size * MIB) // 4)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"weights": self.weights}


def earlier_checkpoint(place: Path) -> None:
    Progress(place / STATE, "f").save(1, [], State(0.1))


def save_checkpoint() -> None:
    """`Progress.save`"""
    Progress(Path.cwd() / STATE, "f").save(2, [], State(3))


def earlier_run(place: Path) -> None:
    save_run(place / "run", torch.nn.Linear(2, 2), [{"step": 0}], {})


def save_finished() -> None:
    """`save_run`"""
    save_run(Path.cwd() / "run", torch.nn.Linear(1000, 1000), [{"step": 0}], {})


def earlier_rows(place: Path) -> None:
    write_rows(place / "rows.csv", [{"a": 1}])


def save_rows() -> None:
    """`write_rows`"""
    write_rows(Path.cwd() / "rows.csv", [{"a": "x" * 1000}] * 3000)


def save_picture() -> None:
    """`qdr.restore.pictures.write`"""
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3)).astype(np.uint8)
    pictures.write(pictures.Picture(noise), Path.cwd() / "out.png")


def earlier_picture(place: Path) -> None:
    Image.new("RGB", (8, 8)).save(place / "out.png")


def folder_of_one(place: Path) -> None:
    (place / "in").mkdir()
    Image.new("RGB", (8, 8)).save(place / "in" / "a.png")


def serve(_: Path) -> None:
    """One answer of 3 MiB that does not say how long it is, on a port that `fetch` knows."""
    listener = socket.create_server(("127.0.0.1", 0))
    fetched.url = f"http://127.0.0.1:{listener.getsockname()[1]}/set.zip"

    def answer() -> None:
        with listener, listener.accept()[0] as asked:
            asked.recv(65536)
            with suppress(OSError):  # the other end goes away
                asked.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/zip\r\n\r\n" + bytes(3 * MIB))

    threading.Thread(target=answer, daemon=True).start()


class fetched:
    url = ""


def fetch() -> None:
    """`download`"""
    download([fetched.url], Path.cwd() / "downloads/set.zip")


def no_fault(_: Path) -> None:
    """The disk is the fault."""


FAULTS = [
    Fault(
        "full-checkpoint",
        "the disk fills up in the middle of a checkpoint",
        earlier_checkpoint,
        save_checkpoint,
        f"a.pt: No space left on device; {FULL}",
        "nothing; the checkpoint before is whole, no part of the new one is left",
        disk="full",
    ),
    Fault(
        "full-run",
        "the disk fills up while a finished model is written",
        earlier_run,
        save_finished,
        f"run: No space left on device; {FULL}",
        "nothing; the folder before is whole",
        disk="full",
    ),
    Fault(
        "full-rows",
        "the disk fills up in the middle of a CSV",
        earlier_rows,
        save_rows,
        f"rows.csv: No space left on device; {FULL}",
        "nothing; the file before is whole",
        disk="full",
    ),
    Fault(
        "full-picture",
        "the disk fills up in the middle of a picture",
        earlier_picture,
        save_picture,
        f"out.png: No space left on device; {FULL}",
        "nothing; the picture before is whole",
        disk="full",
    ),
    Fault(
        "full-download",
        "the disk fills up in the middle of a download",
        serve,
        fetch,
        "the disk is full while writing",
        "nothing; the part that came stays, and the next run goes on there",
        new=("downloads/*.part", "downloads/*.tag"),
        disk="full",
    ),
    Fault(
        "read-only-profile",
        "a project that cannot be written",
        no_fault,
        ("profile", "full"),
        f"params.yaml: Read-only file system; {FULL}",
        "nothing; the active profile stays",
        disk="read-only",
    ),
    Fault(
        "read-only-rows",
        "a folder of results that cannot be written",
        earlier_rows,
        save_rows,
        f"rows.csv: Read-only file system; {FULL}",
        "nothing; the file before is whole",
        disk="read-only",
    ),
    Fault(
        "read-only-restored",
        "a folder for restored pictures that cannot be written",
        folder_of_one,
        ("restore", "in", "out", "--task", "derain"),
        f"out: Read-only file system; {FULL}",
        "nothing; no picture is computed",
        disk="read-only",
    ),
    Fault(
        "read-only-quantized",
        "a folder for a quantized model that cannot be written",
        folder_of_one,
        ("quantize", "--task", "derain", "--out", "out.onnx", "--images", "in"),
        f"out.onnx: Read-only file system; {FULL}",
        "nothing; nothing is trained",
        disk="read-only",
    ),
    Fault(
        "read-only-download",
        "a folder for downloads that cannot be written",
        serve,
        fetch,
        "Read-only file system while writing",
        disk="read-only",
    ),
]
