"""Degradations of whole batches on the device that trains, drawn anew for every step.

"noise", "rain", "haze" and "low-light" are made for restoring real photographs, not for one test set: strong and mild
degradations are mixed, a share `CLEAN` of the images is left as it is, so that a network learns what not to touch, and a
share passes through JPEG as cameras and phones store it. "sigma-and-camera", "heavy-rain" and "indoor-haze" follow public
test sets: every image is degraded, and none but camera noise passes through JPEG. The result has the 256 levels of an 8-bit
file.

Each function takes a generator (on the device), clean images [n, 3, h, w] in [0, 1] and the truth map [n, 1, h, w] in
[0, 1] of the prepared pair (`qdr.suite.data.degrade`), of which only haze makes use, and returns images of the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from qdr.suite.data.degrade.haze import INDOOR_AIRLIGHT, INDOOR_BETA

CLEAN = 0.08  # share of images that are not degraded
Degradation = Callable[[Generator, Tensor, Tensor], Tensor]


def noise(rng: Generator, clean: Tensor, _: Tensor) -> Tensor:
    """Half of the images: white Gaussian noise of up to 50 levels. The others: noise as a camera stores it, of up to 16
    levels, growing with brightness, smeared by demosaicking over neighbours and channels, compressed.

    Source of the model: Guo et al. 2019, CBDNet (arXiv 1807.04686); compare `qdr.suite.data.degrade.camera`.
    """
    return _white_or_camera(rng, clean, (0, 50))


def sigma_and_camera(rng: Generator, clean: Tensor, _: Tensor) -> Tensor:
    """Half of the images: white Gaussian noise of 5 to 45 levels, around the synthetic tests' 25. The others: noise as a
    camera stores it, as in `noise`.
    """
    return _white_or_camera(rng, clean, (5, 45))


def _white_or_camera(rng: Generator, clean: Tensor, levels: tuple[float, float]) -> Tensor:
    n = len(clean)
    white, camera = _uniform(rng, n, levels[0] / 255, levels[1] / 255), _uniform(rng, n, 0, 16 / 255)
    raw = _normal(rng, clean)
    common = _uniform(rng, n, 0.3, 0.9)
    shared = common.sqrt() * _normal(rng, clean[:, :1]) + (1 - common).sqrt() * _normal(rng, clean)
    smeared = _smeared(shared, _uniform(rng, n, 0.35, 1.0))
    grown = camera * (0.4 + 0.6 * clean.mean(dim=1, keepdim=True)).sqrt()
    stored = compressed(rng, clean + grown * smeared, share=0.7, quality=(75, 99))
    return _levels(torch.where(_chosen(rng, n, 0.5), clean + white * raw, stored))


def rain(rng: Generator, clean: Tensor, _: Tensor) -> Tensor:
    """Streaks of one direction or two, added and clipped, from single drops to a curtain, with a veil on some images.

    A layer is noise blurred along the direction of fall whose brightest part is kept: white noise above a quantile, which
    gives the dense, irregular streaks of Rain100H's generator (Yang et al. 2017, arXiv 1609.07769), or sparse drops. Angle,
    length, width, density and brightness cover those of 18 training pairs of that generator.
    """
    n = len(clean)
    angle = 35 * math.pi / 180 * _normal(rng, clean[:, :1, :1, :1]).clamp(-2, 2) / 2
    total = streaks(rng, clean, angle)
    second = streaks(rng, clean, angle + _uniform(rng, n, -0.5, 0.5))
    total = total + second * _chosen(rng, n, 0.3)
    veil = _uniform(rng, n, 0, 0.15) * _chosen(rng, n, 0.3)
    rainy = (clean + total).clamp(max=1) * (1 - veil) + veil * _uniform(rng, n, 0.6, 1.0)
    return _mostly(rng, compressed(rng, rainy, share=0.25, quality=(80, 99)), clean)


def heavy_rain(rng: Generator, clean: Tensor, _: Tensor) -> Tensor:
    """Dense grey streaks, added and clipped: min(1, J + slope (z - floor)+), z white noise blurred along the fall.

    FACT (Yang et al. 2017, arXiv 1609.07769): Rain100H is synthesized with streaks of five directions. READING (ours): the
    model, and its ranges, from 18 pairs of that generator (source `rain100h-train18`, none of them a test image). There what
    rain adds is grey and never negative, and above its median a Gaussian cut off below, to 0.03: floor -2.0 to 0.4, slope
    0.11 to 0.23. Its foot is rounded (softplus). Medians of the 18 pairs and of 72 made ones: input 11.6 and 12.2 dB; mean
    of the rain 0.20 and 0.19, deviation 0.15 and 0.15; pixels that gain 8 levels 86 and 87 %; correlation halved after 1.3
    and 1.3 pixels across and 13.9 and 13.5 along the fall; coherence of the structure tensor 0.92 and 0.88. Angles: -12 to
    5 degrees there, mirrored and a little wider here.
    """
    n = len(clean)
    angle = _uniform(rng, n, -ANGLE, ANGLE)
    total = _gaussian_streaks(rng, clean, angle, FLOOR)
    second = _gaussian_streaks(rng, clean, angle + _uniform(rng, n, -0.6, 0.6), SECOND_FLOOR)
    return _levels(clean + total + second * _chosen(rng, n, 0.25))


ANGLE = math.radians(20)  # from the vertical
LENGTH = (16, 80)  # pixels, uniform in the logarithm
THICKNESS = (0.5, 0.9)  # standard deviation across the fall, pixels
SLOPE = (0.13, 0.24)  # brightness of a standard deviation of z, white = 1
FLOOR = (-2.1, 0.3)  # in standard deviations of z: how little of the image stays dry
SECOND_FLOOR = (0.8, 2.0)


def _gaussian_streaks(rng: Generator, clean: Tensor, angle: Tensor, floors: tuple[float, float]) -> Tensor:
    n = len(clean)
    length, thickness = torch.exp(_uniform(rng, n, *map(math.log, LENGTH))), _uniform(rng, n, *THICKNESS)
    kernel = _streak(clean, angle, length, thickness)
    z = _convolve(_normal(rng, clean[:, :1]), kernel / kernel.square().sum(dim=(2, 3), keepdim=True).sqrt())
    return _uniform(rng, n, *SLOPE) * F.softplus(z - _uniform(rng, n, *floors), beta=5)


def streaks(rng: Generator, clean: Tensor, angle: Tensor) -> Tensor:
    """One layer of rain, [n, 1, h, w], 0 where no drop falls; `angle` [n, 1, 1, 1] from the vertical, radians."""
    n = len(clean)
    length, thickness = _uniform(rng, n, 10, 75), _uniform(rng, n, 0.35, 1.3)
    kernel = _streak(clean, angle, length, thickness)
    seed = _normal(rng, clean[:, :1])
    sparse = (torch.rand(seed.shape, generator=rng, device=seed.device) < _uniform(rng, n, 0.0005, 0.02)) * seed.abs()
    seed = torch.where(_chosen(rng, n, 0.35), sparse, seed)
    fallen = _convolve(seed, kernel)
    flat = fallen.flatten(1)
    spread = flat.std(dim=1).reshape(-1, 1, 1, 1) + 1e-6
    z = (fallen - flat.mean(dim=1).reshape(-1, 1, 1, 1)) / spread
    dense = _chosen(rng, n, 0.6)
    floor = torch.where(dense, _uniform(rng, n, -1.8, 0.0), _uniform(rng, n, 0.0, 2.0))
    slope = torch.where(dense, _uniform(rng, n, 0.05, 0.25), _uniform(rng, n, 0.1, 0.5))
    return (slope * (z - floor)).clamp(0, 0.9)


def _streak(clean: Tensor, angle: Tensor, length: Tensor, thickness: Tensor) -> Tensor:
    """The streak of one drop, periodic, [n, 1, h, w]."""
    height, width = clean.shape[-2:]
    y = torch.fft.fftfreq(height, 1 / height, device=clean.device).reshape(1, 1, -1, 1)
    x = torch.fft.fftfreq(width, 1 / width, device=clean.device).reshape(1, 1, 1, -1)
    along, across = y * angle.cos() + x * angle.sin(), x * angle.cos() - y * angle.sin()
    drop: Tensor = (length / 2 - along.abs() + 0.5).clamp(0, 1) * torch.exp(-0.5 * (across / thickness) ** 2)
    return drop


def haze(rng: Generator, clean: Tensor, truth: Tensor) -> Tensor:
    """I = J t + A (1 - t) with the prepared pair's depth, any density from none to thick, any airlight.

    The truth map is 1 - exp(-beta d), so that (1 - truth)^k = exp(-k beta d). See `qdr.suite.data.degrade.haze`.
    """
    n = len(clean)
    t = (1 - truth).clamp(min=1 / 255) ** _uniform(rng, n, 0.1, 1.6)
    airlight = (_uniform(rng, n, 0.6, 1.0) + 0.025 * _normal(rng, clean[:, :, :1, :1])).clamp(0, 1)
    hazy = clean * t + airlight * (1 - t)
    hazy = hazy + _uniform(rng, n, 0, 3 / 255) * _normal(rng, clean)
    return _mostly(rng, compressed(rng, hazy, share=0.3, quality=(75, 99)), clean)


def indoor_haze(rng: Generator, clean: Tensor, truth: Tensor) -> Tensor:
    """I = J t + A (1 - t), t = exp(-beta d), as RESIDE's indoor set is made: measured depth, one airlight for the channels.

    The truth map is the depth d as "reside-haze" prepares it. Ranges: see `qdr.suite.data.degrade.haze`.
    """
    n = len(clean)
    t = torch.exp(-_uniform(rng, n, *INDOOR_BETA) * truth)
    return _levels(clean * t + _uniform(rng, n, *INDOOR_AIRLIGHT) * (1 - t))


def low_light(rng: Generator, clean: Tensor, _: Tensor) -> Tensor:
    """Exposures of 0.6 to 30 % in linear light, a colour cast, shot and read noise, part of it smeared, another tone curve.

    Source of the sensor's model: Wei et al. 2020 (arXiv 2003.12751); compare `qdr.suite.data.degrade.lowlight`. Exposure and
    cast after training pairs, 5th and 95th percentile: LOL-v1 0.6 and 6.1 %, blue to green 0.45 and 1.2; SICE 2.2 and 10 %,
    0.83 and 1.5.
    """
    n = len(clean)
    exposure = torch.exp(_uniform(rng, n, math.log(0.006), math.log(0.3)))
    balance = torch.exp(0.14 * _normal(rng, clean[:, :, :1, :1]))
    linear = torch.where(clean <= 0.04045, clean / 12.92, ((clean + 0.055) / 1.055) ** 2.4)
    signal = linear * exposure * balance
    well, read = torch.exp(_uniform(rng, n, math.log(1000), math.log(20000))), _uniform(rng, n, 0.5, 4)
    grain = _normal(rng, clean)
    smeared = _smeared(grain, _uniform(rng, n, 0.4, 1.2))
    grain = torch.where(_chosen(rng, n, 0.5), smeared, grain)
    signal = (signal + grain * (signal / well + (read / well) ** 2).sqrt()).clamp(0, 1)
    encoded = torch.where(signal <= 0.0031308, signal * 12.92, 1.055 * signal.clamp(min=1e-8) ** (1 / 2.4) - 0.055)
    bent = encoded.clamp(min=1e-6) ** _uniform(rng, n, 0.9, 1.25)
    return _mostly(rng, compressed(rng, bent, share=0.3, quality=(80, 99)), clean)


def well_exposed(rng: Generator, clean: Tensor) -> Tensor:
    """Photographs as the references of low-light pairs are developed: a tone curve x^g that brings the mean to 0.40 to 0.50.

    In training pairs of LOL-v1 and SICE the references' means have the medians 0.45 and 0.45, quartiles 0.39 to 0.53 and
    0.42 to 0.48; photographs as such spread from 0.17 to 0.64, and how bright one was meant to be cannot be seen in its dark
    copy.
    """
    wanted = _uniform(rng, len(clean), 0.40, 0.50)
    sample = clean[:, :, ::4, ::4].clamp(min=1e-4)
    low, high = torch.full_like(wanted, 0.4), torch.full_like(wanted, 2.5)
    for _ in range(10):
        middle = (low + high) / 2
        dark = (sample**middle).mean(dim=(1, 2, 3), keepdim=True) < wanted
        low, high = torch.where(dark, low, middle), torch.where(dark, middle, high)
    return _levels(clean.clamp(min=1e-6) ** ((low + high) / 2))


BATCHED: dict[str, Degradation] = {
    "noise": noise,
    "rain": rain,
    "haze": haze,
    "low-light": low_light,
    "sigma-and-camera": sigma_and_camera,
    "heavy-rain": heavy_rain,
    "indoor-haze": indoor_haze,
}
TARGETS = {"low-light": well_exposed}  # what is to be restored, where it is not the photograph as it is


def blur(images: Tensor, width: Tensor) -> Tensor:
    """Gaussian blur of each image, [n, c, h, w], by its own standard deviation [n, 1, 1, 1] in pixels, up to about 1.3."""
    n, channels = images.shape[:2]
    taps = torch.exp(-0.5 * (torch.arange(-3, 4, device=images.device).reshape(1, 1, 1, -1) / width) ** 2)
    taps = (taps / taps.sum(dim=3, keepdim=True)).repeat_interleave(channels, 0)
    flat = F.pad(images.reshape(1, n * channels, *images.shape[2:]), (3, 3, 3, 3), mode="reflect")
    flat = F.conv2d(flat, taps, groups=n * channels)
    return F.conv2d(flat, taps.transpose(2, 3), groups=n * channels).reshape(images.shape)


_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))  # the rest of the 8x8 table is 99


def compressed(rng: Generator, images: Tensor, share: float, quality: tuple[int, int]) -> Tensor:
    """A share of the images as a JPEG file of a random quality gives them back; height and width multiples of 8."""
    n = len(images)
    chosen = _uniform(rng, n, *quality).round()
    return torch.where(_chosen(rng, n, share), jpeg(images, chosen), images)


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """JPEG without chroma subsampling (ITU-T T.81, the example tables of its annex K, scaled as libjpeg does): 8x8 blocks,
    cosine transform, coefficients rounded to the table's steps. [n, 3, h, w] in [0, 1], `quality` [n, 1, 1, 1] in 50 to 100.
    """
    device = images.device
    grid = torch.arange(8, device=device, dtype=torch.float32)
    cosine = torch.cos((2 * grid[None] + 1) * grid[:, None] * math.pi / 16) / 2
    cosine[0] /= math.sqrt(2)
    chroma = torch.full((8, 8), 99.0, device=device)
    chroma[:4, :4] = torch.tensor(_CHROMA, dtype=torch.float32, device=device)
    luma = torch.tensor(_LUMA, dtype=torch.float32, device=device)
    tables = torch.stack([luma, chroma, chroma])[None]
    factor = (2 - quality / 50).reshape(-1, 1, 1, 1)
    steps = (tables * factor + 0.5).floor().clamp(1, 255)[:, :, None, None]
    forward = images.new_tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    back = images.new_tensor([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])
    levels = _levels(images) * 255
    n, _, height, width = images.shape
    shifted = torch.einsum("dc,nchw->ndhw", forward, levels).round() - images.new_tensor([128, 0, 0]).reshape(1, 3, 1, 1)
    blocks = shifted.reshape(n, 3, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = (cosine @ blocks @ cosine.T / steps).round() * steps
    planes = (cosine.T @ coefficients @ cosine).transpose(3, 4).reshape(images.shape)
    planes = planes + images.new_tensor([128, 0, 0]).reshape(1, 3, 1, 1)
    return _levels(torch.einsum("dc,nchw->ndhw", back, planes.round()) / 255)


def _smeared(noise: Tensor, width: Tensor) -> Tensor:
    """Noise that neighbours share, of unit variance in each image."""
    blurred = blur(noise, width)
    return blurred / blurred.std(dim=(1, 2, 3), keepdim=True)


def _mostly(rng: Generator, degraded: Tensor, clean: Tensor) -> Tensor:
    return _levels(torch.where(_chosen(rng, len(clean), CLEAN), clean, degraded))


def _levels(images: Tensor) -> Tensor:
    return (images.clamp(0, 1) * 255).round() / 255


def _uniform(rng: Generator, n: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand((n, 1, 1, 1), generator=rng, device=rng.device)


def _normal(rng: Generator, like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=rng, device=rng.device)


def _chosen(rng: Generator, n: int, share: float) -> Tensor:
    return torch.rand((n, 1, 1, 1), generator=rng, device=rng.device) < share


def _convolve(field: Tensor, kernel: Tensor) -> Tensor:
    """Periodic convolution; the kernel's centre is its first element."""
    product = torch.fft.rfft2(field) * torch.fft.rfft2(kernel)
    convolved: Tensor = torch.fft.irfft2(product, s=field.shape[-2:])
    return convolved
