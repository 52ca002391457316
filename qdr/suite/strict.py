"""Plain data to frozen dataclasses, strictly: the one reader behind params.yaml, methods.yaml and claims.yaml.

It refuses unknown keys (naming the nearest), missing keys without a default and values of the wrong type, and says where.
YAML is read by the safe loader, which makes plain data only. Refused besides: a key that is there twice, of which YAML's
own reader keeps the last in silence, and aliases, with which a few lines can stand for more than fits in memory.
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
from qdr.files import read_text

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
    """The content of a YAML file.

    Raises:
        QdrError: when it is missing, too large or not the plain YAML that is read here.
    """
    return parse_yaml(read_text(path, damaged="write it anew", largest=_LARGEST), str(path))


def parse_yaml(text: str, where: str) -> Any:
    """The content of YAML text; `where` is how messages call it."""
    try:
        return yaml.load(text, _Plain)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:  # 0x_, the 31st of February, ten thousand [
        raise QdrError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error


_LARGEST = 2**20  # bytes; the largest of ours has less than 2**15


class _Plain(yaml.SafeLoader):
    """The safe loader without aliases and without a key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not read here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


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
        value = float(value) if abs(value) < 2**1000 else math.inf
    if isinstance(kind, types.UnionType) or type(value) is not kind:
        raise QdrError(f"{where} must be {getattr(kind, '__name__', kind)}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise QdrError(f"{where} must be finite, got {value!r}")
    return value
