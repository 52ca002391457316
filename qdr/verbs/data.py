"""The verbs of data: profiles, sources of images, and the pairs made of them."""

from __future__ import annotations

import argparse
import re
from itertools import takewhile
from pathlib import Path

from qdr import files
from qdr.errors import QdrError
from qdr.verbs.parser import Front, declare as declare_verb, print_json


def declare(front: Front) -> None:
    """Add these verbs."""
    verb = front.group("data")
    profile = verb(
        "profile",
        _profile,
        "show the active profile, or make another one active (checked first)",
        examples="qdr profile            # which is active, and what it trains\nqdr profile public\nqdr profile --json",
        listing=_list_profiles,
    )
    profile.add_argument("name", nargs="?", help="a profile of profiles/, by its name")
    profile.add_argument("--json", action="store_true", help="print the whole effective configuration as JSON")
    fetch = verb(
        "fetch",
        _fetch,
        "fetch one source of images and check it",
        examples="qdr fetch photos\nqdr fetch lol-v1 --accept",
    )
    fetch.add_argument("source", help="a source of data/manifest.json; `qdr data status` lists them")
    fetch.add_argument("--accept", action="store_true", help="accept the source's licence (or QDR_ACCEPT=non-commercial)")
    _declare_data(verb("data", None, "the sources of images: status, add, leaks, cards", examples=DATA_EXAMPLES))
    verb("scenes", _scenes, "render the procedural clean scenes", examples="qdr scenes")
    prepare = verb(
        "prepare", _prepare, "make the image pairs of all tasks or of one", examples="qdr prepare\nqdr prepare derain"
    )
    prepare.add_argument("task", nargs="?", help="a task of the active profile (default: all)")


DATA_EXAMPLES = """
qdr data status --verify
qdr data add reside-its ~/ITS_v2
qdr data leaks
qdr data cards
"""


def _declare_data(data: argparse.ArgumentParser) -> None:
    verbs = data.add_subparsers(required=True, metavar="VERB")
    status = declare_verb(
        verbs,
        "status",
        _status,
        "every source: is it here, under which licence, what to do",
        examples="qdr data status\nqdr data status --verify --json",
    )
    status.add_argument("--verify", action="store_true", help="recompute checksums (reads every image)")
    status.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add = declare_verb(
        verbs,
        "add",
        _add,
        "take a local copy of a source, check it and place it in data/raw",
        examples="qdr data add reside-its ~/ITS_v2\nqdr data add polyu-official ~/PolyU",
    )
    add.add_argument("source", help="a source of data/manifest.json; `qdr data status` lists them")
    add.add_argument("folder", type=Path, help="holds input/ and target/, or the images, or the unpacked archive")
    leaks = "check that no test image is in a training set, whatever its name and size"
    declare_verb(verbs, "leaks", _leaks, leaks, examples="qdr data leaks")
    cards = declare_verb(
        verbs,
        "cards",
        _cards,
        "write the data card of every task of a profile",
        examples="qdr data cards\nqdr data cards --profile public",
    )
    cards.add_argument("--profile", help="default: the active one")
    cards.add_argument("--into", type=Path, help="folder to write (default: docs/cards/PROFILE)")


def _list_profiles() -> str:
    from qdr.suite import paths

    try:
        files = sorted((paths.project_root() / "profiles").glob("*.yaml"))
    except QdrError:
        return "profiles: none here, outside a project"
    return "profiles:\n" + "\n".join(f"  {path.stem:12}{_title(path)}".rstrip() for path in files)


def _title(profile: Path) -> str:
    """How the comment at the head of a profile begins, up to its first stop."""
    head = takewhile(lambda line: line.startswith("#"), profile.read_text(encoding="utf-8").splitlines())
    return re.split(r"[.:;] ", " ".join(line.removeprefix("#").strip() for line in head) + " ")[0].strip()


def _profile(options: argparse.Namespace) -> None:
    from qdr.suite import config, paths

    if options.name is not None:
        source = config.profile_path(options.name)
        config.load(source)
        with files.replacing(paths.project_root() / "params.yaml") as temporary:
            temporary.write_bytes(source.read_bytes())
    active = config.load()
    if options.json:
        return print_json(active.as_dict())
    print(f"{active.profile}: {', '.join(active.tasks)}; blocks {', '.join(active.blocks)}; start with `dvc repro`")


def task(options: argparse.Namespace) -> str:
    """The task that a verb was given, checked to be one of the active profile."""
    from qdr.errors import check_choice
    from qdr.suite import config

    return check_choice("task", options.task, config.load().tasks)


def tasks(options: argparse.Namespace) -> list[str]:
    """The task that a verb was given, or all of the active profile."""
    from qdr.suite import config

    return config.load().tasks if options.task is None else [task(options)]


def _fetch(options: argparse.Namespace) -> None:
    from qdr.suite.data.fetch import fetch

    fetch(options.source, options.accept)


def _status(options: argparse.Namespace) -> None:
    from qdr.suite.data.sources import print_states, states
    from qdr.suite.data.tasks import load_cards

    found = states(options.verify)
    if not options.json:
        return print_states(found)
    cards = load_cards()
    about = ("count", "split", "licence", "terms")
    print_json([vars(state) | {key: getattr(cards[state.source], key) for key in about} for state in found])


def _add(options: argparse.Namespace) -> None:
    from qdr.suite.data.sources import add

    print(f"{options.source}: placed in {add(options.source, options.folder)}")


def _leaks(_: argparse.Namespace) -> None:
    from qdr.suite.data.leaks import check_leaks
    from qdr.suite.data.sources import present

    train, test = present("train"), present("test")
    if missing := [f"no {split} images" for split, found in (("training", train), ("test", test)) if not found]:
        raise QdrError(f"{' and '.join(missing)} are here, so nothing was checked: `qdr data status` says how to get them")
    check_leaks(train, test)
    print(f"no test image of {', '.join(test)} is in {', '.join(train)}")


def _cards(options: argparse.Namespace) -> None:
    from qdr.suite import config, paths
    from qdr.suite.data.datacard import write_cards

    active = config.load(config.profile_path(options.profile) if options.profile else None)
    for path in write_cards(active, options.into or paths.project_root() / "docs" / "cards" / active.profile):
        print(path)


def _scenes(_: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.data.scenes import make_scenes

    make_scenes(config.load())


def _prepare(options: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.data.prepare import prepare_tasks

    prepare_tasks(config.load(), tasks(options))
