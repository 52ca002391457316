"""Frames per second of an INT8 EFM on Jetson Orin: a prediction from datasheets, not a measurement.

Each kernel of `qdr.suite.bench.kernels` takes

    time = max(2 MACs / (peak x compute efficiency), bytes / (bandwidth x memory efficiency)) + launch overhead

with the MACs of a convolution padded to multiples of 32 channels, the granularity of INT8 tensor cores (TensorRT
documentation, "Optimizing for Tensor Cores"). It is the GPU's time for one image at a time, without copies.

Hardware. Dense INT8 of the GPU: 4 tensor cores per SM x 512 multiply-adds per clock (Ampere), so 4.096 TOPS per SM and
GHz; of a DLA core: 16.4 dense TOPS per GHz. Both reproduce NVIDIA's sparse totals within 3 % (a test), which are twice
the dense figures: 275, 200, 157, 117, 67 and 34 TOPS [1, 2], and NVIDIA's split of the AGX Orin 64GB's modes into GPU
and DLA [3]. The DLAs are listed and not used: the bundle builds for the GPU. SMs, clocks and memory clocks per power
mode: NVIDIA's nvpmodel configurations [4], where a mode sets no limit the datasheet's maximum. AGX Orin's 15 W mode is
left out: [3] and [4] disagree on its GPU (14 and 20 TOPS).

Calibration, from published TensorRT measurements of one image at a time on the GPU:
- ResNet-50, 224x224, INT8: AGX Orin 64GB 0.636 ms [5], Orin NX 16GB 1.085 ms [6] (medians, MLPerf single stream);
- SSD-ResNet-34, 1200x1200, INT8, 433 GOP [8]: AGX Orin 64GB 8.00 ms [7], 63 % of the dense peak: the high efficiency.
The band spans what these allow (the test predicts them): narrow layers and many small kernels belong to its lower end.
Networks with unfused activations fall below it: YOLOv8n runs at 7 % of an Orin Nano Super's peak (286 FPS) [9].

[1] https://www.nvidia.com/en-us/autonomous-machines/embedded-systems/jetson-orin/
[2] https://developer.nvidia.com/blog/nvidia-jetpack-6-2-brings-super-mode-to-nvidia-jetson-orin-nano-and-jetson-orin-nx-modules/
[3] https://github.com/NVIDIA/Deep-Learning-Accelerator-SW (README: TOPS per power mode, dense DLA performance)
[4] https://github.com/LineageOS/android_device_nvidia_concord/tree/lineage-23.0/nvpmodel (NVIDIA's p3701, p3767 files)
[5] https://github.com/mlcommons/inference_results_v3.1, closed/NVIDIA/results/Orin_TRT/resnet50/SingleStream
[6] https://github.com/mlcommons/inference_results_v3.0, closed/NVIDIA/results/Orin_NX_TRT/resnet50/SingleStream
[7] https://github.com/mlcommons/inference_results_v2.0, closed/NVIDIA/results/Orin_TRT/ssd-resnet34/SingleStream
[8] Reddi et al., MLPerf Inference Benchmark, arXiv 1911.02549, table 1
[9] https://hokwangchoi.com/blog/vision-benchmarks/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

TARGET_FPS = 442.0  # the paper's abstract, on a Jetson it does not name
SIZES = ((256, 256), (512, 512), (480, 640), (720, 1280))  # height, width
LABEL = "Prediction, not measured"

TOPS_PER_SM_GHZ = 4.096
TOPS_PER_DLA_GHZ = 16.4
GRANULE = 32


@dataclass(frozen=True)
class Mode:
    """A module in a power mode: SMs and GHz of the GPU, cores and GHz of the DLAs, bits and GHz of the memory."""

    device: str
    name: str
    sms: int
    gpu_ghz: float
    dlas: int
    dla_ghz: float
    bus_bits: int
    memory_ghz: float

    @property
    def gpu_tops(self) -> float:
        """Dense INT8 TOPS of the GPU."""
        return self.sms * self.gpu_ghz * TOPS_PER_SM_GHZ

    @property
    def dla_tops(self) -> float:
        """Dense INT8 TOPS of the DLAs."""
        return self.dlas * self.dla_ghz * TOPS_PER_DLA_GHZ

    @property
    def bandwidth(self) -> float:
        """GB/s of the memory, which transfers twice per clock."""
        return self.bus_bits / 8 * 2 * self.memory_ghz


AGX64, AGX32 = "AGX Orin 64GB", "AGX Orin 32GB"
NX16, NX8 = "Orin NX 16GB", "Orin NX 8GB"
NANO8, NANO4 = "Orin Nano 8GB", "Orin Nano 4GB"
MODES = (
    Mode(AGX64, "MAXN", 16, 1.3005, 2, 1.600, 256, 3.199),
    Mode(AGX64, "50W", 16, 0.816, 2, 1.3696, 256, 3.199),
    Mode(AGX64, "30W", 8, 0.612, 2, 1.3696, 256, 3.199),
    Mode(AGX32, "MAXN", 14, 0.930, 2, 1.400, 256, 3.199),
    Mode(AGX32, "40W", 14, 0.816, 2, 1.2288, 256, 3.199),
    Mode(AGX32, "30W", 8, 0.612, 2, 1.3696, 256, 3.199),
    Mode(NX16, "MAXN_SUPER", 8, 1.173, 2, 1.2288, 128, 3.199),
    Mode(NX16, "40W (Super)", 8, 1.173, 2, 0.9088, 128, 3.199),
    Mode(NX16, "MAXN", 8, 0.918, 2, 0.6144, 128, 3.199),
    Mode(NX16, "25W", 8, 0.408, 2, 0.6144, 128, 3.199),
    Mode(NX16, "15W", 4, 0.612, 1, 0.6144, 128, 3.199),
    Mode(NX8, "MAXN_SUPER", 8, 1.173, 1, 1.2288, 128, 3.199),
    Mode(NX8, "MAXN", 8, 0.765, 1, 0.6144, 128, 3.199),
    Mode(NX8, "20W", 8, 0.408, 1, 0.6144, 128, 3.199),
    Mode(NANO8, "MAXN_SUPER", 8, 1.020, 0, 0.0, 128, 3.199),
    Mode(NANO8, "25W (Super)", 8, 0.918, 0, 0.0, 128, 3.199),
    Mode(NANO8, "15W", 8, 0.612, 0, 0.0, 128, 2.133),
    Mode(NANO4, "MAXN_SUPER", 4, 1.020, 0, 0.0, 64, 3.199),
    Mode(NANO4, "10W", 4, 0.612, 0, 0.0, 64, 2.133),
)


@dataclass(frozen=True)
class Efficiency:
    """What of the peaks a kernel reaches, and the microseconds that each launch costs."""

    name: str
    compute: float
    memory: float
    launch_us: float


BAND = (Efficiency("low", 0.25, 0.50, 6.0), Efficiency("mid", 0.45, 0.70, 4.0), Efficiency("high", 0.65, 0.85, 2.0))


@dataclass(frozen=True)
class Layer:
    """A kernel: channels of a convolution (0 if it is none), costs per pixel of the image, bytes of the weights."""

    channels_in: int
    channels_out: int
    macs_per_pixel: float
    bytes_per_pixel: float
    weight_bytes: int

    @property
    def padded_macs(self) -> float:
        """MACs per pixel that the tensor cores execute, idle channels included.

        >>> Layer(3, 32, 96.0, 0, 0).padded_macs
        1024.0
        """
        if not self.macs_per_pixel:
            return 0.0
        padded = (-(-c // GRANULE) * GRANULE / c for c in (self.channels_in, self.channels_out))
        return self.macs_per_pixel * next(padded) * next(padded)


def milliseconds(layers: Iterable[Layer], mode: Mode, efficiency: Efficiency, pixels: int) -> float:
    """Predicted GPU time of one image."""
    peak, bandwidth = mode.gpu_tops * 1e12 * efficiency.compute, mode.bandwidth * 1e9 * efficiency.memory
    total = 0.0
    for layer in layers:
        compute = 2 * layer.padded_macs * pixels / peak
        memory = (layer.bytes_per_pixel * pixels + layer.weight_bytes) / bandwidth
        total += max(compute, memory) + efficiency.launch_us * 1e-6
    return total * 1e3


def fps(layers: Iterable[Layer], mode: Mode, pixels: int) -> tuple[float, float, float]:
    """Predicted frames per second on the GPU at low, mid and high efficiency."""
    listed = list(layers)
    low, mid, high = (1e3 / milliseconds(listed, mode, efficiency, pixels) for efficiency in BAND)
    return low, mid, high


def reaches(low: float, mid: float, high: float, target: float = TARGET_FPS) -> str:
    """Whether a target is reached: "yes" even at low efficiency, "likely" at mid, "perhaps" at high, else "no".

    >>> reaches(100, 500, 900)
    'likely'
    """
    return "yes" if low >= target else "likely" if mid >= target else "perhaps" if high >= target else "no"
