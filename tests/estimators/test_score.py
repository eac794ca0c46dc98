"""The score function's parts: what they are, and what they let through to a gradient."""

from __future__ import annotations

import pytest
import torch

from relaxppl.estimators import score


def test_an_average_decays_and_holds_no_graph():
    cost = torch.tensor([3.0, -1.0], requires_grad=True)
    average = score.decay(torch.tensor([1.0, 1.0]), cost, 0.75)
    assert average.tolist() == [1.5, 0.5]
    assert not average.requires_grad


def test_the_surrogate_differentiates_the_log_probability_alone():
    log_prob = torch.tensor(-0.7, requires_grad=True)
    advantage = torch.tensor(2.5, requires_grad=True)
    score.surrogate(log_prob, advantage).backward()
    assert log_prob.grad == pytest.approx(2.5)
    assert advantage.grad is None
