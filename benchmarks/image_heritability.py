"""Claim: which rows of noise the shipped model's pictures hang on, with each scheduler.

    python benchmarks/image_heritability.py

Parent-child correlation of the CLIP similarity to a target when part of the noise of some rows is
replaced by fresh noise (`casbo.heritability`), for every scheduler and the windows of the default
control space.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

from casbo import heritability
from casbo_images.demonstration import TARGETS, VAGUE_PROMPT
from casbo_images.image_run import image_rollout
from casbo_images.options import ImageOptions
from casbo_images.scoring import scorer_and_objective
from casbo_images.spaces import window_edges


def main() -> None:
    """Parse the command line, measure, print a table for each scheduler."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--schedulers", nargs="+", default=["ddim", "ddpm", "euler_ancestral", "dpm_sde", "lcm"]
    )
    parser.add_argument("--parents", type=int, default=48)
    parser.add_argument("--steps", type=int, default=ImageOptions(prompt="").steps)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.schedulers:
        options = ImageOptions(
            prompt=VAGUE_PROMPT, target=TARGETS[0], scheduler=name, steps=arguments.steps
        )
        scorer, _ = scorer_and_objective(options)
        rollout = image_rollout(options)
        edges = window_edges(rollout.shape[0], start=True)
        blocks = {
            name: range(*window)
            for name, window in zip(("start", "early", "late"), pairwise(edges), strict=True)
        }
        table = heritability(
            rollout,
            scorer,
            parents=arguments.parents,
            scales=(0.15, 0.3, 0.6, 1.0),
            blocks=blocks,
            seed=arguments.seed,
        )
        print(f"{name}: {rollout.shape[0]} rows of noise, {rollout.shape[1]} numbers each")
        print(table.table())


if __name__ == "__main__":
    main()
