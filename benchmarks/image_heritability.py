"""Claim: which rows of noise the shipped model's pictures hang on, with each scheduler.

    python benchmarks/image_heritability.py

Parent-child correlation of the CLIP similarity to a target when part of the noise of some rows is
replaced by fresh noise (`casbo.heritability`), for every scheduler: the start noise, the first third
of the steps, and the rest. A scheduler's name may be followed by its option, as in ddim:eta=1.0.
"""

from __future__ import annotations

import argparse

from casbo import heritability
from casbo_images.demonstration import TARGETS, VAGUE_PROMPT
from casbo_images.image_run import image_rollout
from casbo_images.options import ImageOptions
from casbo_images.scoring import scorer_and_objective


def main() -> None:
    """Parse the command line, measure, print a table for each scheduler."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--schedulers",
        nargs="+",
        default=["ddim:eta=0.2", "ddim:eta=1.0", "ddpm", "euler_ancestral", "dpm_sde", "lcm"],
    )
    parser.add_argument("--parents", type=int, default=48)
    parser.add_argument("--steps", type=int, default=ImageOptions(prompt="").steps)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.schedulers:
        scheduler, _, option = name.partition(":")
        key, _, value = option.partition("=")
        options = ImageOptions(
            prompt=VAGUE_PROMPT,
            target=TARGETS[0],
            scheduler=scheduler,
            scheduler_options={key: float(value)} if option else {},
            steps=arguments.steps,
            microbatch=32,
        )
        scorer, _ = scorer_and_objective(options)
        rollout = image_rollout(options)
        rows = rollout.shape[0]
        early = 1 + round((rows - 1) / 3)
        blocks = {"start": range(1), "early": range(1, early), "late": range(early, rows)}
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
