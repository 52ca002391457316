"""What a Python file calls, read off its syntax tree: nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("qdr", "benchmarks", "tests", "docs", ".ci")
NEVER = {  # what runs code that lies in data, and what runs data as a command
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "dill.load", "dill.loads"),
    *("joblib.load", "shelve.open", "marshal.load", "marshal.loads", "pandas.read_pickle", "pd.read_pickle"),
    *("torch.hub.load", "torch.jit.load", "torch.package.PackageImporter"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all", "yaml.full_load_all"),
    *("eval", "exec", "compile", "__import__"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "tempfile.mktemp"),
}
LOADERS = ("SafeLoader", "CSafeLoader", "_Plain")  # _Plain: of qdr/suite/strict.py, a SafeLoader with less


def files() -> list[Path]:
    """Every Python file of the tree."""
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Each call with the dotted name of what is called, imports followed: after `from torch import load`, torch.load."""
    names = dict(_imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            dotted = _dotted(node.func)
            first, dot, rest = dotted.partition(".")
            yield names.get(first, first) + dot + rest, node


def unsafe(source: str) -> list[str]:
    """What a file calls that it must not, as `line: what`."""
    tree = ast.parse(source)
    zips = {name for node in ast.walk(tree) if isinstance(node, ast.With) for name in _zips(node)}
    return [f"{node.lineno}: {name}" for name, node in calls(tree) if _bad(name, node, zips)]


def _bad(name: str, node: ast.Call, zips: set[str]) -> bool:
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    owner, _, last = name.rpartition(".")
    if name in NEVER or _is(given.get("shell"), True) or "trust_remote_code" in given or _is(given.get("verify"), False):
        return True
    if name == "torch.load":
        return not _is(given.get("weights_only"), True)
    if name in ("yaml.load", "yaml.load_all"):
        loader = given.get("Loader") or (node.args[1] if len(node.args) > 1 else None)
        return loader is None or _dotted(loader).rpartition(".")[2] not in LOADERS
    if name in ("numpy.load", "np.load"):
        return "allow_pickle" in given and not _is(given["allow_pickle"], False)
    return last in ("extract", "extractall") and owner not in zips and "filter" not in given


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((found.asname, found.name) for found in node.names if found.asname)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((found.asname or found.name, f"{node.module}.{found.name}") for found in node.names)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _zips(node: ast.With) -> Iterator[str]:
    """Names of opened zip archives, whose `extractall` keeps to the folder by itself and has no filter."""
    for item in node.items:
        opened, name = item.context_expr, item.optional_vars
        if isinstance(opened, ast.Call) and _dotted(opened.func) == "zipfile.ZipFile" and isinstance(name, ast.Name):
            yield name.id


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
