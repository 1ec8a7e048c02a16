"""A training loop for small models: resumable, seeded, with an average of the weights."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

log = logging.getLogger("casbo.train")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Arguments:
        steps: Optimiser steps in all.
        rate: The learning rate, constant and then falling to zero.
        minutes: Stop after this long; the same command continues.
        seed: Determines the initial weights and every batch.
        memory: Decay of the averaged weights, once training is long under way.
        warm_up: Steps over which the rate rises.
        falling: Share of the steps over which it falls.
        checkpoint_every, report_every: Steps.
    """

    steps: int
    rate: float
    minutes: float = float("inf")
    seed: int = 0
    memory: float = 0.999
    warm_up: int = 200
    falling: float = 0.4
    checkpoint_every: int = 250
    report_every: int = 50

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        remaining = (self.steps - step) / (self.falling * self.steps)
        return self.rate * min(1.0, (step + 1) / self.warm_up, remaining)


def train(
    model: nn.Module,
    loss: Callable[[int], Tensor],
    schedule: Schedule,
    folder: Path,
    save: Callable[[nn.Module], None],
) -> nn.Module:
    """Train, or continue a training, and return the averaged model.

    Arguments:
        model: Its parameters that require gradients are trained, in place.
        loss: The loss of a step, as a function of the step's number: it seeds its own batch.
        schedule: How long and how fast.
        folder: Holds the checkpoint ``training.pt``.
        save: Writes the averaged model; called at every checkpoint.
    """
    average = copy.deepcopy(model).requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=schedule.rate, weight_decay=1e-4)
    checkpoint = Checkpoint(folder / "training.pt", model, average, optimizer)
    first = checkpoint.load()
    begun, total = time.monotonic(), 0.0
    for step in range(first, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate_at(step)
        value = loss(step)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        _follow(average, model, min(schedule.memory, (1 + step) / (10 + step)))
        total += float(value.detach())
        if (step + 1) % schedule.report_every == 0:
            mean = total / schedule.report_every
            seconds = (time.monotonic() - begun) / (step + 1 - first)
            log.info("step %d loss %.4f, %.3f s a step", step + 1, mean, seconds)
            total = 0.0
        late = time.monotonic() - begun > 60 * schedule.minutes
        if (step + 1) % schedule.checkpoint_every == 0 or step + 1 == schedule.steps or late:
            checkpoint.save(step + 1)
            save(average)
        if late:
            log.info("time is up at step %d; the same command continues", step + 1)
            break
    return average


def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights a little towards the model's; buffers are copied."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        for kept, buffer in zip(average.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on from a step, in one file."""

    path: Path
    model: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer

    def load(self) -> int:
        """Read the file, if there is one, and return the step to go on from."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            return 0
        saved = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        return int(saved["step"])

    def save(self, step: int) -> None:
        """Write the file, whole or not at all."""
        state = {
            "step": step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, self.path.with_suffix(".new"))
        os.replace(self.path.with_suffix(".new"), self.path)
