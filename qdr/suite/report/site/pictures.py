"""The photographs of results/<profile>/samples, to be looked at side by side."""

from __future__ import annotations

from qdr.images.pairs import read_image
from qdr.metrics.protocol import PROTOCOL, protocol
from qdr.metrics.psnr import psnr
from qdr.suite.report.figures.before_after import PANELS
from qdr.suite.report.quality import PHOTOS, TASK_LABELS, label
from qdr.suite.report.site.parts import Gallery, Given, Picture, Shot

UNFREE = (
    "These are pictures of public test sets, whose licences forbid passing them on: delete the folder samples beside this "
    "page before you show it to others."
)


def gallery(given: Given) -> Gallery | None:
    """One photograph per task; None where no task has a picture."""
    tasks = [task for task in TASK_LABELS if (given.folder / "samples" / task / "target.png").is_file()]
    free = all(set(given.quality.real(task)) <= {PHOTOS} for task in tasks)
    return Gallery([_shot(given, task) for task in tasks], "" if free else UNFREE) if tasks else None


def _shot(given: Given, task: str) -> Shot:
    folder = given.folder / "samples" / task
    target = read_image(folder / "target.png")
    pictures = []
    for name in PANELS:
        if not (folder / f"{name}.png").is_file():
            continue
        note = (
            "clean" if name == "target" else f"{psnr(read_image(folder / f'{name}.png'), target, protocol(PROTOCOL)):.2f} dB"
        )
        pictures.append(Picture(name, _label(name), note, f"samples/{task}/{name}.png"))
    return Shot(task, TASK_LABELS[task], pictures)


def _label(name: str) -> str:
    """How a picture is called.

    >>> _label("qdr"), _label("fp32"), _label("target")
    ('QDR INT8', 'FP32', 'Target')
    """
    if name == "target":
        return "Target"
    return label(name) + ("" if name in ("input", "fp32") else " INT8")
