"""What a run leaves behind, and what lets an interrupted one go on.

A finished run is a folder, written at once: `model.safetensors`, `metrics.jsonl` (one line per logged step) and
`run.json` (what was trained, with the effective configuration). While a run trains, its state (weights, optimizer,
objective, step) is saved every `save_every` steps outside the folder, because DVC deletes a stage's outputs before it
starts the stage again; the next start takes it up and gives the same bits as an uninterrupted run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from qdr.errors import QdrError
from qdr.paths import replacing


def save_run(folder: Path, model: nn.Module, metrics: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Write a finished run."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(tensors, temporary / "model.safetensors")
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
    """The state of an unfinished run: a file beside the streamed metrics, both gone when the run ends."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.log, self.fingerprint = path, path.with_suffix(".jsonl"), fingerprint

    def save(self, step: int, *stateful: Any) -> None:
        """Save after `step` finished steps."""
        state = {"fingerprint": self.fingerprint, "step": step, "states": [part.state_dict() for part in stateful]}
        with replacing(self.path) as temporary:
            torch.save(state, temporary)

    def restore(self, *stateful: Any) -> tuple[int, list[dict[str, Any]]]:
        """Load the state if there is one of the same fingerprint: finished steps and the metrics logged so far."""
        if not self.path.is_file():
            return 0, []
        try:
            state = torch.load(self.path, weights_only=True)
            if state["fingerprint"] != self.fingerprint:
                return 0, []
            for part, saved in zip(stateful, state["states"], strict=True):
                part.load_state_dict(saved)
        except (RuntimeError, ValueError, KeyError, EOFError, OSError) as error:
            raise QdrError(f"{self.path} is damaged ({error}): delete it to start the run anew") from error
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return int(state["step"]), [line for line in lines if line["step"] < state["step"]]

    def clear(self) -> None:
        """Forget the state."""
        self.path.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)
