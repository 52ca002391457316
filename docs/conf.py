"""Sphinx: the pages of this folder and the reference made of docstrings (`make docs`; warnings are errors)."""

from __future__ import annotations

import re
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
shutil.rmtree(ROOT / "docs" / "api", ignore_errors=True)  # pages of modules that are gone would fail
OPTIONAL = ("av", "brevitas", "cuda", "lpips", "nncf", "tensorrt", "tensorrt_rtx", "torchvision")

project = "qdr"
author = "The qdr authors"
copyright = "The qdr authors. Apache-2.0"
release = version = metadata.version("qdr")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["templates"]
suppress_warnings = ["ref.python"]  # two classes may have one name: type annotations do not say which is meant
templates_path = ["templates"]
highlight_language = "none"  # a set-in block is a formula; doctests are known by their prompt
html_theme = "furo"
html_title = "qdr"
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autosummary_generate = True
autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_type_aliases = {name: name for name in ("Batch", "Bits", "Field", "Picture", "Values")}
autodoc_mock_imports = [name for name in OPTIONAL if find_spec(name) is None]

LINK = re.compile(r"(!?)\[([^\]]*)\]\((\.\./[^)#\s]+)\)")


def links_out(app: Any, docname: str, source: list[str]) -> None:
    """Pages are read on a code host too: a link to a file outside docs/ becomes a download, one to a folder its text."""
    folder = Path(app.srcdir, docname).parent

    def replaced(found: re.Match[str]) -> str:
        path = (folder / found[3]).resolve()
        inside = Path(app.srcdir) in path.parents
        if found[1] or inside or not path.exists():
            return found[0]
        text = found[2].replace("`", "")
        return f"{{download}}`{text} <{found[3]}>`" if path.is_file() else text

    source[0] = LINK.sub(replaced, source[0])


def plain_text(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code`, formulas set in by spaces, lists, doctests and Google's sections.

    Nothing else in them is markup, so reStructuredText's is taken out: single back-quotes become literals, `*`, `|` and a
    final `_` are escaped, and a set-in block after an empty line is a literal block.
    """
    lines[:] = [*_converted(lines), ""]


def _converted(lines: list[str]) -> list[str]:
    made: list[str] = []
    literal = None  # the indentation of the literal block that is being read
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent < literal:
            literal = None
        after_gap = not made or not made[-1].strip()
        base = _indent_of_text(made)
        if literal is None and after_gap and line.strip() and indent > base and not line.lstrip().startswith((">>>", ":")):
            literal = indent
            made += [" " * base + "::", ""]
        is_code = literal is not None or line.lstrip().startswith((">>>", "..."))
        made.append(line if is_code else _escaped(line))
    return made


def _indent_of_text(made: list[str]) -> int:
    last = next((line for line in reversed(made) if line.strip()), "")
    if last.lstrip().startswith(("- ", ":")):
        return len(last) - len(last.lstrip()) + 2
    return len(last) - len(last.lstrip())


def _escaped(line: str) -> str:
    pieces = re.split(r"(``[^`]*``|`[^`]*`)", line)
    for place, piece in enumerate(pieces):
        if place % 2 == 0:
            pieces[place] = re.sub(r"([*|\\])|(?<=\w)_(?=\W|$)", lambda found: "\\" + found[0], piece)
        elif not piece.startswith("``"):
            follows = re.match(r"\w", pieces[place + 1])  # a letter right behind a literal has to be parted from it
            pieces[place] = f"`{piece}`" + ("\\ " if follows else "")
    return "".join(pieces)


def setup(app: Any) -> None:
    """Register the two conversions."""
    app.connect("source-read", links_out)
    app.connect("autodoc-process-docstring", plain_text)
