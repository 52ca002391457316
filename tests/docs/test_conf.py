"""docs/conf.py: docstrings as plain text, links that leave the pages."""

from __future__ import annotations

import importlib.util
from types import ModuleType, SimpleNamespace

import pytest

from tests.docs.pages import DOCS


@pytest.fixture(scope="module")
def conf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("plain", "marked"),
    [
        ("`mean |dL_k/db|`, [k]", "``mean |dL_k/db|``, [k]"),
        ("b**2 and |x| and name_ but not a_b", "b\\*\\*2 and \\|x\\| and name\\_ but not a_b"),
        ("with `QuantPoint`s", "with ``QuantPoint``\\ s"),
        ("``kept``", "``kept``"),
        ("open `to the", "open `to the"),
        ("next` line", "next` line"),
    ],
)
def test_a_line(conf: ModuleType, plain: str, marked: str) -> None:
    assert conf._escaped(plain) == marked


def test_a_formula_is_a_literal_block(conf: ModuleType) -> None:
    lines = ["Noise:", "", "    y = x + b**2 n", "", "with b the *read* noise.", "", "    >>> f(1)", "    1"]
    made = conf._converted(lines)
    assert made[:5] == ["Noise:", "", "::", "", "    y = x + b**2 n"]
    assert made[6] == "with b the \\*read\\* noise."
    assert made[-2:] == ["    >>> f(1)", "    1"]


def test_links_that_leave_the_pages(conf: ModuleType) -> None:
    app = SimpleNamespace(srcdir=str(DOCS))
    source = ["[`x`](../data/manifest.json) [data](data.md) [y](../qdr) ![z](../figures/a.png) [none](../gone.py)"]
    conf.links_out(app, "page", source)
    expected = "{download}`x <../data/manifest.json>` [data](data.md) y ![z](../figures/a.png) [none](../gone.py)"
    assert source[0] == expected


def test_only_what_is_not_installed_is_mocked(conf: ModuleType) -> None:
    missing = {name for name in conf.OPTIONAL if importlib.util.find_spec(name) is None}
    assert set(conf.autodoc_mock_imports) == missing
