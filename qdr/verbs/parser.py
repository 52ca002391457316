"""The parser behind the verbs: argparse, with verbs in groups, examples below each help and the nearest name in errors."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable
from typing import Any, NoReturn

from qdr.errors import nearest

Function = Callable[[argparse.Namespace], int | None]
WIDTH = 12  # columns of a verb's name in the list of verbs


class Parser(argparse.ArgumentParser):
    """A parser whose help ends in examples and whose errors are one line that names the nearest valid choice.

    Args:
        examples: command lines, one per line.
        listing: called when help is printed: what stands above the examples.
    """

    def __init__(
        self, *arguments: Any, examples: str = "", listing: Callable[[], str] | None = None, **options: Any
    ) -> None:
        options |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": True}
        super().__init__(*arguments, **options)
        self._examples, self._listing = examples, listing

    def format_help(self) -> str:
        """Usage, description, arguments, listing and examples."""
        parts = [self._listing()] if self._listing else []
        if self._examples:
            parts.append("examples:\n" + "\n".join(f"  {line}" for line in self._examples.strip().splitlines()))
        self.epilog = "\n\n".join(parts) or None
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """One line, with where to look; exit code 2."""
        self.exit(2, f"{self.prog}: error: {message}; see `{self.prog} --help`\n")

    def refuse(self, extra: list[str]) -> NoReturn:
        """Say which arguments are too many, and the nearest option."""
        hints = []
        for name in extra:
            near = difflib.get_close_matches(name, self._option_string_actions, n=1) if name.startswith("-") else []
            hints += [f"did you mean {near[0]!r}?"] if near else []
        self.error(f"unknown argument {' '.join(extra)!r}" + "".join(f": {hint}" for hint in hints))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            kind = action.metavar.lower() if isinstance(action.metavar, str) else "choice"
            raise argparse.ArgumentError(None, f"unknown {kind} {value!r}: {nearest(str(value), action.choices)}")


class Front(Parser):
    """The parser of `qdr` itself: its verbs are listed in groups, and exit codes below them."""

    def __init__(self, about: str, exit_codes: str) -> None:
        super().__init__(prog="qdr", description=about, usage="qdr [--help] [--version] VERB ...")
        self._exit_codes = exit_codes
        self._groups: dict[str, list[tuple[str, str]]] = {}
        self._verbs = self.add_subparsers(required=True, metavar="VERB", prog="qdr", parser_class=Parser)

    def group(self, title: str) -> Callable[..., Parser]:
        """A function that declares verbs of a group: `verb(name, function, text, examples=...)`."""
        listed = self._groups.setdefault(title, [])

        def verb(name: str, function: Function | None, text: str, **options: Any) -> Parser:
            listed.append((name, text))
            return declare(self._verbs, name, function, text, **options)

        return verb

    def format_help(self) -> str:
        """Usage, the verbs by group, options and exit codes."""
        lines = [f"usage: {self.usage}", "", str(self.description)]
        for title, verbs in self._groups.items():
            lines += ["", f"{title}:", *(f"  {name:{WIDTH}}{text}" for name, text in verbs)]
        lines += ["", "options:", "  -h, --help  show this; `qdr VERB --help` shows a verb, with examples"]
        lines += ["  --version   show the version; `qdr version` shows those of its libraries too", "", self._exit_codes]
        return "\n".join(lines) + "\n"


def declare(verbs: Any, name: str, function: Function | None, text: str, **options: Any) -> Parser:
    """Add a verb to argparse's list of sub-parsers; `function` is None where the verb only has verbs of its own."""
    parser: Parser = verbs.add_parser(name, help=text, description=text, **options)
    parser.set_defaults(parser=parser, **({"verb": function} if function else {}))
    return parser


def print_json(record: Any) -> None:
    """Print plain data as JSON, for scripts."""
    import json

    print(json.dumps(record, indent=1, default=str))
