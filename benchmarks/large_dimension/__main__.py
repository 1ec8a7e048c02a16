"""The command line: run, print tables, draw the figure."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from casbo.atomic import write_atomically

from ..command_line import exit_code
from ..optimizers.peer import Task
from .curves import Run, run
from .report import draw, gains, grouped, verdict
from .scores import PROBLEMS
from .searchers import BESIDES, METHODS, USUAL


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments, by default the command line's, say; 0 if it was done."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: report(options, measured(options)))


def parser() -> argparse.ArgumentParser:
    """What the command line understands."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.large_dimension",
        description="Gain against drift in very many coordinates.",
    )
    top.add_argument("--steps", type=int, default=10, help="K")
    top.add_argument("--dim", type=int, default=2048, help="D")
    top.add_argument("--population", type=int, default=32, help="N")
    top.add_argument("--iterations", type=int, default=50)
    top.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    top.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    top.add_argument("--methods", nargs="+", choices=METHODS, help="by default those that fit")
    top.add_argument("--device", default="cpu", help="of casbo's rules; peers run on the CPU")
    top.add_argument("--threads", type=int, default=1)
    top.add_argument("--out", type=Path, help="a JSON file of all runs")
    top.add_argument("--figure", type=Path, help="an SVG or PNG file")
    return top


def measured(options: argparse.Namespace) -> list[Run]:
    """All runs; methods in turns, so that what else the machine does falls on all."""
    torch.set_num_threads(options.threads)
    runs = []
    for problem in options.problems:
        methods = options.methods or (*USUAL, *BESIDES.get(problem, ()))
        for seed in range(options.seeds):
            for method in methods:
                task = Task(options.steps, options.dim, options.population, False, seed)
                made = run(problem, method, task, options.iterations, options.device)
                runs.append(made)
                print(
                    f"{problem} {method} seed {seed}: gain {made.gain[-1]:.1f} at norm "
                    f"{made.norm[-1]:.2f}",
                    file=sys.stderr,
                )
    return runs


def report(options: argparse.Namespace, runs: list[Run]) -> None:
    """Print the tables, write the files asked for."""
    marks = sorted({options.population * round(options.iterations * s) for s in (0.1, 0.5, 1)})
    print(
        f"K = {options.steps}, D = {options.dim:,}, N = {options.population}, {options.seeds} seeds: "
        "gain in standard deviations of plain noise's score\n"
    )
    found = grouped(runs)
    for problem, methods in found.items():
        print(gains(problem, methods, marks), verdict(methods, marks), "", sep="\n\n")
    if options.out:
        lines = json.dumps([run.to_json() for run in runs], indent=1)
        write_atomically(options.out, lines.encode())
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    sys.exit(main())
