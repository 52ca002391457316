"""Photographs that come inside installed packages, one with measured depth: nothing is downloaded."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from qdr.errors import QdrError
from qdr.images.pairs import read_image
from qdr.suite.data.records import expect, sha256
from qdr.suite.data.tasks import Card

PRINCIPAL_OFFSET = 31.086  # pixels: calibration of the Middlebury 2014 pair as scikit-image ships it
_REMEDY = "install the versions in constraints.txt"


def from_wheels(entry: Card, folder: Path) -> None:
    """Write the card's files to `folder` as PNG, checked by sha256."""
    for name, digest in entry.files.items():
        package, _, inner = name.partition("/")
        path = Path(str(files(package))) / inner
        if not path.is_file():
            raise QdrError(f"{name} is not in the installed package: {_REMEDY}")
        expect(sha256(path), digest, name, _REMEDY)
        if path.suffix == ".npz":
            _write_depth(path, folder)
        else:
            Image.fromarray(read_image(path)).save(folder / f"{path.stem}.png", compress_level=1)


def _write_depth(path: Path, folder: Path) -> None:
    """Depth of the left image from its disparity, Z ~ 1 / (d + offset), 16 bit, the far quarter of a percent at 65535."""
    disparity = next(iter(np.load(path).values()))
    known = np.isfinite(disparity)
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    depth = 1 / (disparity[tuple(nearest)] + PRINCIPAL_OFFSET)
    near, far = depth.min(), np.quantile(depth, 0.9975)
    scaled = np.clip((depth - near) / (far - near), 0, 1)
    name = path.stem.replace("disp", "left")
    Image.fromarray(np.rint(scaled * 65535).astype(np.uint16)).save(folder / f"{name}.depth.png")
