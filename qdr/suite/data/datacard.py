"""The data card of a task: what a profile trains and tests on, under which terms, how it is degraded, what was checked.

Every word follows from three files: the profile, data/manifest.json and the docstrings of `qdr.suite.data.degrade`. Model
cards (`qdr.suite.modelcard`) quote the same sentences, so that the two agree. `qdr data cards` writes the cards of a
profile to docs/cards; a test compares the committed ones.
"""

from __future__ import annotations

import inspect
import math
from functools import partial
from pathlib import Path

from qdr.files import replacing
from qdr.suite.config import SCENES, Config
from qdr.suite.data.degrade import DEGRADATIONS
from qdr.suite.data.leaks import SIDE, THRESHOLD
from qdr.suite.data.tasks import Card, load_cards

WEIGHTS_LICENCE = "Apache-2.0"
FEW = 30  # images below which a card warns of wide intervals
VARIANTS = {  # where one file holds several degradations
    "haze": "Haze over a receding plane (or the measured depth, where there is one)",
    "indoor-haze": "Haze over a room, whose pieces stand at depths of their own",
    "reside-haze": "Haze as in RESIDE's indoor sets, over the measured depth where there is one",
    "awgn-25": "White Gaussian noise of sigma 25 of 255, the field's synthetic test",
}


def write_cards(config: Config, folder: Path) -> list[Path]:
    """Write `<task>.md` of every task of the profile to `folder`; returns the files."""
    cards = load_cards()
    written = []
    for task in config.tasks:
        written.append(folder / f"{task}.md")
        with replacing(written[-1]) as temporary:
            temporary.write_text(data_card(config, task, cards), encoding="utf-8")
    return written


def data_card(config: Config, task: str, cards: dict[str, Card]) -> str:
    """The card as Markdown."""
    kinds = {config.data.degrade[task], *(entry.degrade for entry in config.data.test[task])} - {""}
    if not synthetic(config, task, cards) and not config.data.scenes.heldout:
        kinds.discard(config.data.degrade[task])  # real pairs throughout: nothing is degraded by it
    models = [f"- `{kind}`: {describe(kind)}" for kind in sorted(kinds)]
    lines = [
        f"# Data of {task}, profile {config.profile}",
        "",
        "Written by `qdr data cards` from the profile and data/manifest.json.",
        "",
        "## Training",
        "",
        *(f"- {line}" for line in _training(config, task, cards)),
        "",
        "## Tests",
        "",
        "| Test set | Images | Content | Licence | Protocol of the field |",
        "| --- | --- | --- | --- | --- |",
        *(_row(config, task, split, cards) for split in test_splits(config, task)),
        "",
        "All are measured under the default protocol as well (docs/metrics.md).",
        "",
        "## Degradation",
        "",
        *(models or ["None is made: inputs and targets of training and test are real pairs."]),
        "",
        "## Leak check",
        "",
        leak_check(config, task),
        "",
        "## Known limits",
        "",
        *(f"- {line}" for line in _limits(config, task, cards)),
        "",
        "## Sources",
        "",
        *(f"- {line}" for line in _sources(config, task, cards)),
    ]
    return "\n".join(lines) + "\n"


def test_splits(config: Config, task: str) -> list[str]:
    """The names of a task's test sets, the first the one that figures show."""
    return [entry.source for entry in config.data.test[task]] + ([SCENES] if config.data.scenes.heldout else [])


def content(config: Config, task: str, split: str) -> str:
    """What the images of a test set are: real pairs, or clean images with a synthetic degradation."""
    if split == SCENES:
        return f"held-out procedural scenes with synthetic degradation '{config.data.degrade[task]}'"
    (kind,) = (entry.degrade for entry in config.data.test[task] if entry.source == split)
    return f"clean photographs with synthetic degradation '{kind}'" if kind else "real pairs"


def leak_check(config: Config, task: str) -> str:
    """What stands against test images in training: worded as what is checked, and when."""
    sources = [source for source in config.data.train[task] if source != SCENES]
    if not sources:
        heldout = " Held-out scenes are drawn from other random numbers than training scenes." * bool(
            config.data.scenes.heldout
        )
        drawn = "Every training image is drawn by a program (`qdr/suite/data/scenes.py`): no photograph enters training."
        return drawn + heldout
    tested = _quoted([entry.source for entry in config.data.test[task]])
    return (
        f"`qdr prepare {task}` compares every image of {tested} with those of {_quoted(sources)} by a perceptual hash "
        f"(`qdr/suite/data/leaks.py`) and stops where {THRESHOLD} or fewer of {SIDE * SIDE} bits differ, so that nothing is "
        "trained on it. Of pairs the targets are compared. Not found: most crops of 5 % or more, and "
        "another photograph of the same place."
    )


