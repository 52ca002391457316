"""A network that somebody brings: a factory and a checkpoint.

The factory is `package.module:callable` or `file.py:callable` and returns the network; a checkpoint is a state dict as
torch.save or safetensors write it, plain or under `params_ema`, `params`, `state_dict` or `model_state_dict`, its keys with
or without the prefix `module.` that DataParallel gives. Nothing in a checkpoint is executed (`weights_only`); the factory's
code is.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from qdr.errors import QdrError, nearest

INSIDE = ("params_ema", "params", "state_dict", "model_state_dict")
_SHOWN = 8  # keys that an error lists of a kind


def load(checkpoint: Path, factory: str) -> nn.Module:
    """The network with its weights, in evaluation mode.

    Raises:
        QdrError: when factory or checkpoint cannot be read, or keys or shapes do not fit, with the list of them.
    """
    model = build(factory)
    weights = read_weights(checkpoint)
    own = model.state_dict()
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    shapes = [name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape]
    wrong = [
        f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
        for what, names in (("missing", missing), ("not in the network", extra), ("of another shape", sorted(shapes)))
        if names
    ]
    if wrong:
        raise QdrError(f"{checkpoint} does not fit {factory}: keys {'; '.join(wrong)}")
    model.load_state_dict(weights)
    return model.eval()


def build(factory: str) -> nn.Module:
    """What a factory makes.

    Raises:
        QdrError: when there is none of that name, it fails, or makes no network.
    """
    where, _, name = factory.rpartition(":")
    if not where or not name:
        raise QdrError(f"--factory is package.module:callable or file.py:callable, got {factory!r}")
    made = _find(where, name, factory)
    try:
        model = made()
    except Exception as error:  # somebody's code
        raise QdrError(f"the factory {factory} fails: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise QdrError(f"the factory {factory} returns {type(model).__name__}, no torch.nn.Module")
    return model


def _find(where: str, name: str, factory: str) -> Callable[[], Any]:
    try:
        if where.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(where).stem, where)
            if spec is None or spec.loader is None or not Path(where).is_file():
                raise QdrError(f"the factory's file {where} does not exist")
            module = importlib.util.module_from_spec(spec)
            sys.path.insert(0, str(Path(where).resolve().parent))
            try:
                spec.loader.exec_module(module)
            finally:
                sys.path.pop(0)
        else:
            module = importlib.import_module(where)
    except QdrError:
        raise
    except Exception as error:  # somebody's code
        raise QdrError(f"the factory {factory} cannot be imported: {type(error).__name__}: {error}") from error
    made = getattr(module, name, None)
    if not callable(made):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise QdrError(f"{where} has no callable {name!r}: {nearest(name, names)}")
    found: Callable[[], Any] = made
    return found


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint, on the CPU.

    Raises:
        QdrError: when it cannot be read, or holds none.
    """
    if not path.is_file():
        raise QdrError(f"{path} does not exist: check the name")
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise QdrError(f"{path} cannot be read as a checkpoint of tensors ({reason})") from error
    found = next((found[key] for key in INSIDE if isinstance(found, dict) and isinstance(found.get(key), dict)), found)
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise QdrError(f"{path} holds no state dict (plain, or under {', '.join(INSIDE)}): save model.state_dict()")
    return {str(key).removeprefix("module."): value for key, value in found.items()}


def channels(model: nn.Module) -> int:
    """How many channels the network's images have, from its first layer."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)), None)
    return 3 if first is None else first.in_channels
