"""LPIPS (Zhang et al., CVPR 2018, arXiv 1801.03924), an optional extra.

Distance of two images in the features of an AlexNet: at five depths both are normalised to unit length per position,
subtracted, squared, weighted per channel by a trained linear head and averaged over positions; the five are added. The
package `lpips` ships the heads only; the AlexNet is a separate file. Where either is not at hand the metric is unavailable
and says why, instead of being approximated.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdr.errors import QdrError

EXTRA = "pip install -c constraints.txt -e '.[lpips]'"
FILE = "torchvision's alexnet-owt-7be5be79.pth"


class Lpips:
    """LPIPS version 0.1 with an AlexNet backbone read from a local file (torchvision's `alexnet-owt-7be5be79.pth`).

    Raises:
        QdrError: "LPIPS is unavailable: ..." without the package or the backbone.
    """

    def __init__(self, backbone: Path) -> None:
        import torch

        if not backbone.is_file():
            raise QdrError(f"LPIPS is unavailable: its backbone {backbone} does not exist; download {FILE}")
        try:
            _declare_nms()
            import lpips
        except ImportError as error:
            raise QdrError(f"LPIPS is unavailable: {EXTRA}") from error
        self._model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
        try:
            weights = torch.load(backbone, weights_only=True)
            features = {
                key.removeprefix("features."): value for key, value in weights.items() if key.startswith("features.")
            }
            renamed = {f"slice{_SLICE[int(k.split('.')[0])]}.{k}": value for k, value in features.items()}
            self._model.net.load_state_dict(renamed)
        except (EOFError, RuntimeError, KeyError, AttributeError, pickle.UnpicklingError) as error:
            raise QdrError(f"LPIPS is unavailable: {backbone} does not hold an AlexNet; download {FILE}") from error

    def __call__(self, restored: NDArray[np.uint8], target: NDArray[np.uint8]) -> float:
        """Distance of two 8-bit RGB images [h, w, 3], 0 for equal ones."""
        import torch

        pair = (torch.from_numpy(x.transpose(2, 0, 1)[None].copy()).float() / 127.5 - 1 for x in (restored, target))
        with torch.no_grad():
            return float(self._model(*pair))


_SLICE = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}


_libraries: list[object] = []  # a library that nobody holds takes its declarations with it


def _declare_nms() -> None:
    """Declare the operators that torchvision's Python part expects when its compiled part is of another torch."""
    import torch

    if _libraries or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _libraries.append(library)
