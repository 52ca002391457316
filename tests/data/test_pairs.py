from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image

from qdr.errors import QdrError
from qdr.images.pairs import images_in, match, read_image, read_pair
from qdr.images.tensor import to_tensor
from qdr.suite.data.loader import PairSet


def save(path: Path, size: tuple[int, int] = (16, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), 90, np.uint8)).save(path)
    return path


def test_pairs_are_matched_by_stem(tmp_path: Path) -> None:
    for name in ("input/b.png", "target/b.jpg", "input/a.png", "target/a.png"):
        save(tmp_path / name)
    assert [name for name, _, _ in match(tmp_path)] == ["a", "b"]


def test_orphans_twins_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "target").mkdir()
    with pytest.raises(QdrError, match="holds no images"):
        match(tmp_path)
    save(tmp_path / "input/a.png")
    with pytest.raises(QdrError, match="'a' has no target"):
        match(tmp_path)
    save(tmp_path / "target/a.png")
    save(tmp_path / "target/a.jpg")
    with pytest.raises(QdrError, match="same stem"):
        match(tmp_path)
    with pytest.raises(QdrError, match="is no folder"):
        images_in(tmp_path / "nowhere")


def test_two_sizes(tmp_path: Path) -> None:
    a, b = save(tmp_path / "a.png"), save(tmp_path / "b.png", (16, 20))
    with pytest.raises(QdrError, match="two sizes, 16x16 and 20x16"):
        read_pair("x", a, b)


@pytest.mark.parametrize("keep", [0, 10, 60])
def test_a_corrupt_image_is_named(tmp_path: Path, keep: int) -> None:
    path = save(tmp_path / "broken.png", (64, 64))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(QdrError, match=r"broken\.png (cannot be read|is empty)"):
        read_image(path)
    with pytest.raises(QdrError, match=r"gone\.png does not exist"):
        read_image(tmp_path / "gone.png")


def test_batches_depend_on_seed_and_step_alone(pairs: Path) -> None:
    data = PairSet.load("derain", "train")
    whole = list(data.batches(6, 2, 32, seed=5))
    rest = list(data.batches(2, 2, 32, seed=5, start=4))
    assert all(torch.equal(a, b) for one, two in zip(whole[4:], rest, strict=True) for a, b in zip(one, two, strict=True))
    other = next(iter(data.batches(1, 2, 32, seed=6)))
    assert not torch.equal(other[0], whole[0][0])
    assert whole[0][0].shape == (2, 3, 32, 32)
    assert 0 <= float(whole[0][0].min()) <= float(whole[0][0].max()) <= 1


def test_input_and_target_are_cut_alike(pairs: Path) -> None:
    data = PairSet.load("derain", "train")
    same = PairSet(data.folder, data.names, data.targets, data.targets)
    for degraded, target in same.batches(8, 2, 32, seed=1):
        assert torch.equal(degraded, target)


def test_a_smaller_draw_is_part_of_a_larger_and_seeds_draw_others(pairs: Path) -> None:
    data = PairSet.load("derain", "train")
    for seed in range(5):
        draws = [data.draw(count, seed) for count in (1, 2, 6)]
        names = [set(draw.names) for draw in draws]
        assert [len(drawn) for drawn in names] == [1, 2, 6]
        assert names[0] < names[1] < names[2]
        for draw in draws:
            places = [data.names.index(name) for name in draw.names]
            assert places == sorted(places)
            assert all(draw.inputs[i] is data.inputs[place] for i, place in enumerate(places))
            assert all(draw.targets[i] is data.targets[place] for i, place in enumerate(places))
    assert len({data.draw(1, seed).names[0] for seed in range(20)}) > 2


def test_limits(pairs: Path) -> None:
    with pytest.raises(QdrError, match="holds 6 pairs, 99 are asked for"):
        PairSet.load("derain", "train").draw(99, 0)
    with pytest.raises(QdrError, match="smaller than the patch"):
        next(PairSet.load("derain", "train").batches(1, 1, 128, 0))


@settings(deadline=None)
@given(st.integers(0, 2**31))
def test_tensors_keep_every_level(seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    back = np.rint(to_tensor(image)[0].numpy().transpose(1, 2, 0) * np.float32(255)).astype(np.uint8)
    assert np.array_equal(back, image)
