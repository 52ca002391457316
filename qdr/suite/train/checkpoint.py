"""What a run leaves behind, and what lets an interrupted one go on.

A finished run is a folder, written at once: `model.safetensors`, `metrics.jsonl` (one line per logged step) and
`run.json` (what was trained, with the effective configuration). While a run trains, its state is saved every `save_every`
steps outside the folder, because DVC deletes a stage's outputs before it starts the stage again; the next start takes it
up and gives the same bits as an uninterrupted run.

A state is one file (`qdr.state`): weights, scales, optimizer, balancer, metrics so far, step and random
generators as torch saves them, read with `weights_only=True`. The one before is kept: where the newest is damaged or was
not yet in place, the run goes on from there, and says so. The order of the data and the learning rate are functions of the
step.
"""

from __future__ import annotations

import io
import json
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from qdr import ranks, state as states
from qdr.errors import QdrError
from qdr.files import replacing

Metrics = list[dict[str, Any]]


def save_run(folder: Path, model: nn.Module, metrics: Metrics, about: dict[str, Any]) -> None:
    """Write a finished run."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
        (temporary / "model.safetensors").write_bytes(save(tensors))  # its own writer hides a full disk's errno
        lines = [json.dumps(line, sort_keys=True) for line in metrics]
        (temporary / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (temporary / "run.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_weights(folder: Path, model: nn.Module) -> nn.Module:
    """Load a finished run's weights into `model`.

    Raises:
        QdrError: when the file is missing, damaged or of another network.
    """
    path = folder / "model.safetensors"
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise QdrError(f"{path} does not exist: train it first (`dvc repro`)") from error
    except SafetensorError as error:
        raise QdrError(f"{path} is damaged ({error}): delete its folder and run `dvc repro`") from error
    except RuntimeError as error:
        raise QdrError(f"{path} is of another network: {str(error).splitlines()[0]}") from error
    return model


class Progress:
    """The state of an unfinished run: the newest file and the one before, with a log to look at; gone when the run ends."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint
        self.previous, self.log = path.with_suffix(".previous.pt"), path.with_suffix(".jsonl")
        self.report = path.with_suffix(".divergence.json")

    def save(self, step: int, metrics: Metrics, *stateful: Any) -> None:
        """Save after `step` finished steps. Killed at any moment, this leaves a whole state."""
        state = {"fingerprint": self.fingerprint, "step": step, "metrics": metrics, "random": _random_state()}
        state |= {"states": [part.state_dict() for part in stateful]}
        with replacing(self.path) as temporary:
            with temporary.open("wb") as file:
                states.write(file, state)
                file.flush()
                os.fsync(file.fileno())
            if self.path.is_file():
                os.replace(self.path, self.previous)

    def restore(self, *stateful: Any) -> tuple[int, Metrics]:
        """Load the newest whole state of the same fingerprint: finished steps and the metrics logged so far.

        Without one, 0 steps and no metrics. A damaged file is named on stderr and passed over.

        Raises:
            QdrError: when a state does not fit, which a whole one of the same fingerprint always does.
        """
        for path in (self.path, self.previous):
            state = read_state(path)
            if state is None or state["fingerprint"] != self.fingerprint:
                continue
            try:
                for part, saved in zip(stateful, state["states"], strict=True):
                    part.load_state_dict(saved)
            except (RuntimeError, ValueError, KeyError) as error:
                raise QdrError(f"{path} does not fit this run ({error}): delete it to start the run anew") from error
            _set_random_state(state["random"])
            return int(state["step"]), state["metrics"]
        return 0, []

    @contextmanager
    def writing(self, metrics: Metrics) -> Iterator[TextIO]:
        """The log, open to add to, with what was logged so far; only the first process has one."""
        with self.log.open("w", encoding="utf-8") if ranks.rank() == 0 else io.StringIO() as log:
            log.writelines(json.dumps(entry, sort_keys=True) + "\n" for entry in metrics)
            yield log

    def last(self) -> str:
        """Where the newest state is, in words, for a message about a run that cannot go on."""
        return str(self.path) if self.path.is_file() else "none was saved yet"

    def clear(self) -> None:
        """Forget everything."""
        for path in (self.path, self.previous, self.log, self.report):
            path.unlink(missing_ok=True)


@contextmanager
def exclusive(state: Path) -> Iterator[None]:
    """Hold the lock of an unfinished run, so that of two commands that want the same model one waits for the other."""
    state.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(state.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"qdr: another command makes this model; waiting for it ({lock.lock_file})", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # a waiter finds its file gone and takes a new one
        lock.release()


def read_state(path: Path) -> dict[str, Any] | None:
    """What `Progress.save` wrote; None where there is no file, or a damaged one, which is named on stderr."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        state = states.read(content)
        if state is None:
            print(f"qdr: {path} is damaged; going on from the state before it", file=sys.stderr)
            return None
        known = {name: state[name] for name in ("fingerprint", "step", "metrics", "random", "states")}
    except states.UNREADABLE as error:
        raise QdrError(f"{path} is not a saved state ({type(error).__name__}): delete it") from error
    return known


def _random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"python": random.getstate(), "torch": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():  # else on another number of devices than it was saved on
        torch.cuda.set_rng_state_all(state["cuda"])
