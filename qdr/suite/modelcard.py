"""The model card beside packaged weights: what it is, how good it was measured to be, what it was trained on, its limits.

What it says of data and licence is that of the profile's data card (`qdr.suite.data.datacard`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdr.suite.config import Config
from qdr.suite.data.datacard import content, leak_check

PURPOSE = {
    "lowlight": "brightens photographs taken in too little light",
    "dehaze": "removes haze from photographs",
    "derain": "removes rain streaks from photographs",
    "denoise": "removes noise from photographs",
}


@dataclass(frozen=True)
class Score:
    """Means over the images of one test set: PSNR in dB and SSIM of degraded input, FP32 teacher and INT8 engine."""

    split: str
    images: int
    psnr_input: float
    psnr_fp32: float
    psnr_int8: float
    ssim_input: float
    ssim_fp32: float
    ssim_int8: float


def _clean(header: Mapping[str, str]) -> str:
    found = json.loads(header["clean"])
    return (
        f"{header['bits']} changes the mean of {found['images']} clean validation pictures by {found['median']:.2f} grey "
        f"levels in the median, {found['largest']:.2f} at most."
    )


def _chosen(header: Mapping[str, str]) -> str:
    found = json.loads(header["validation"])
    return (
        f"method {header['method']} of methods.yaml, seed {header['seed']}, the best on validation images of "
        f"{', '.join(f'{method} {psnr:.2f}' for method, psnr in found.items())} dB."
    )


def card(config: Config, headers: Sequence[Mapping[str, str]]) -> str:
    """The card of a task as Markdown; `headers` say what each of its files is, W8A8 first."""
    about, schemes = headers[0], [header["bits"] for header in headers]
    scores = [[Score(**score) for score in json.loads(header["scores"])] for header in headers]
    rows = []
    for of_split in zip(*scores, strict=True):
        s = of_split[0]
        plain = [f"{s.psnr_input:.2f} / {s.ssim_input:.3f}", f"{s.psnr_fp32:.2f} / {s.ssim_fp32:.3f}"]
        cells = [s.split, str(s.images), *plain, *(f"{one.psnr_int8:.2f} / {one.ssim_int8:.3f}" for one in of_split)]
        rows.append(f"| {' | '.join(cells)} |")
    columns = ["Test set", "Images", "Degraded input", "FP32", *schemes]
    title = " and ".join(f"{header['method']} {header['bits']}" for header in headers)
    lines = [
        f"# {about['task']}: {about['model']}, {title}",
        "",
        f"An Edge-Friendly Model that {PURPOSE[about['task']]}: `qdr restore IN OUT --task {about['task']}`. "
        f"INT8 weights with one scale per output channel, FP32 biases, activation scales. {schemes[0]} is taken where an "
        f"engine computes it on the processor at hand, else {' or '.join(schemes[1:])}, whose products never overflow.",
        "",
        f"## Measured (PSNR in dB / SSIM, protocol {about['protocol']}, on the 8-bit output of the INT8 engine, profile "
        f"{about['profile']})",
        "",
        f"| {' | '.join(columns)} |",
        f"|{' --- |' * len(columns)}",
        *rows,
        "",
        " ".join(f"`{s.split}`: {content(config, about['task'], s.split)}." for s in scores[0]),
        *(_clean(header) for header in headers),
        leak_check(config, about["task"]),
        "",
        "## Training",
        "",
        f"- Data: {about['training_data']}.",
        *(f"- {header['bits']}: {_chosen(header)}" for header in headers),
        f"- Configuration: {about['model_config']}.",
        f"- Schedules: `{about['schedule']}`",
        f"- Results of revision {about['revision']}.",
        "",
        "## Limits",
        "",
        "Made for degradations like those of training: others may be left or made worse, and a clean image may lose detail. "
        "Not for forensic use: details are estimated.",
        "",
        f"Licence: {about['licence']}. Written by `qdr release`.",
    ]
    return "\n".join(lines) + "\n"
