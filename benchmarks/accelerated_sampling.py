"""Claim: a tenth of the steps makes as many valid molecules as the full chain.

    python benchmarks/accelerated_sampling.py

For the small models that come with the package, or those in folders that `python -m
casbo_molecules.training.edm` or `.targetdiff` wrote: draws molecules by the full chain of 1,000 steps and by few steps at several eta, and prints for each the
share that are one neutral, connected molecule, with its binomial standard error, its distance from
the full chain's in standard errors of the difference, the share of different molecules among them,
and the processor's time per sample.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import torch
from command_line import exit_code
from markdown import table
from small_models import MICROBATCH, small_rollout

from casbo_molecules.training import edm, targetdiff

FULL = (1000, 1.0)


def drawn(folder: Path, options: argparse.Namespace, steps: int, eta: float) -> list[str | None]:
    """SMILES of plain samples, None where the atoms make no molecule."""
    rollout = small_rollout(folder, options.atoms, steps=steps, eta=eta)
    found: list[str | None] = []
    for first in range(0, options.samples, MICROBATCH):
        generator = torch.Generator().manual_seed(options.seed * 1_000_003 + first)
        noise = torch.randn(
            min(MICROBATCH, options.samples - first), *rollout.shape, generator=generator
        )
        found += [rollout.identify(sample) for sample in rollout(noise).samples]
    return found


def row(
    setting: tuple[int, float], found: list[str | None], full: list[str | None], seconds: float
) -> list[str]:
    """A line of the table."""
    valid = [smiles for smiles in found if smiles is not None]
    share, error = proportion(found)
    share_full, error_full = proportion(full)
    apart = (share - share_full) / max(math.hypot(error, error_full), 1e-9)
    different = len(set(valid)) / max(1, len(valid))
    return [
        f"{setting[0]:,}",
        f"{setting[1]:g}",
        f"{100 * share:.1f} ± {100 * error:.1f}",
        "" if setting == FULL else f"{apart:+.1f}",
        f"{100 * different:.0f}",
        f"{seconds:.2f}",
    ]


def proportion(found: list[str | None]) -> tuple[float, float]:
    """The share of molecules and its binomial standard error."""
    share = sum(smiles is not None for smiles in found) / len(found)
    return share, math.sqrt(share * (1 - share) / len(found))


def measure(options: argparse.Namespace) -> None:
    """Print a table for each model."""
    settings = [FULL, *((s, eta) for s in options.steps for eta in options.etas)]
    for folder in options.folders:
        rows, full = [], []
        for setting in settings:
            begun = time.process_time()
            found = drawn(folder, options, *setting)
            full = full or found
            seconds = (time.process_time() - begun) / options.samples
            rows.append(row(setting, found, full, seconds))
            print(*rows[-1], file=sys.stderr, flush=True)
        print(f"\n{folder.name}: {options.samples} samples of {options.atoms} heavy atoms\n")
        head = ["steps", "eta", "valid %", "from full chain", "different %", "CPU s a sample"]
        print(table(head, rows))


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[targetdiff.SHIPPED, edm.SHIPPED])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--atoms", type=int, default=9)
    parser.add_argument("--steps", type=int, nargs="+", default=[200, 100, 50])
    parser.add_argument("--etas", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    return exit_code(lambda: measure(options))


if __name__ == "__main__":
    sys.exit(main())
