from __future__ import annotations

import numpy as np

from qdr.images.pairs import images_in, read_image
from qdr.suite import config, paths
from qdr.suite.data.scenes import make_scenes, scene


def test_a_scene_depends_on_its_name_alone() -> None:
    image, depth = scene(1, "train", 3, 96)
    again, _ = scene(1, "train", 3, 96)
    assert np.array_equal(image, again)
    assert not np.array_equal(image, scene(1, "train", 4, 96)[0])
    assert not np.array_equal(image, scene(1, "val", 3, 96)[0])
    assert (image.shape, image.dtype, depth.shape) == ((96, 96, 3), np.uint8, (96, 96))
    assert depth.min() >= 0
    assert depth.max() <= 1


def test_spectrum_falls_like_that_of_natural_images() -> None:
    """Amplitude falls as 1/f**a with a near 1 (Field 1987 finds 0.7 to 1.6 for single photographs)."""
    size = 128
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :]) * size
    band = (frequency > 3) & (frequency < 45)
    window = np.outer(np.hanning(size), np.hanning(size))
    slopes = []
    for index in range(12):
        grey = scene(2, "train", index, size)[0].mean(axis=2)
        amplitude = np.abs(np.fft.fft2((grey - grey.mean()) * window))
        slopes.append(np.polyfit(np.log(frequency[band]), np.log(amplitude[band] + 1e-9), 1)[0])
    assert -1.7 < np.mean(slopes) < -0.8


def test_folders_are_filled(settings: config.Config) -> None:
    make_scenes(settings)
    for split, count in (("train", 12), ("val", 2), ("heldout", 2)):
        found = images_in(paths.scenes(split))
        assert len(found) == count
        name, path = next(iter(found.items()))
        assert np.array_equal(read_image(path), scene(settings.data.seed, split, int(name), settings.data.scenes.size)[0])
