"""What the trainings of all models of molecules have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from casbo import training

Schedule = training.Schedule


def train(
    model: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    schedule: Schedule,
    folder: Path,
    save: Callable[[nn.Module], None],
) -> nn.Module:
    """As :func:`casbo.training.train`, for a loss that draws its batch with a generator."""

    def of_step(step: int) -> Tensor:
        (seed,) = np.random.SeedSequence([schedule.seed, step]).generate_state(1, np.uint64)
        return loss(torch.Generator().manual_seed(int(seed >> np.uint64(1))))

    return training.train(model, of_step, schedule, folder, save)


def arguments(
    description: str, *, steps: int, batch: int, rate: float, memory: float
) -> argparse.ArgumentParser:
    """The options that all trainings take, with their defaults."""
    parser = training.arguments(description, steps=steps, batch=batch, rate=rate)
    parser.add_argument("data", type=Path, help="conformers, of casbo_molecules.training.prepare")
    parser.add_argument("--memory", type=float, default=memory, help="of the averaged weights")
    return parser


def begin(options: argparse.Namespace) -> Schedule:
    """Set up logging, threads and the seed of the initial weights."""
    return training.begin(
        options,
        memory=options.memory,
        warm_up=500,
        falling=0.3,
        checkpoint_every=500,
        report_every=200,
    )
