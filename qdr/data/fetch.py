"""Fetch a source of images, check it, and put it in its place whole or not at all.

Three origins (see `qdr.data.tasks.Card`): files inside installed packages, a local folder of research data, an archive.
Every file is checked by sha256 before it is read; archives are unpacked by Python's own "data" filter, which refuses
absolute paths, links out of the folder and devices; every image is opened once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zipfile
from importlib.resources import files
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from qdr import paths
from qdr.data.pairs import images_in, match, read_image
from qdr.data.tasks import Card, card
from qdr.errors import QdrError

MAX_UNPACKED = 200 * 2**30  # bytes
PRINCIPAL_OFFSET = 31.086  # pixels: calibration of the Middlebury 2014 pair as scikit-image ships it


def fetch(source: str) -> Path:
    """Make data/raw/<source> and return it.

    Raises:
        QdrError: when a file is missing, has another checksum, is unsafe or is not an image.
    """
    entry = card(source)
    target = paths.raw(source)
    with paths.replacing(target) as folder:
        folder.mkdir()
        if entry.origin == "wheels":
            _from_wheels(entry, folder)
        elif entry.origin == "folder":
            _from_folder(source, entry, folder)
        else:
            _from_archive(source, entry, folder)
        _check(source, entry, folder)
    return target


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(folder: Path) -> str:
    """Checksum of a folder: sha256 over the lines `<sha256>  <relative path>` of its files, sorted by path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = (f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in found)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _expect(found: str, expected: str, what: str, remedy: str) -> None:
    if found != expected:
        raise QdrError(f"{what} has sha256 {found[:12]}..., the manifest says {expected[:12]}...: {remedy}")


def _from_wheels(entry: Card, folder: Path) -> None:
    for name, digest in entry.files.items():
        package, _, inner = name.partition("/")
        path = Path(str(files(package))) / inner
        if not path.is_file():
            raise QdrError(f"{name} is not in the installed package: install the versions in constraints.txt")
        _expect(sha256(path), digest, name, "install the versions in constraints.txt")
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


def _from_folder(source: str, entry: Card, folder: Path) -> None:
    base = os.environ.get("QDR_DATA")
    if not base:
        raise QdrError(f"source {source!r} needs the environment variable QDR_DATA: the folder that holds {entry.folder}")
    origin = Path(base) / entry.folder
    if not origin.is_dir():
        raise QdrError(f"source {source!r}: QDR_DATA has no folder {entry.folder}; it is described at {entry.homepage}")
    _expect(tree_digest(origin), entry.sha256, entry.folder, "its content differs from what was measured")
    shutil.copytree(origin, folder, dirs_exist_ok=True)


def _from_archive(source: str, entry: Card, folder: Path) -> None:
    archive = paths.project_root() / "data" / "downloads" / f"{source}{Path(entry.url).suffix or '.zip'}"
    if not entry.sha256:
        raise QdrError(
            f"source {source!r} has no pinned checksum: get it from {entry.homepage}, put it at {archive} "
            "and write its sha256 in data/manifest.json"
        )
    if not archive.is_file() and entry.url:
        _download(entry.url, entry.sha256, archive)
    if not archive.is_file():
        raise QdrError(f"source {source!r} has no direct download: get it from {entry.homepage} and put it at {archive}")
    _expect(sha256(archive), entry.sha256, str(archive), "delete the file and fetch it again")
    unpack(archive, folder)


def _download(url: str, digest: str, target: Path) -> None:
    import pooch

    try:
        pooch.retrieve(url, f"sha256:{digest}", fname=target.name, path=target.parent)
    except (OSError, ValueError) as error:
        raise QdrError(f"cannot download {url}: {' '.join(str(error).split())}") from error


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into `folder`; refuse members that would leave it, links, and bombs."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                for member in opened.infolist():
                    _refuse_unsafe(archive, member.filename, member.external_attr >> 28 == 0xA)
                _refuse_bomb(archive, sum(member.file_size for member in opened.infolist()))
                opened.extractall(folder)
        else:
            with tarfile.open(archive) as tar:
                _refuse_bomb(archive, sum(member.size for member in tar.getmembers()))
                for entry in tar.getmembers():
                    _refuse_unsafe(archive, entry.name, entry.issym() or entry.islnk())
                tar.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise QdrError(f"{archive} cannot be unpacked ({error}): delete it and fetch it again") from error


def _refuse_unsafe(archive: Path, name: str, link: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if link or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise QdrError(f"{archive} holds an unsafe member {name!r}: it was not unpacked")


def _refuse_bomb(archive: Path, size: int) -> None:
    if size > MAX_UNPACKED:
        raise QdrError(f"{archive} would unpack to {size / 2**30:.0f} GiB: it was not unpacked")


def _check(source: str, entry: Card, folder: Path) -> None:
    if entry.kind == "clean":
        units = [[path] for path in images_in(folder).values()]
    else:
        units = [[degraded, target] for _, degraded, target in match(folder)]
    for unit in units:
        for path in unit:
            read_image(path)
    if len(units) != entry.count:
        raise QdrError(f"source {source!r} holds {len(units)} {entry.kind}, the manifest says {entry.count}")
