"""Data cards and model cards say what the profile, the manifest and the leak check say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qdr.cli import main
from qdr.restore import pretrained
from qdr.suite import config
from qdr.suite.data.datacard import content, data_card, describe, leak_check, test_splits as splits_of, weights_licence
from qdr.suite.data.degrade import DEGRADATIONS
from qdr.suite.data.tasks import load_cards
from qdr.suite.modelcard import card

ROOT = Path(__file__).resolve().parents[2]
CARDS = sorted((ROOT / "docs" / "cards").glob("*/*.md"))
WEIGHTS = sorted(pretrained.FOLDER.glob("*.md"))


@pytest.mark.parametrize("path", CARDS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_committed_data_cards_are_what_the_verb_writes(path: Path, project: Path) -> None:
    settings = config.load(config.profile_path(path.parent.name))
    made = data_card(settings, path.stem, load_cards())
    assert path.read_text(encoding="utf-8") == made, f"run `qdr data cards --profile {path.parent.name}`"


def test_a_card_per_task_of_the_profiles_with_results() -> None:
    assert [path.relative_to(ROOT / "docs" / "cards").as_posix() for path in CARDS] == [
        f"{profile}/{task}.md" for profile in ("embedded", "public") for task in sorted(config.TASKS)
    ]


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_committed_model_cards_follow_from_their_weights(path: Path, project: Path) -> None:
    headers = [pretrained.about(weights) for weights in pretrained.packaged(path.stem)]
    settings = config.load(config.profile_path(headers[0]["profile"]))
    assert path.read_text(encoding="utf-8") == card(settings, headers)
    assert {header["licence"] for header in headers} == {weights_licence(settings, path.stem, load_cards())}


def test_the_licence_of_weights_is_that_of_their_images(project: Path) -> None:
    embedded, public = (config.load(config.profile_path(name)) for name in ("embedded", "public"))
    cards = load_cards()
    assert weights_licence(embedded, "derain", cards) == "Apache-2.0"
    told = weights_licence(public, "derain", cards)
    assert all(words in told for words in ("non-commercial research", "forbidden: commercial use", "these weights are not"))
    assert "; Rain800, clean halves of its training pairs: research;" in told
    free = cards | {name: replace(cards[name], terms="free", licence="CC0") for name in ("bsds200", "rain800")}
    assert weights_licence(public, "derain", free).startswith("Apache-2.0; trained on BSDS500")
    assert "licence of the images: CC0), Rain800" in weights_licence(public, "derain", free)
    half = free | {"rain800": cards["rain800"]}
    assert weights_licence(public, "derain", half).startswith("that of the training images, Rain800")


def test_what_is_synthetic_is_called_so(project: Path) -> None:
    public = config.load(config.profile_path("public"))
    assert splits_of(public, "denoise") == ["cbsd68", "polyu", "cc-nam"]
    assert content(public, "denoise", "polyu") == "real pairs"
    assert "synthetic degradation 'awgn-25'" in content(public, "denoise", "cbsd68")
    text = data_card(public, "lowlight", load_cards())
    assert "None is made" in text
    assert (
        "`lol-train`, LOL-v1, 91 of its training pairs from a folder: 86 real pairs" in text
    )  # every 20th is for validation
    assert "5 images of `lol-train`, every 20th, not trained on; 9 images of `sice-train`" in text


def test_the_leak_check_is_told_as_what_was_checked(project: Path) -> None:
    embedded, public = (config.load(config.profile_path(name)) for name in ("embedded", "public"))
    assert "no photograph enters training" in leak_check(embedded, "derain")
    told = leak_check(public, "derain")
    assert "every image of `rain100h` with those of `bsds200`, `rain800`" in told
    assert "Not found: most crops" in told


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_every_degradation_names_its_file(kind: str) -> None:
    words, _, where = describe(kind).rpartition("`qdr")
    assert len(words) > 60
    assert (ROOT / f"qdr{where}".rstrip("`.")).is_file()


def test_the_verb(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "cards", "--into", "mine"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert "12 procedural scenes of 128x128" in (project / "mine" / "derain.md").read_text()
