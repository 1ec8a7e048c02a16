"""The command line: run, print tables, draw the figure."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from casbo.atomic import write_atomically
from casbo.errors import CasboError

from ..command_line import exit_code, positive, seeds
from ..optimizers.peer import Task
from .curves import Run, run
from .report import draw, gains, grouped, verdict
from .scores import PROBLEMS
from .searchers import BESIDES, METHODS, USUAL


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments, by default the command line's, say; 0 if it was done."""
    options = parser().parse_args(arguments)
    return exit_code(
        lambda: report(options, read(options.read) if options.read else measured(options))
    )


def parser() -> argparse.ArgumentParser:
    """What the command line understands."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.large_dimension",
        description="Gain against drift in very many coordinates.",
    )
    top.add_argument("--steps", type=positive, default=10, help="K")
    top.add_argument("--dim", type=positive, default=2048, help="D")
    top.add_argument("--population", type=positive, default=32, help="N")
    top.add_argument("--iterations", type=positive, default=50)
    top.add_argument("--seeds", type=seeds, default=range(3), help="as 0:3 or a number")
    top.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    top.add_argument("--methods", nargs="+", choices=METHODS, help="by default those that fit")
    top.add_argument("--device", default="cpu", help="of casbo's rules; peers run on the CPU")
    top.add_argument("--threads", type=positive, default=1)
    top.add_argument("--read", type=Path, nargs="+", help="show these files instead of running")
    top.add_argument("--out", type=Path, help="a JSON file of all runs")
    top.add_argument("--figure", type=Path, help="an SVG or PNG file")
    return top


def measured(options: argparse.Namespace) -> list[Run]:
    """All runs; methods in turns, so that what else the machine does falls on all."""
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise CasboError("Expected a CUDA device for --device cuda, found none: take cpu.")
    torch.set_num_threads(options.threads)
    runs = []
    for problem in options.problems:
        methods = options.methods or (*USUAL, *BESIDES.get(problem, ()))
        for seed in options.seeds:
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


def read(paths: Sequence[Path]) -> list[Run]:
    """The runs that files hold.

    Raises:
        CasboError: When a file is missing, holds something else, or runs differ in shape.
    """
    try:
        runs = [Run.from_json(line) for path in paths for line in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise CasboError(f"Expected files written with --out, but: {error}.") from error
    shapes = {(run.shape, len(run.gain)) for run in runs}
    if len(shapes) != 1:
        raise CasboError(f"Expected runs of one shape and budget, got {sorted(shapes)}.")
    return runs


def report(options: argparse.Namespace, runs: list[Run]) -> None:
    """Print the tables, write the files asked for."""
    (N, K, D), iterations = runs[0].shape, len(runs[0].gain) - 1
    marks = sorted({N * max(1, round(iterations * share)) for share in (0.1, 0.5, 1)})
    print(
        f"K = {K}, D = {D:,}, N = {N}: gain in standard deviations of plain noise's score, by "
        "score queries\n"
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
