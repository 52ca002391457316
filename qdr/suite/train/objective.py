"""What a step minimizes: the reconstruction loss, and the distillation losses where a method distils.

Reconstruction is L1 in [0, 1] (Zhao et al. 2017, arXiv 1511.08861: L1 restores better than L2), or the logarithm of each
image's mean squared error, in which faintly and strongly degraded images count alike (`psnr`). The teacher runs beside
the student on the same random patches, in evaluation mode and without gradients (its features cannot be cached, since
no patch comes twice), and only as far as the last feature that is asked for: with Decoder-Free Distillation its decoder
never runs.

Without ground truth the teacher's output takes the place of the target.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qdr.distill.balancers import Log, balancer
from qdr.distill.distances import DECODED, DISTANCES, decoded, l1
from qdr.distill.points import BOTTLENECK, OUTPUT, Taps, modules_at, run_from, run_to
from qdr.errors import QdrError, check_choice
from qdr.suite.config import PSNR_FLOOR
from qdr.suite.methods import Recipe

RECONSTRUCTION = "rec"


def psnr_loss(restored: Tensor, target: Tensor) -> Tensor:
    """Mean over images of ln(1 + mean squared error / `PSNR_FLOOR`) / 10: -PSNR / 43.4 but for a constant, which makes it 0
    for equal images (loss of NAFNet, Chen et al., ECCV 2022, arXiv 2204.04676); [n, 3, h, w] each.
    """
    return torch.log1p((restored - target).square().mean(dim=(1, 2, 3)) / PSNR_FLOOR).mean() / 10


LOSSES = {"l1": l1, "psnr": psnr_loss}


class Objective(nn.Module):
    """The losses of a recipe and their balance.

    Args:
        recipe: what to distil and where.
        student: the network to be trained.
        teacher: FP32 network, needed where the recipe has places.
        every: steps between two measurements of the gradients at the bottleneck.
        steps: of the run, for a recipe whose distillation fades out.
        loss: of the reconstruction, a name of `LOSSES`.
    """

    def __init__(
        self,
        recipe: Recipe,
        student: nn.Module,
        teacher: nn.Module | None,
        every: int,
        steps: int = 1,
        loss: str = "l1",
    ) -> None:
        super().__init__()
        self._loss = LOSSES[loss]
        self._end = recipe.fade * steps
        self.recipe = recipe
        self.balancer = balancer(recipe.balance, len(recipe.places) + recipe.labels, recipe.weight, every)
        self.regressors = nn.ModuleDict()
        check_choice("distance", recipe.distance, [*DISTANCES, DECODED])
        self._distance = DISTANCES.get(recipe.distance)
        self._taps: dict[str, list[tuple[str, str]]] = {}
        self._bottleneck: list[str] = []
        self._teacher: tuple[nn.Module, ...] = ()  # a tuple: its weights belong to no optimizer and no checkpoint
        if recipe.places:
            assert teacher is not None
            self._teacher = (teacher.eval().requires_grad_(False),)
            self._bottleneck = modules_at(student, BOTTLENECK)
            for place in recipe.places:
                self._taps[place] = _pairs(modules_at(student, place), modules_at(teacher, place), place)
            self._fit_widths(student, teacher)

    def move(self, device: torch.device) -> None:
        """Bring the teacher and the regressors to a device; the balancer stays on the CPU."""
        for module in (self.regressors, *self._teacher):
            module.to(device)

    def backward(self, model: nn.Module, degraded: Tensor, target: Tensor, step: int, bf16: bool) -> Log:
        """Forward and backward of one batch ([n, 3, h, w] in [0, 1] each); returns what to log."""
        self.balancer.fade = max(0.0, 1 - step / self._end) if self._end else 1.0
        with torch.autocast(degraded.device.type, torch.bfloat16, enabled=bf16):
            losses, bottleneck = self.losses(model, degraded, target)
        trained = nn.ModuleList([model, self.regressors]) if self.regressors else model
        return self.balancer.backward(losses, bottleneck, trained, step)

    def losses(self, model: nn.Module, degraded: Tensor, target: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """The losses by name, the anchor first, and the bottleneck tensor where they meet."""
        names = self._bottleneck + [mine for pairs in self._taps.values() for mine, _ in pairs]
        with Taps(model, list(dict.fromkeys(names))) as taps:
            restored = model(degraded).float()
        losses = {RECONSTRUCTION: self._loss(restored, target)} if self.recipe.labels else {}
        if self.balancer.fade == 0 and self.recipe.labels:
            return losses, None
        known, answer = self._teacher_outputs(degraded)
        for place, pairs in self._taps.items():
            if place == OUTPUT:
                assert answer is not None
                losses[place] = self._loss(restored, answer)
            elif self._distance is None:
                assert answer is not None
                losses[place] = self._decode({t: taps.features[m] for m, t in pairs}, degraded, answer)
            else:
                losses[place] = torch.stack([self._compare(taps.features[m], known[t], t) for m, t in pairs]).mean()
        return losses, taps.features[self._bottleneck[0]] if self._bottleneck else None

    def _teacher_outputs(self, degraded: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """The teacher's features and, if it is asked for, its output."""
        names = [theirs for pairs in self._taps.values() for _, theirs in pairs]
        if not self._teacher:
            return {}, None
        (teacher,) = self._teacher
        with torch.no_grad():
            if OUTPUT not in self._taps and self._distance is not None:
                return run_to(teacher, names, degraded), None
            with Taps(teacher, names) as taps:
                answer = teacher(degraded).float()
        return taps.features, answer

    def _compare(self, mine: Tensor, theirs: Tensor, name: str) -> Tensor:
        assert self._distance is not None
        return self._distance(self._fitted(mine, name).float(), theirs.float())

    def _decode(self, features: dict[str, Tensor], degraded: Tensor, answer: Tensor) -> Tensor:
        (teacher,) = self._teacher
        fitted = {name: self._fitted(feature, name) for name, feature in features.items()}
        return decoded(run_from(teacher, fitted, degraded).float(), answer, degraded)

    def _fitted(self, feature: Tensor, name: str) -> Tensor:
        """A student's feature in the teacher's width."""
        key = name.replace(".", "_")
        fitted: Tensor = self.regressors[key](feature) if key in self.regressors else feature
        return fitted

    def _fit_widths(self, student: nn.Module, teacher: nn.Module) -> None:
        """Where the teacher has more or fewer channels, a trained 1x1 convolution stands between (FitNets)."""
        image = torch.zeros(1, 3, 64, 64)
        for pairs in self._taps.values():
            for mine, theirs in pairs:
                with torch.no_grad():
                    a, b = run_to(student, [mine], image)[mine], run_to(teacher, [theirs], image)[theirs]
                if a.shape[2:] != b.shape[2:]:
                    sizes = f"{tuple(a.shape[2:])} and {tuple(b.shape[2:])}"
                    raise QdrError(f"{mine} and the teacher's {theirs} have different sizes, {sizes}: not comparable")
                if a.shape[1] != b.shape[1] and self.recipe.distance != "attention":
                    self.regressors[theirs.replace(".", "_")] = nn.Conv2d(a.shape[1], b.shape[1], 1)


def _pairs(mine: list[str], theirs: list[str], place: str) -> list[tuple[str, str]]:
    if len(mine) != len(theirs):
        raise QdrError(f"the student has {len(mine)} levels at {place}, the teacher {len(theirs)}: distil at the bottleneck")
    return list(zip(mine, theirs, strict=True))
