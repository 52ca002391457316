"""Plain data to frozen dataclasses, strictly: the one reader behind params.yaml and methods.yaml.

It refuses unknown keys (naming the nearest), missing keys without a default and values of the wrong type, and says where.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from qdr.errors import QdrError, nearest

T = TypeVar("T")


def build(cls: type[T], data: object, where: str = "") -> T:
    """Make a frozen dataclass from plain data, strictly.

    Raises:
        QdrError: on an unknown key (with the nearest valid one), a missing key or a value of the wrong type.
    """
    if not isinstance(data, dict):
        raise QdrError(f"{where or 'the configuration'} must be a mapping, got {type(data).__name__}")
    hints = typing.get_type_hints(cls)
    prefix = f"{where}." if where else ""
    for key in data:
        if key not in hints:
            raise QdrError(f"unknown key {prefix}{key!s}: {nearest(str(key), hints)}")
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    optional = {f.name for f in fields if f.default is not f.default_factory}
    missing = [f"{prefix}{key}" for key in hints if key not in data and key not in optional]
    if missing:
        raise QdrError(f"missing key {', '.join(missing)}")
    return cls(**{key: _value(hints[key], data[key], f"{prefix}{key}") for key in hints if key in data})


def read_yaml(path: Path) -> Any:
    """The content of a YAML file (safe loader)."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise QdrError(f"{path} does not exist") from error
    except yaml.YAMLError as error:
        raise QdrError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return build(kind, value, where)
    origin = typing.get_origin(kind)
    if origin is list:
        if not isinstance(value, list):
            raise QdrError(f"{where} must be a list, got {value!r}")
        (inner,) = typing.get_args(kind)
        return [_value(inner, item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise QdrError(f"{where} must be a mapping, got {value!r}")
        inner = typing.get_args(kind)[1]
        return {str(key): _value(inner, item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(kind, types.UnionType) or type(value) is not kind:
        raise QdrError(f"{where} must be {getattr(kind, '__name__', kind)}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise QdrError(f"{where} must be finite, got {value!r}")
    return value
