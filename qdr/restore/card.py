"""The model card beside packaged weights: what it is, how good it was measured to be, what it was trained on, its limits.

What it says of data and licence is that of the profile's data card (`qdr.data.datacard`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qdr.config import Config
from qdr.data.datacard import content, leak_check

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


def card(config: Config, about: Mapping[str, str], scores: list[Score], numbers: int) -> str:
    """The card as Markdown; `about` is the header of the weights, `numbers` how many values the file holds."""
    rows = [
        f"| {s.split} | {s.images} | {s.psnr_input:.2f} / {s.ssim_input:.3f} | {s.psnr_fp32:.2f} / {s.ssim_fp32:.3f} "
        f"| {s.psnr_int8:.2f} / {s.ssim_int8:.3f} |"
        for s in scores
    ]
    lines = [
        f"# {about['task']}: {about['model']}, {about['method']} {about['bits']}",
        "",
        f"An Edge-Friendly Model that {PURPOSE[about['task']]}: `qdr restore IN OUT --task {about['task']}`. "
        f"It holds {numbers:,} numbers: INT8 weights with one scale per output channel, FP32 biases, activation scales.",
        "",
        f"## Measured (PSNR in dB / SSIM, protocol {about['protocol']}, on the 8-bit output of the INT8 engine, profile "
        f"{about['profile']})",
        "",
        "| Test set | Images | Degraded input | FP32 | These weights, INT8 |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
        " ".join(f"`{s.split}`: {content(config, about['task'], s.split)}." for s in scores),
        leak_check(config, about["task"]),
        "",
        "## Training",
        "",
        f"- Data: {about['training_data']}.",
        f"- Method: {about['method']} of methods.yaml, seed {about['seed']}; configuration {about['model_config']}.",
        f"- Schedules: `{about['schedule']}`",
        f"- Results of revision {about['revision']}.",
        "",
        "## Limits",
        "",
        "Made for degradations like those of training: others may be left or made worse, and a clean image loses detail. "
        "Not for forensic use: details are estimated.",
        "",
        f"Licence: {about['licence']}. sha256 of the tensors: {about['sha256']}. Written by `qdr release`.",
    ]
    return "\n".join(lines) + "\n"