def weights_licence(config: Config, task: str, cards: dict[str, Card]) -> str:
    """The terms of weights trained on a task's data: ours, unless a source's licence has to be passed on."""
    sources = [cards[source] for source in config.data.train[task] if source != SCENES]
    if bound := [about for about in sources if about.terms != "free"]:
        terms = "; ".join(f"{about.title}: {about.licence}; forbidden: {about.forbids}" for about in bound)
        return f"that of the training images, {terms}. The code is {WEIGHTS_LICENCE}, these weights are not"
    free = ", ".join(f"{about.title} (licence of the images: {about.licence})" for about in sources)
    return f"{WEIGHTS_LICENCE}; trained on {free}" if free else WEIGHTS_LICENCE


def describe(kind: str) -> str:
    """A degradation in words, with its file: the beginning of the file's docstring, or which of several it is."""
    made = DEGRADATIONS[kind]
    module = inspect.getmodule(made.func if isinstance(made, partial) else made)
    assert module is not None
    head = " ".join((inspect.getdoc(module) or "").split("\n\n")[0].split()).rstrip(".")
    return f"{VARIANTS.get(kind, head)}. Formula, ranges and source: `{module.__name__.replace('.', '/')}.py`."


def _training(config: Config, task: str, cards: dict[str, Card]) -> list[str]:
    kind, scenes, lines, validation = config.data.degrade[task], config.data.scenes, [], []
    for source in config.data.train[task]:
        if source == SCENES:
            alone = len(config.data.train[task]) == 1
            how = f", degraded by '{kind}'" if alone else " beside them"
            lines.append(f"{scenes.train} procedural scenes of {scenes.size}x{scenes.size}{how}.")
            validation += [f"{scenes.validation} further scenes"] if scenes.validation else []
            continue
        about, held = cards[source], math.ceil(cards[source].count / config.data.holdout) if config.data.holdout else 0
        what = f"clean images, {how_degraded(config, task)}" if about.kind == "clean" else "real pairs"
        lines.append(f"`{source}`, {about.title}: {about.count - held} {what}.")
        validation += [f"{held} images of `{source}`, every {config.data.holdout}th, not trained on"] if held else []
    if own := config.data.validation.get(task):
        validation = [f"`{own}`, {cards[own].title}, degraded by '{kind}'"]
    return [*lines, f"Validation: {'; '.join(validation) or 'none'}."]


def synthetic(config: Config, task: str, cards: dict[str, Card]) -> bool:
    """Whether a task is trained on images that are degraded here."""
    return any(source == SCENES or cards[source].kind == "clean" for source in config.data.train[task])


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def how_degraded(config: Config, task: str) -> str:
    """How often the clean training images of a task are degraded, and by what."""
    if kind := config.data.online.get(task):
        sizes = ", ".join(f"1/{scale}" if scale > 1 else "1" for scale in config.data.scales)
        return f"at {sizes} of their size, degraded anew for every step by '{kind}' of `qdr/suite/data/degrade/batched.py`"
    return f"each degraded {config.data.copies} times by '{config.data.degrade[task]}'"


def _row(config: Config, task: str, split: str, cards: dict[str, Card]) -> str:
    if split == SCENES:
        count, licence, protocol = config.data.scenes.heldout, WEIGHTS_LICENCE, "—"
    else:
        count, licence, protocol = cards[split].count, cards[split].licence, cards[split].protocol
    return f"| `{split}` | {count} | {content(config, task, split)} | {licence} | {protocol} |"


def _limits(config: Config, task: str, cards: dict[str, Card]) -> list[str]:
    data = config.data
    lines = []
    if SCENES in data.train[task]:
        lines.append("Training scenes are drawn, not photographed: their edges and textures are not those of photographs.")
    for entry in data.test[task]:
        if entry.degrade == data.degrade[task]:
            lines.append(f"`{entry.source}` is degraded as the training images are: it says nothing of other degradations.")
        elif entry.degrade:
            lines.append(f"`{entry.source}` has a synthetic degradation.")
        elif synthetic(config, task, cards):
            lines.append(f"`{entry.source}` holds real pairs; '{data.degrade[task]}', of the training images, is synthetic.")
        if cards[entry.source].count < FEW:
            lines.append(f"`{entry.source}` has {cards[entry.source].count} images: intervals over images are wide.")
    return [*lines, "All images are 8-bit RGB; pairs are cut to multiples of 16 pixels; no video, no raw files."]


def _sources(config: Config, task: str, cards: dict[str, Card]) -> list[str]:
    names = dict.fromkeys([*config.data.train[task], *(entry.source for entry in config.data.test[task])])
    shown = []
    for name in [name for name in names if name != SCENES]:
        about = cards[name]
        terms = f"forbidden: {about.forbids}" if about.forbids else f"terms: {about.terms}"
        shown.append(
            f"`{name}`: {about.title}; <{about.homepage}>; {about.licence}; {terms}; {about.note}. {about.citation}."
        )
    if SCENES in names or config.data.scenes.heldout:
        shown.append(f"`{SCENES}`: drawn by `qdr/suite/data/scenes.py` with seed {config.data.seed}; {WEIGHTS_LICENCE}.")
    return shown
