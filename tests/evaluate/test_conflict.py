from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from qdr.suite.evaluate.conflict import gradients
from qdr.suite.methods import Recipe
from qdr.suite.train.objective import Objective
from tests.train.test_objective import student_and_teacher


def test_gradients_are_those_of_the_weights_that_both_losses_reach() -> None:
    student, teacher = student_and_teacher()
    objective = Objective(Recipe("", places=["bottleneck"], weight=1.0), student, teacher, 1)
    degraded, target = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    ours, theirs = gradients(objective, student, degraded, target)
    before = ("stem", "encoder", "gates", "downs", "bottleneck")
    shared = [p for name, p in student.named_parameters() if p.dim() > 1 and name.startswith(before)]
    assert len(ours) == len(theirs) == sum(p.numel() for p in shared)
    losses, _ = objective.losses(student, degraded, target)
    for loss, found in zip((losses["rec"], losses["bottleneck"]), (ours, theirs), strict=True):
        student.zero_grad()
        loss.backward(retain_graph=True)
        assert torch.equal(found, torch.cat([p.grad.flatten() for p in shared if p.grad is not None]))


def test_a_target_that_the_teacher_gives_leaves_no_conflict_with_distillation_of_its_output() -> None:
    student, teacher = student_and_teacher()
    objective = Objective(Recipe("", places=["output"], weight=1.0), student, teacher, 1)
    degraded = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        answer = teacher(degraded)
    assert float(F.cosine_similarity(*gradients(objective, student, degraded, answer), dim=0)) == pytest.approx(1, abs=1e-5)
