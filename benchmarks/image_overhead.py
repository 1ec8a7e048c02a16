"""Claim: steering costs less than 2 % of the time and 5 % of the memory of plain pipeline calls.

    python benchmarks/image_overhead.py

Paired runs in processes of their own, the first of each pair in turn: the pipeline called by itself
for N pictures, and `casbo.steer` with a score that costs nothing, for as many pictures, steps and
pictures a call. Loading the model and one call to warm it up are left out of both; the steered run
has its probing call, run folder, ledger, checkpoints and report in it. Memory is the peak of the
whole process. Times are wall-clock and processor time, children's included: on a machine with other
work the second is the one to trust, and the share of its own time that a steered run spends outside
the pipeline's calls is freer of noise than a ratio of two processes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

PROMPT = "a shape"
POPULATION = 32
MICROBATCH = 8
#: Of DDIM's noise: every step takes some.
ETA = 1.0


@dataclass
class Spent:
    """Seconds by the clock and of the processor, this process's and its children's."""

    wall: float = 0.0
    processor: float = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Add what is spent inside."""
        wall, processor = time.perf_counter(), _processor_seconds()
        yield
        self.wall += time.perf_counter() - wall
        self.processor += _processor_seconds() - processor


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak() -> float:
    """MiB, of this process and the largest of its children together."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(one).ru_maxrss for one in who) / 1024


def warm_pipeline(steps: int) -> DiffusionPipeline:
    """The shipped pipeline after one call, with DDIM."""
    from diffusers import DDIMScheduler

    from casbo_images import SHIPPED_PIPELINE
    from casbo_images.pipelines import load_pipeline

    pipe = load_pipeline(str(SHIPPED_PIPELINE))
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    call(pipe, steps)
    return pipe


def call(pipe: DiffusionPipeline, steps: int, seed: int = 0) -> None:
    """One plain call for as many pictures as the rollout makes at a time."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    options = {"num_inference_steps": steps, "num_images_per_prompt": MICROBATCH, "eta": ETA}
    pipe(PROMPT, generator=generator, **options)


def plain(pictures: int, steps: int) -> dict[str, float]:
    """The pipeline's own calls."""
    pipe, spent = warm_pipeline(steps), Spent()
    with spent.counting():
        for number in range(pictures // MICROBATCH):
            call(pipe, steps, seed=number)
    return {"wall": spent.wall, "processor": spent.processor}


def steered(pictures: int, steps: int) -> dict[str, float]:
    """A steered run, and the share of its time outside the pipeline's calls."""
    import casbo
    from casbo_images import DiffusersRollout

    class Timed(DiffusersRollout):
        inside: Spent | None = None  # not before probing is over: that is no plain call

        def _call(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            with (self.inside or Spent()).counting():
                return super()._call(*arguments, **options)

    pipe, whole, inside = warm_pipeline(steps), Spent(), Spent()
    options = {"scheduler": "ddim", "scheduler_options": {"eta": ETA}, "microbatch": MICROBATCH}
    with tempfile.TemporaryDirectory() as scratch, whole.counting():
        rollout = Timed(pipe, PROMPT, steps=steps, **options)
        rollout.inside = inside
        casbo.steer(
            rollout,
            lambda samples: [float(np.asarray(image)[0, 0, 0]) for image in samples],
            queries=pictures,
            population=POPULATION,
            run=f"{scratch}/run",
            progress=False,
        )
    return {
        "wall": whole.wall,
        "processor": whole.processor,
        "outside, wall": 1 - inside.wall / whole.wall,
        "outside, processor": 1 - inside.processor / whole.processor,
    }


def measured(kind: str, pictures: int, steps: int) -> dict[str, float]:
    """Times and peak memory of one kind of run, in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--only", kind]
    command += ["--pictures", str(pictures), "--steps", str(steps)]
    outcome = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(outcome.stdout.splitlines()[-1])
    return found


def pair(number: int, pictures: int, steps: int) -> dict[str, float]:
    """The ratios steered / plain of one pair, and the shares outside."""
    kinds = ("plain", "steered") if number % 2 == 0 else ("steered", "plain")
    runs = {kind: measured(kind, pictures, steps) for kind in kinds}
    print(json.dumps(runs), file=sys.stderr, flush=True)
    base, other = runs["plain"], runs["steered"]
    return {name: other[name] / base[name] if name in base else other[name] for name in other}


def report(pairs: list[dict[str, float]]) -> str:
    """Medians and ranges as text."""
    lines = [f"steered / plain, median of {len(pairs)} pairs (least to largest)"]
    for name in ("wall", "processor", "peak"):
        ratios = [found[name] for found in pairs]
        told = f"{np.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        lines.append(f"{'memory' if name == 'peak' else name + ' time':<16} {told}")
    lines.append("share of a steered run outside the pipeline's calls")
    for name in ("wall", "processor"):
        shares = [found[f"outside, {name}"] for found in pairs]
        told = f"{np.median(shares):.2%} ({min(shares):.2%} to {max(shares):.2%})"
        lines.append(f"{name + ' time':<16} {told}")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, run pairs, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=640)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", choices=("plain", "steered"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        run = plain if options.only == "plain" else steered
        found = run(options.pictures, options.steps)
        print(json.dumps({**found, "peak": _peak()}))
        return
    pairs = [pair(number, options.pictures, options.steps) for number in range(options.pairs)]
    print(report(pairs))


if __name__ == "__main__":
    main()
