"""Fuzzed readers: whatever comes in, a reader returns what it promises or raises `QdrError`, soon and in bounded memory."""

from __future__ import annotations

import csv
import io
import json
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings, strategies as st

from qdr.errors import QdrError
from tests.faults.seeds import ROOT, SEEDS, Seed

EXAMPLES = 80  # per seed and way
SECONDS = 20  # for one file, on a busy machine
MEMORY = 2**31  # bytes that the largest of all may take: a picture of the largest size, decoded and converted

Change = Callable[[bytes], bytes]
WORDS = st.sampled_from(["", "nan", "-1", "1e999", "x" * 300, "\0", "é", "../x", "=1+1", "true", "null", "9" * 5000, "0_1"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
PLACE = st.floats(0, 1, exclude_max=True)


@st.composite
def damaged(draw: Any, data: bytes) -> bytes:
    """Bytes changed, cut off, spliced and put in."""
    for _ in range(draw(st.integers(1, 4))):
        at, length = int(draw(PLACE) * len(data)), draw(st.integers(1, 16))
        kind = draw(st.sampled_from(["change", "cut", "splice", "insert", "drop"]))
        if kind == "change":
            data = data[:at] + draw(st.binary(min_size=1, max_size=length)) + data[at + length :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "splice":
            start = int(draw(PLACE) * len(data))
            data = data[:at] + data[start : start + 8 * length] + data[at:]
        elif kind == "insert":
            data = data[:at] + bytes([draw(st.sampled_from([0, 255, 34, 44, 10, 91, 123]))]) * length + data[at:]
        else:
            data = data[:at] + data[at + length :]
    return data


@st.composite
def changed(draw: Any, record: Any) -> Any:
    """Plain data with values replaced, dropped or added at some places."""
    for _ in range(draw(st.integers(1, 3))):
        record = _change(draw, record)
    return record


def _change(draw: Any, record: Any) -> Any:
    if not isinstance(record, dict | list) or not record or draw(st.integers(0, 5)) == 0:
        return draw(VALUES)
    keys = list(record) if isinstance(record, dict) else list(range(len(record)))
    key, what = draw(st.sampled_from(keys)), draw(st.sampled_from(["into", "into", "into", "drop", "add"]))
    copy: Any = record.copy()
    if what == "into":
        copy[key] = _change(draw, record[key])
    elif what == "drop":
        del copy[key]
    elif isinstance(copy, dict):
        copy[draw(st.text(max_size=8))] = draw(VALUES)
    else:
        copy.append(draw(VALUES))
    return copy


@st.composite
def rows(draw: Any, data: bytes) -> bytes:
    """A CSV with fields replaced, and rows or columns too many or too few."""
    table = list(csv.reader(io.StringIO(data.decode())))
    for _ in range(draw(st.integers(1, 3))):
        row = table[draw(st.integers(0, len(table) - 1))]
        what = draw(st.sampled_from(["field", "field", "drop", "add", "copy"]))
        if what == "field" and row:
            row[draw(st.integers(0, len(row) - 1))] = draw(WORDS | st.text(max_size=6) | st.floats().map(str))
        elif what == "drop":
            del row[-1:]
        elif what == "add":
            row.append(draw(WORDS))
        else:
            table.append(list(row))
    file = io.StringIO()
    csv.writer(file).writerows(table)
    return file.getvalue().encode("utf-8", "surrogateescape")


def structured(seed: Seed) -> st.SearchStrategy[bytes] | None:
    """Made-up files of the kind of a seed; None where only bytes can be changed."""
    if seed.suffix == ".csv":
        return rows(seed.data)
    if seed.suffix == ".json":
        return changed(json.loads(seed.data)).map(lambda record: json.dumps(record).encode())
    if seed.suffix == ".yaml":
        return changed(yaml.safe_load(seed.data)).map(lambda record: yaml.dump(record, sort_keys=False).encode())
    return None


WAYS = {f"{name}, damaged": (seed, damaged(seed.data)) for name, seed in SEEDS.items()}
WAYS |= {f"{name}, made up": (seed, made) for name, seed in SEEDS.items() if (made := structured(seed)) is not None}


@contextmanager
def bounded() -> Iterator[None]:
    """Ends a reader that hangs, and measures what it takes."""

    def late(*_: object) -> None:
        raise TimeoutError(f"longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_there_are_two_thousand_cases() -> None:
    assert len(WAYS) * EXAMPLES >= 2000


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_readers_return_or_refuse(way: str, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (seed, files), counts, said = WAYS[way], {"read": 0, "refused": 0}, list[str]()
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(files)
    @example(seed.data)
    def case(data: bytes) -> None:
        folder = project / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("params.yaml", "methods.yaml"):  # a project of its own, for readers that look for one
            shutil.copy(ROOT / name, folder)
        (folder / "data").mkdir()
        shutil.copy(ROOT / "data" / "manifest.json", folder / "data")
        number = sum(counts.values())
        path = folder / f"{number}{seed.suffix}"
        path.write_bytes(data)
        outside = set(project.iterdir())
        with bounded(), chdir(folder):
            try:
                assert seed.good(seed.read(path))
                counts["read"] += 1
            except QdrError as error:
                counts["refused"] += 1
                said.append(str(error))
        assert set(project.iterdir()) == outside

    case()
    print(f"{way}: {counts}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * 1024
    assert grown < MEMORY
    assert sum(counts.values()) >= EXAMPLES
    assert min(counts.values()) > 0
    assert [line for line in said if "\n" in line] == []


@pytest.mark.parametrize("name", SEEDS)
def test_seeds_are_valid(name: str, project: Path) -> None:
    seed = SEEDS[name]
    path = project / f"seed{seed.suffix}"
    path.write_bytes(seed.data)
    assert seed.good(seed.read(path))
