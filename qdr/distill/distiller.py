"""Decoder-Free Distillation in anybody's loop: a teacher, one place, one distance.

FACT (arXiv 2603.09624): the FP32 network teaches its own quantized copy, strictly at the bottleneck. What distance it takes
there is a READING (`qdr.distill.distances`).

    teacher = frozen_copy(model)
    quantize(model, images)
    dfd = Distiller(teacher, at="bottleneck")
    out, kd = dfd(model, x)          # the student's output; kd.loss, kd.feature, kd.answer
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qdr.distill.distances import DISTANCES
from qdr.distill.points import PLACES, Taps, modules_at, run_to
from qdr.errors import QdrError, check_choice
from qdr.quant.record import evaluation


@dataclass(frozen=True)
class Distillation:
    """What a forward pass of student and teacher gives.

    Args:
        loss: the distance of the features, a scalar, the mean over the places.
        feature: the student's tensor at the first place, where the gradients of several losses meet (for LMR).
        answer: the teacher's output, [n, c, h, w] without gradient; None unless it was asked for.
    """

    loss: Tensor
    feature: Tensor
    answer: Tensor | None


class Distiller:
    """Compares a student's features with its teacher's.

    Args:
        teacher: an FP32 network, e.g. of `frozen_copy`; it is put into evaluation mode and gets no gradients.
        at: the name of a module whose output is compared (in student and teacher alike), or a place of a network that names
            its parts: "bottleneck", "encoder", "decoder", "all". A network that names none has its bottleneck found.
        distance: one of `qdr.distill.distances`, e.g. "relative-l1".
        answer: also compute the teacher's output, for training without ground truth.

    Raises:
        QdrError: on an unknown place or distance.
    """

    def __init__(
        self, teacher: nn.Module, at: str = "bottleneck", distance: str = "relative-l1", answer: bool = False
    ) -> None:
        check_choice("distance", distance, DISTANCES)
        self.teacher = teacher.eval().requires_grad_(False)
        self.at, self.answer = at, answer
        self._distance = DISTANCES[distance]
        self._names: list[str] = []

    def __call__(self, student: nn.Module, image: Tensor) -> tuple[Tensor, Distillation]:
        """The student's output for `image` [n, c, h, w], with gradients, and the comparison.

        Raises:
            QdrError: when a feature of the student has another shape than the teacher's.
        """
        names = self._names = self._names or _names(self.teacher, self.at, image[:1])
        with Taps(student, names) as mine:
            output: Tensor = student(image)
        answer = None
        with torch.no_grad():
            if self.answer:
                with Taps(self.teacher, names) as taps:
                    answer = self.teacher(image)
                theirs = taps.features
            else:
                theirs = run_to(self.teacher, names, image)
        for name in names:
            if mine.features[name].shape != theirs[name].shape:
                shapes = f"{tuple(mine.features[name].shape)} and {tuple(theirs[name].shape)}"
                raise QdrError(f"student and teacher differ at {name!r}, {shapes}: distil from a network of the same shape")
        losses = [self._distance(mine.features[name].float(), theirs[name].float()) for name in names]
        return output, Distillation(torch.stack(losses).mean(), mine.features[names[0]], answer)


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode whose parameters get no gradients: the teacher."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def bottleneck(model: nn.Module, image: Tensor) -> str:
    """The name of the module that makes the deepest tensor: that of the lowest resolution above one pixel.

    Of several the outermost is taken, and of those the last that runs; the network itself and what makes its output are not.

    Raises:
        QdrError: when no module makes a tensor [n, c, h, w].
    """
    seen: list[tuple[int, int, int, str]] = []
    outputs: dict[str, Tensor] = {}

    def look(name: str) -> None:
        module = model.get_submodule(name)

        def hook(module: nn.Module, _: tuple[Tensor, ...], output: object) -> None:
            if isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[2:]) > 1:
                seen.append((output.shape[2] * output.shape[3], name.count("."), -len(seen), name))
                outputs[name] = output

        handles.append(module.register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name, _ in model.named_modules():
        if name:
            look(name)
    try:
        with evaluation(model), torch.no_grad():
            restored = model(image)
    finally:
        for handle in handles:
            handle.remove()
    inner = [entry for entry in seen if outputs[entry[3]].shape[1:] != restored.shape[1:]]
    if not inner:
        raise QdrError("the network has no module that makes a feature [n, c, h, w]: name one with `at`")
    return min(inner)[3]


def _names(teacher: nn.Module, at: str, image: Tensor) -> list[str]:
    modules = dict(teacher.named_modules())
    if at in PLACES:
        parts: dict[str, str] = getattr(teacher, "parts", {})
        if all(parts.get(part, part) in modules for part in PLACES[at]) and PLACES[at]:
            return modules_at(teacher, at)
        if at == "bottleneck":
            return [bottleneck(teacher, image)]
        raise QdrError(f"the network names no {at}: give the name of a module, e.g. {bottleneck(teacher, image)!r}")
    return [check_choice("module", at, [name for name in modules if name])]
