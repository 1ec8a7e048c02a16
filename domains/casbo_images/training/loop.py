"""What the command lines of all three trainings have in common."""

from __future__ import annotations

import argparse

import torch

from casbo import training


def arguments(description: str, *, steps: int, batch: int, rate: float) -> argparse.ArgumentParser:
    """The options that all trainings take, with their defaults."""
    parser = training.arguments(description, steps=steps, batch=batch, rate=rate)
    parser.add_argument("--scenes", type=int, default=40_000, help="pictures to learn from")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def begin(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, training.Schedule]:
    """Read the command line and set up logging, threads and the seed of the initial weights."""
    options = parser.parse_args()
    return options, training.begin(options)
