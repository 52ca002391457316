"""The source that decides a model's bits, as a checksum: that of the modules it uses and of all that these import from qdr.

Syntax trees are compared, without comments, docstrings and layout, so that rewording retrains nothing; nor does another
network, quantizer or balancer beside the one in use, since the dictionaries that list them are not followed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ALWAYS = "qdr.suite.train.run"
NOT_DECIDING = frozenset(
    {  # messages, files, settings (recorded as values), what is shown; dictionaries of parts; parts that not every run uses
        "qdr",
        "qdr.errors",
        "qdr.files",
        "qdr.rows",
        "qdr.machine",
        "qdr.suite.paths",
        "qdr.suite.config",
        "qdr.suite.methods",
        "qdr.suite.data.online",
        "qdr.suite.train.checkpoint",
        "qdr.suite.train.code",
        "qdr.suite.train.display",
        "qdr.suite.train.plan",
        "qdr.suite.train.stop",
        "qdr.suite.zoo",
        "qdr.quant.equalize",
        "qdr.quant.layers",
        "qdr.quant.policy",
        "qdr.quant.prepare",
        "qdr.quant.quantizers",
        "qdr.quant.reconstruct",
        "qdr.distill.balancers",
        "qdr.distill.distances",
        "qdr.distill.points",
    }
)


@cache
def digest(modules: tuple[str, ...]) -> str:
    """A checksum of `modules`, of the function that trains, and of what they import, however deep."""
    seen: dict[str, str] = {}
    waiting = [ALWAYS, *modules]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen[name], imports = _read(name)
            waiting += imports - NOT_DECIDING
    return hashlib.sha256("\n".join(f"{name} {seen[name]}" for name in sorted(seen)).encode()).hexdigest()


@cache
def _read(module: str) -> tuple[str, frozenset[str]]:
    """The syntax tree of a module as text, docstrings left out, and what it imports."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return _text(tree), frozenset(_imports(tree))


def _text(node: object) -> str:
    """A syntax tree as text, alike in every version of Python: `ast.dump` shows empty fields, which differ between them."""
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (f"{name}={_text(value)}" for name, value in ast.iter_fields(node) if value is not None and value != [])
    return f"{type(node).__name__}({','.join(fields)})"


def _imports(tree: ast.Module) -> Iterator[str]:
    """The modules of qdr that a tree imports; of `from package import name`, both."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "qdr")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "qdr":
            assert node.module is not None
            yield node.module
            yield from (name for name in (f"{node.module}.{alias.name}" for alias in node.names) if _is_module(name))


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # an attribute of a module that is no package
        return False
