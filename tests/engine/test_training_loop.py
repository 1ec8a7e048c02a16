"""The training loop: an interrupted training ends where an unbroken one does, and learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from casbo.training import Schedule, train


def seeded() -> Line:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Line()


class Line(nn.Module):
    """The smallest model there is, and a loss that seeds its own batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.register_buffer("seen", torch.zeros(()))

    def loss(self, step: int) -> Tensor:
        self.seen += 1
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return (self.linear(x)[:, 0] - x.sum(1)).square().mean()


def test_an_interrupted_training_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    schedule = Schedule(steps=6, rate=1e-2)
    whole, saved = seeded(), list[nn.Module]()
    expected = train(whole, whole.loss, schedule, tmp_path / "whole", saved.append)
    assert saved
    for _ in range(schedule.steps):  # no minute: one step at a time
        model = seeded()
        hurried = dataclasses.replace(schedule, minutes=0)
        average = train(model, model.loss, hurried, tmp_path / "parts", lambda _: None)
    for name, value in expected.state_dict().items():
        assert torch.equal(value, average.state_dict()[name])
    for name, value in whole.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    model = seeded()
    with torch.no_grad():
        before = float(model.loss(1000))
    train(model, model.loss, Schedule(steps=300, rate=0.05), tmp_path, lambda _: None)
    with torch.no_grad():
        assert float(model.loss(1000)) < 0.1 * before
