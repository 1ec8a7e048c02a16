"""What the command lines of trainings have in common."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import torch

from casbo.training.loop import Schedule


def arguments(description: str, *, steps: int, batch: int, rate: float) -> argparse.ArgumentParser:
    """The options that all trainings take, with their defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this long")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


def begin(options: argparse.Namespace, **others: Any) -> Schedule:  # noqa: ANN401
    """Set up logging, threads and the seed of the initial weights.

    Arguments:
        options: What the command line says.
        others: Further settings of the `Schedule`.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return Schedule(options.steps, options.rate, options.minutes, options.seed, **others)
