"""Claim: steering costs less than 2 % of the time and 5 % of the memory of plain pipeline calls.

    python benchmarks/image_overhead.py

Paired runs in processes of their own, alternating: the pipeline called by itself for N pictures at
a time, and `casbo.steer` with a score that costs nothing, for the same number of pictures, steps
and micro-batches. Times leave out loading the model; memory is the peak of the whole process. Times of
two processes differ by several percent on a shared machine, so the steered run also says which share
of its own time passes outside the pipeline's calls: probing, engine, ledger, checkpoints, report.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

ROWS = 32


def plain(pictures: int, steps: int) -> dict[str, float]:
    """Seconds for the pipeline's own calls."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    from casbo_images import SHIPPED_PIPELINE

    pipe = StableDiffusionPipeline.from_pretrained(SHIPPED_PIPELINE, torch_dtype=torch.float32)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    shared = {"num_inference_steps": steps, "eta": 1.0, "generator": generator}
    pipe("a shape", num_images_per_prompt=8, **shared)
    begun = time.perf_counter()
    for _ in range(pictures // 8):
        pipe("a shape", num_images_per_prompt=8, **shared)
    return {"seconds": time.perf_counter() - begun}


def steered(pictures: int, steps: int) -> dict[str, float]:
    """Seconds for a steered run, its run folder and its first probing call included."""
    import casbo
    from casbo_images import SHIPPED_PIPELINE, DiffusersRollout

    class Timed(DiffusersRollout):
        inside = 0.0

        def _run(self, *arguments: Any) -> Any:  # noqa: ANN401
            begun = time.perf_counter()
            made = super()._run(*arguments)
            self.inside += time.perf_counter() - begun
            return made

    rollout = DiffusersRollout.from_pretrained(
        SHIPPED_PIPELINE, "a shape", steps=steps, scheduler="ddim", microbatch=8
    )
    begun = time.perf_counter()
    rollout = Timed(rollout.pipe, "a shape", steps=steps, scheduler="ddim", microbatch=8)
    with tempfile.TemporaryDirectory() as scratch:
        casbo.steer(
            rollout,
            lambda samples: [float(np.asarray(image)[0, 0, 0]) for image in samples],
            queries=pictures,
            population=ROWS,
            run=f"{scratch}/run",
            progress=False,
        )
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "outside": 1 - rollout.inside / seconds}


def measured(kind: str, pictures: int, steps: int) -> dict[str, float]:
    """Seconds and peak memory in MiB of one kind of run, in a process of its own."""
    command = [sys.executable, __file__, "--only", kind]
    command += ["--pictures", str(pictures), "--steps", str(steps)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(outcome.stdout.splitlines()[-1])
    return found


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
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**found, "peak": peak}))
        return
    ratios: dict[str, list[float]] = {"seconds": [], "peak": []}
    outside = []
    for _ in range(options.pairs):
        pair = [measured(kind, options.pictures, options.steps) for kind in ("plain", "steered")]
        for name, column in ratios.items():
            column.append(pair[1][name] / pair[0][name])
        outside.append(pair[1]["outside"])
    for name, column in ratios.items():
        median, low, high = np.median(column), min(column), max(column)
        print(f"{name}: steered / plain {median:.3f} ({low:.3f} to {high:.3f})")
    print(f"outside the pipeline's calls: {np.median(outside):.2%} of a steered run's time")


if __name__ == "__main__":
    main()
